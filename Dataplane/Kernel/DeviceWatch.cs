using System.Threading.Channels;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Route;

namespace Overlay.Dataplane.Kernel;

/// <summary>
/// Hears when the tunnel device is removed or set down. The kernel takes its routes away with it, and packets to other nodes' pods would then leave by
/// the default route, bare: that cannot wait for the next resync.
/// </summary>
public sealed class DeviceWatch : IDisposable
{
    private readonly NetlinkMonitor _monitor = NetlinkMonitor.Open(NetlinkProtocol.NETLINK_ROUTE, (uint)Rtnlgrp.RTNLGRP_LINK);

    // One loss or many, the kernel is read once.
    private readonly Channel<bool> _losses = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });

    /// <summary>Has an item when the kernel is to be read again.</summary>
    public ChannelReader<bool> Losses => _losses.Reader;

    /// <summary>Runs until cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        while (true)
        {
            try
            {
                if (IsLoss(await _monitor.ReceiveAsync(cancellation).ConfigureAwait(false)))
                    _losses.Writer.TryWrite(true);
            }
            catch (NetlinkException e) when (e.Errno == Errno.ENOBUFS)
            {
                _losses.Writer.TryWrite(true); // What was dropped may have been it.
            }
        }
    }

    /// <summary>Closes the socket.</summary>
    public void Dispose() => _monitor.Dispose();

    private static bool IsLoss(ReadOnlyMemory<byte> notification)
    {
        foreach (var message in new NetlinkMessages(notification.Span))
        {
            if ((RtmType)message.Type is not (RtmType.RTM_NEWLINK or RtmType.RTM_DELLINK))
                continue;
            var link = LinkMessage.Parse(message);
            if (link.Name == Ownership.VxlanDevice && ((RtmType)message.Type == RtmType.RTM_DELLINK || !link.IsUp))
                return true;
        }

        return false;
    }
}
