using static Overlay.Dataplane.Netlink.Route.TcaTbf;

namespace Overlay.Dataplane.Netlink.Route;

/// <summary>A token bucket filter as the kernel tells it: tc-tbf(8). It shapes: what comes too fast waits, and is dropped only when the queue is full.</summary>
/// <param name="Rate">Bytes a second.</param>
/// <param name="Limit">Bytes that may wait.</param>
/// <param name="Buffer">The burst, as the ticks of 64 ns that it takes at <paramref name="Rate"/>: all that is told of it, and of that the lower 32 bits.</param>
public sealed record TbfQdisc(ulong Rate, uint Limit, uint Buffer)
{
    /// <summary>TCA_KIND.</summary>
    public const string Kind = "tbf";

    // struct tc_tbf_qopt { struct tc_ratespec rate, peakrate; __u32 limit, buffer, mtu; };
    // struct tc_ratespec { unsigned char cell_log; __u8 linklayer; unsigned short overhead; short cell_align; unsigned short mpu; __u32 rate; };
    private const int ParametersLength = 36;
    private const int LinklayerAt = 1;
    private const int RateAt = 8;
    private const int LimitAt = 24;
    private const int BufferAt = 28;

    // PSCHED_SHIFT (net/pkt_sched.h).
    private const int TickShift = 6;
    private const ulong NanosecondsPerSecond = 1_000_000_000;

    /// <summary>Whether it is what <see cref="QdiscMessage.WriteNewTbf"/> makes of these. The kernel computes <see cref="Buffer"/> with a factor of 31 bits.</summary>
    /// <param name="rate">Bytes a second.</param>
    /// <param name="burst">Bytes.</param>
    /// <param name="limit">Bytes.</param>
    public bool IsOf(ulong rate, uint burst, uint limit)
    {
        var ticks = (UInt128)burst * NanosecondsPerSecond / rate >> TickShift;
        var difference = unchecked((int)(Buffer - (uint)ticks));
        return Rate == rate && Limit == limit && (ulong)Math.Abs((long)difference) <= (ulong)(ticks >> 30) + 2;
    }

    // With TCA_TBF_BURST the kernel needs neither a buffer in ticks nor a table of rates (since 3.13); a link layer that is said need not be guessed by such a table.
    internal static void Write(NetlinkWriter writer, ulong rate, uint burst, uint limit)
    {
        var parameters = writer.Attribute((ushort)TCA_TBF_PARMS, ParametersLength);
        parameters[LinklayerAt] = (byte)TcLinklayer.TC_LINKLAYER_ETHERNET;
        BitConverter.TryWriteBytes(parameters[RateAt..], (uint)Math.Min(rate, uint.MaxValue));
        BitConverter.TryWriteBytes(parameters[LimitAt..], limit);
        writer.UInt32((ushort)TCA_TBF_BURST, burst);
        if (rate > uint.MaxValue)
            BitConverter.TryWriteBytes(writer.Attribute((ushort)TCA_TBF_RATE64, sizeof(ulong)), rate);
    }

    internal static TbfQdisc Parse(NetlinkAttributes options)
    {
        ulong? rate64 = null;
        var (rate, limit, buffer) = (0u, 0u, 0u);
        foreach (var attribute in options)
            switch ((TcaTbf)attribute.Type)
            {
                case TCA_TBF_PARMS when attribute.Value.Length >= ParametersLength:
                    rate = BitConverter.ToUInt32(attribute.Value[RateAt..]);
                    limit = BitConverter.ToUInt32(attribute.Value[LimitAt..]);
                    buffer = BitConverter.ToUInt32(attribute.Value[BufferAt..]);
                    break;
                case TCA_TBF_RATE64 when attribute.Value.Length >= sizeof(ulong):
                    rate64 = BitConverter.ToUInt64(attribute.Value);
                    break;
            }

        return new(rate64 ?? rate, limit, buffer);
    }
}
