using System.Diagnostics;
using System.Threading.Channels;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Route;

namespace Overlay.Dataplane.Kernel;

/// <summary>
/// Hears what cannot wait for the next resync (<see cref="DeviceNews"/>): a tunnel device is removed or set down, the underlay has another MTU or address, forwarding is turned off or on.
/// </summary>
public sealed class DeviceWatch : IDisposable
{
    // What is repaired may be undone again at once, by somebody who watches as we do: a first loss is told at once, those that follow at growing distances.
    private static readonly TimeSpan ShortestPause = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);

    private readonly NetlinkMonitor _monitor = NetlinkMonitor.Open(
        NetlinkProtocol.NETLINK_ROUTE,
        (uint)Rtnlgrp.RTNLGRP_LINK,
        (uint)Rtnlgrp.RTNLGRP_IPV4_IFADDR,
        (uint)Rtnlgrp.RTNLGRP_IPV6_IFADDR,
        (uint)Rtnlgrp.RTNLGRP_IPV4_NETCONF,
        (uint)Rtnlgrp.RTNLGRP_IPV6_NETCONF);

    // One loss or many, the kernel is read once.
    private readonly Channel<bool> _losses = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private readonly DeviceNews _news = new();

    /// <summary>Has an item when the kernel is to be read again.</summary>
    public ChannelReader<bool> Losses => _losses.Reader;

    /// <summary>What carries packets between nodes, as last read: a change of it is news. From any thread.</summary>
    public void Follow(Underlay underlay) => _news.Underlay = underlay;

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
            while (!_news.IsIn(await _monitor.ReceiveAsync(cancellation).ConfigureAwait(false)))
            {
            }
        }
        catch (NetlinkException e) when (e.Errno == Errno.ENOBUFS)
        {
            // What was dropped may have been one.
        }
    }
}

/// <summary>
/// Which notifications of rtnetlink mean that the kernel is to be read again. The tunnel device is removed or set down: the kernel takes its routes away with it. A device of the underlay gets
/// another MTU, or comes up again, without the routes that were on it. An address that a node may have comes or goes: another may be the one to use. Forwarding is turned off: no packet goes from pod
/// to pod; or on again, by whomever, so that nobody is told any longer that it is off.
/// </summary>
internal sealed class DeviceNews
{
    private readonly HashSet<(int Index, PolicyEngine.Model.Cidr Prefix)> _addresses = [];
    private readonly HashSet<int> _ours = [];
    private readonly HashSet<string> _down = new(StringComparer.Ordinal);
    private volatile Underlay _underlay = new([], []);

    /// <summary>As last read.</summary>
    public Underlay Underlay
    {
        get => _underlay;
        set => _underlay = value;
    }

    /// <summary>Whether one of these messages is news.</summary>
    public bool IsIn(ReadOnlyMemory<byte> notification)
    {
        var news = false;
        foreach (var message in new NetlinkMessages(notification.Span))
        {
            news |= (RtmType)message.Type switch
            {
                RtmType.RTM_DELLINK => IsLoss(LinkMessage.Parse(message)),
                RtmType.RTM_NEWLINK => IsChange(LinkMessage.Parse(message)),
                RtmType.RTM_NEWADDR => AddressMessage.Parse(message) is var address && IsNodes(address) && _addresses.Add((address.Index, address.Prefix)),
                RtmType.RTM_DELADDR => IsLoss(AddressMessage.Parse(message)),
                RtmType.RTM_NEWNETCONF => NetconfMessage.Parse(message) is { Index: NetconfMessage.NETCONFA_IFINDEX_ALL, Forwarding: not null },
                _ => false,
            };
        }

        return news;
    }

    private bool IsLoss(LinkMessage link)
    {
        _ours.Remove(link.Index);
        _addresses.RemoveWhere(address => address.Index == link.Index);
        return Ownership.Tunnels.Contains(link.Name);
    }

    private bool IsLoss(AddressMessage address)
    {
        _addresses.Remove((address.Index, address.Prefix));
        return IsNodes(address);
    }

    private bool IsChange(LinkMessage link)
    {
        if (Ownership.IsOurs(link.Name))
        {
            _ours.Add(link.Index);
            return !link.IsUp && Ownership.Tunnels.Contains(link.Name);
        }

        foreach (var address in _underlay.Addresses)
        {
            if (address.Device != link.Name)
                continue;
            if (!link.IsUp)
                return _down.Add(link.Name);
            return _down.Remove(link.Name) || link.Mtu != address.Mtu;
        }

        return false;
    }

    // Not the link-local ones that every interface of a pod has, and not those that we give tunnels.
    private bool IsNodes(AddressMessage address) => MachineAddresses.Counts(address) && !_ours.Contains(address.Index);
}
