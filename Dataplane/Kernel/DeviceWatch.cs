using System.Diagnostics;
using System.Threading.Channels;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Route;

namespace Overlay.Dataplane.Kernel;

/// <summary>
/// Hears what cannot wait for the next resync. The tunnel device is removed or set down: the kernel takes its routes away with it, and packets to other nodes' pods would then
/// leave by the default route, bare. Forwarding is turned off: no packet goes from pod to pod; or on again, by whomever, so that nobody is told any longer that it is off.
/// </summary>
public sealed class DeviceWatch : IDisposable
{
    // What is repaired may be undone again at once, by somebody who watches as we do: a first loss is told at once, those that follow at growing distances.
    private static readonly TimeSpan ShortestPause = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);

    private readonly NetlinkMonitor _monitor = NetlinkMonitor.Open(
        NetlinkProtocol.NETLINK_ROUTE, (uint)Rtnlgrp.RTNLGRP_LINK, (uint)Rtnlgrp.RTNLGRP_IPV4_NETCONF, (uint)Rtnlgrp.RTNLGRP_IPV6_NETCONF);

    // One loss or many, the kernel is read once.
    private readonly Channel<bool> _losses = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });

    /// <summary>Has an item when the kernel is to be read again.</summary>
    public ChannelReader<bool> Losses => _losses.Reader;

    /// <summary>Runs until cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        var pauses = new Backoff(ShortestPause, LongestPause);
        var pause = TimeSpan.Zero;
        var told = Stopwatch.StartNew();
        while (true)
        {
            await HearLossAsync(cancellation).ConfigureAwait(false);
            var quiet = told.Elapsed;
            if (quiet > LongestPause)
                pauses.Reset();
            if (pause > quiet)
                await Task.Delay(pause - quiet, cancellation).ConfigureAwait(false);
            pause = pauses.Next();
            _monitor.Discard(); // All of it came before the kernel is read.
            _losses.Writer.TryWrite(true);
            told.Restart();
        }
    }

    /// <summary>Closes the socket.</summary>
    public void Dispose() => _monitor.Dispose();

    private async Task HearLossAsync(CancellationToken cancellation)
    {
        try
        {
            while (!IsLoss(await _monitor.ReceiveAsync(cancellation).ConfigureAwait(false)))
            {
            }
        }
        catch (NetlinkException e) when (e.Errno == Errno.ENOBUFS)
        {
            // What was dropped may have been one.
        }
    }

    private static bool IsLoss(ReadOnlyMemory<byte> notification)
    {
        foreach (var message in new NetlinkMessages(notification.Span))
        {
            if ((RtmType)message.Type switch
                {
                    RtmType.RTM_DELLINK => LinkMessage.Parse(message).Name == Ownership.VxlanDevice,
                    RtmType.RTM_NEWLINK => LinkMessage.Parse(message) is { Name: Ownership.VxlanDevice, IsUp: false },
                    RtmType.RTM_NEWNETCONF => NetconfMessage.Parse(message) is { Index: NetconfMessage.NETCONFA_IFINDEX_ALL, Forwarding: not null },
                    _ => false,
                })
                return true;
        }

        return false;
    }
}
