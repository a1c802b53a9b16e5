using static Overlay.Dataplane.Netlink.Netfilter.Expressions.NftaCounter;

namespace Overlay.Dataplane.Netlink.Netfilter.Expressions;

/// <summary>NFTA_COUNTER_* (<c>enum nft_counter_attributes</c>).</summary>
public static class NftaCounter
{
    public const ushort NFTA_COUNTER_BYTES = 1;
    public const ushort NFTA_COUNTER_PACKETS = 2;
}

/// <summary>nft_counter.c: counts packets and bytes. All counters are equal: the numbers are the kernel's business and no part of the rule.</summary>
/// <param name="Packets">So far.</param>
/// <param name="Bytes">So far.</param>
public sealed record Counter(ulong Packets = 0, ulong Bytes = 0) : Expression
{
    public override string Name => "counter";

    private protected override string Text => $"counter pkts {Packets} bytes {Bytes}";

    public bool Equals(Counter? other) => other is not null;

    public override int GetHashCode() => 0;

    internal static Counter Read(NetlinkAttribute data)
    {
        var read = new Counter();
        foreach (var attribute in data.Nested)
            switch (attribute.Type)
            {
                case NFTA_COUNTER_BYTES:
                    read = read with { Bytes = attribute.UInt64BigEndian };
                    break;
                case NFTA_COUNTER_PACKETS:
                    read = read with { Packets = attribute.UInt64BigEndian };
                    break;
            }
        return read;
    }

    private protected override void WriteData(NetlinkWriter writer)
    {
        // Without attributes the kernel counts from zero.
    }
}
