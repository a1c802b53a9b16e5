using System.Diagnostics;
using Microsoft.Win32.SafeHandles;
using Overlay.Dataplane.Netlink;

namespace Overlay.Dataplane.Capture;

/// <summary>Why a capture ended.</summary>
internal enum CaptureEnd
{
    /// <summary>As many packets as wanted, as long as wanted, or interrupted.</summary>
    Done,

    /// <summary>Nobody reads the output any more.</summary>
    OutputClosed,

    /// <summary>No device is left.</summary>
    DevicesGone,
}

/// <summary>Takes packets from sockets, keeps those that are wanted, in the order of their times, and hands them on.</summary>
/// <param name="sockets">Where they come from; the caller disposes them.</param>
/// <param name="names">Who has which address.</param>
/// <param name="passes">Whether a packet is wanted.</param>
/// <param name="vxlanPort">As <see cref="PacketDecoder.Read"/> has it.</param>
/// <param name="tell">For what concerns the capture itself.</param>
internal sealed class PacketCapture(IReadOnlyList<PacketSocket> sockets, AddressNames names, Func<Frame, DecodedPacket, bool> passes, ushort vxlanPort, Action<string> tell)
{
    private const int Batch = 1024;
    private const int Forever = -1;
    private const int Recheck = 1000; // milliseconds

    private readonly List<PacketSocket> _open = [.. sockets];

    // Of these the device went down, which is told before it goes away, if it does.
    private readonly HashSet<PacketSocket> _down = [];

    /// <summary>Packets handed on.</summary>
    public long Taken { get; private set; }

    /// <summary>Packets that passed the devices, and those of them that the kernel had no room for.</summary>
    public (long Seen, long Dropped) Statistics => sockets.Select(socket => socket.Statistics).Aggregate((Seen: 0L, Dropped: 0L), (sum, one) => (sum.Seen + one.Seen, sum.Dropped + one.Dropped));

    /// <summary>Captures until something ends it.</summary>
    /// <param name="count">No more packets than that.</param>
    /// <param name="duration">No longer than that; null: until interrupted.</param>
    /// <param name="output">Descriptor whose closing ends it; null: none.</param>
    /// <param name="take">Takes a packet.</param>
    /// <param name="flush">Called when none is there for the moment, and at the end.</param>
    /// <param name="stop">Interrupted: what has come by then is handed on.</param>
    /// <exception cref="IOException">The output cannot be written.</exception>
    /// <exception cref="CaptureException">The kernel gives no more.</exception>
    public async Task<CaptureEnd> RunAsync(long count, TimeSpan? duration, int? output, Action<Frame, DecodedPacket> take, Action flush, CancellationToken stop)
    {
        using var wake = Libc.eventfd(0, Libc.EFD_NONBLOCK | Libc.EFD_CLOEXEC);
        using var registration = stop.Register(() => Libc.write(wake, 1, sizeof(ulong)));
        var clock = Stopwatch.StartNew();
        while (true)
        {
            var left = duration is { } time ? (int)Math.Clamp(Math.Ceiling((time - clock.Elapsed).TotalMilliseconds), 0, int.MaxValue) : Forever;
            if (!Wait(wake, output, stop.IsCancellationRequested ? 0 : left))
                return CaptureEnd.OutputClosed;
            var isLast = stop.IsCancellationRequested || left == 0;
            await HandOnAsync(Receive(), count, take);
            flush();
            if (isLast || Taken >= count)
                return CaptureEnd.Done;
            ForgetGone();
            if (_open.Count == 0)
                return CaptureEnd.DevicesGone;
        }
    }

    private async Task HandOnAsync(List<Frame> frames, long count, Action<Frame, DecodedPacket> take)
    {
        var packets = frames.Select(frame => (Frame: frame, Packet: PacketDecoder.Read(frame.EtherType, frame.Bytes, frame.Length, vxlanPort))).ToList();
        await names.LearnAsync(packets.SelectMany(pair => pair.Packet.Addresses));
        foreach (var (frame, packet) in packets.Where(pair => passes(pair.Frame, pair.Packet)))
        {
            if (Taken >= count)
                return;
            take(frame, packet);
            Taken++;
        }
    }

    // Devices take turns, and the times put their packets in order.
    private List<Frame> Receive()
    {
        var frames = new List<Frame>();
        var waiting = _open.ToList();
        while (waiting.Count > 0 && frames.Count < Batch)
        {
            foreach (var socket in waiting.ToList())
            {
                if (socket.Receive() is { } frame)
                {
                    frames.Add(frame);
                    _down.Remove(socket);
                }
                else
                {
                    waiting.Remove(socket);
                }
            }
        }

        frames.Sort((one, other) => one.Time.CompareTo(other.Time));
        return frames;
    }

    // False: nobody reads the output.
    private bool Wait(SafeFileHandle wake, int? output, int milliseconds)
    {
        var descriptors = new Libc.Pollfd[_open.Count + 2];
        descriptors[0] = new() { Descriptor = (int)wake.DangerousGetHandle(), Events = Libc.POLLIN };
        descriptors[1] = new() { Descriptor = output ?? -1 };
        for (var i = 0; i < _open.Count; i++)
            descriptors[i + 2] = new() { Descriptor = _open[i].Descriptor, Events = Libc.POLLIN };
        _ = Libc.poll(descriptors, (nuint)descriptors.Length, _down.Count > 0 && (milliseconds == Forever || milliseconds > Recheck) ? Recheck : milliseconds);
        if (output is not null && (descriptors[1].Returned & (Libc.POLLERR | Libc.POLLHUP | Libc.POLLNVAL)) != 0)
            return false;
        _down.UnionWith(_open.Where((_, i) => (descriptors[i + 2].Returned & Libc.POLLERR) != 0));
        return true;
    }

    private void ForgetGone()
    {
        foreach (var gone in _down.Where(socket => !socket.IsDeviceThere).ToList())
        {
            tell($"{gone.Device} is gone; no more packets come from it.");
            _open.Remove(gone);
            _down.Remove(gone);
        }
    }
}
