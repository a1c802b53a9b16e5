using System.Diagnostics;
using System.Threading.Channels;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Route;
using Serilog;

namespace Overlay.Dataplane.Kernel;

/// <summary>
/// Interface pairs of unwired pods. Removing one takes the kernel a grace period, 10 to 30 ms; removing many at once takes one for all. So a pair is set down and put into a group of
/// its own at once (down it carries no packet, and its routes and neighbours are gone), and the group is removed when no more come for a moment. The group is in the kernel,
/// so what a killed agent left in it is found again.
/// </summary>
public sealed class RetiredLinks : IDisposable
{
    // A removal keeps the kernel's lock over all devices for about 0.3 ms a pair, and whoever wires a pod waits for it.
    private const int Most = 64;
    private static readonly TimeSpan Quiet = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(1);

    private readonly NetlinkSocket _route;
    private readonly NetlinkSocket _own;
    private readonly Channel<bool> _arrivals = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private int _waiting;

    /// <summary>Opens the calling thread's network namespace.</summary>
    /// <param name="route">NETLINK_ROUTE, of the one who retires; the removals beside it have a socket of their own.</param>
    /// <exception cref="NetlinkException">No rights, or a kernel without netlink.</exception>
    internal RetiredLinks(NetlinkSocket route)
    {
        _route = route;
        _own = NetlinkSocket.Open(NetlinkProtocol.NETLINK_ROUTE);
    }

    /// <summary>Sets a pair down, by the ifindex of its host's end, to be removed soon; with it the device that shapes what its pod sends, in one datagram: neither stays behind. One that is not there is no failure.</summary>
    /// <param name="index">The host's end; 0 when it is gone.</param>
    /// <param name="shaper">The shaping device; 0 when there is none.</param>
    /// <exception cref="NetlinkException">The kernel refused.</exception>
    internal void Add(int index, int shaper = 0)
    {
        using var writer = new NetlinkWriter();
        foreach (var device in (ReadOnlySpan<int>)[index, shaper])
        {
            if (device != 0)
                LinkMessage.WriteSet(writer, _route.NextSequence(), new() { Index = device, Up = false, Group = Ownership.RetiredGroup });
        }

        if (_route.Batch(writer).FirstOrDefault(failure => failure.Errno != Errno.ENODEV) is { } refused)
            throw refused.ToException($"RTM_NEWLINK dev {index} down group {Ownership.RetiredGroup}");
        Interlocked.Increment(ref _waiting);
        _arrivals.Writer.TryWrite(true);
    }

    /// <summary>Removes what is retired, now: for whoever needs the names, and at start for what an earlier life left.</summary>
    /// <exception cref="NetlinkException">The kernel refused.</exception>
    public void Flush() => Remove(_route);

    /// <summary>Removes pairs by and by, until cancelled; then those that are left.</summary>
    public async Task RunAsync(ILogger log, CancellationToken cancellation)
    {
        try
        {
            while (true)
            {
                await _arrivals.Reader.WaitToReadAsync(cancellation).ConfigureAwait(false);
                await NoMoreAsync(cancellation).ConfigureAwait(false);
                await AttemptAsync(log, cancellation).ConfigureAwait(false);
            }
        }
        finally
        {
            Remove(_own);
        }
    }

    /// <summary>Closes the socket.</summary>
    public void Dispose() => _own.Dispose();

    private async Task NoMoreAsync(CancellationToken cancellation)
    {
        var begin = Stopwatch.GetTimestamp();
        for (var seen = 0; seen != Volatile.Read(ref _waiting) && Stopwatch.GetElapsedTime(begin) < Longest;)
        {
            seen = Volatile.Read(ref _waiting);
            if (seen >= Most)
                return;
            await Task.Delay(Quiet, cancellation).ConfigureAwait(false);
        }
    }

    private async Task AttemptAsync(ILogger log, CancellationToken cancellation)
    {
        _arrivals.Reader.TryRead(out _);
        try
        {
            Remove(_own);
        }
        catch (NetlinkException e)
        {
            Log.RetiredLinksKept(log, e.Message);
            await Task.Delay(Longest, cancellation).ConfigureAwait(false);
            _arrivals.Writer.TryWrite(true);
        }
    }

    private void Remove(NetlinkSocket socket)
    {
        Interlocked.Exchange(ref _waiting, 0);
        using var writer = new NetlinkWriter();
        LinkMessage.WriteDeleteGroup(writer, socket.NextSequence(), Ownership.RetiredGroup);
        if (socket.Batch(writer) is [{ Errno: not Errno.ENODEV } failure])
            throw failure.ToException($"RTM_DELLINK group {Ownership.RetiredGroup}");
    }
}
