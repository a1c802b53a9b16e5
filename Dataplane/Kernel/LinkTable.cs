using System.Diagnostics;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Route;
using Overlay.Dataplane.Reconcile;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Kernel;

/// <summary>Tunnel devices. One is ours when it has the name and the kind we would give it; a stranger with that name is left alone and reported.</summary>
/// <param name="socket">NETLINK_ROUTE.</param>
public sealed class LinkTable(NetlinkSocket socket) : KernelTable<string, Link>
{
    private Dictionary<string, int> _devices = [];
    private Dictionary<string, LinkMessage> _found = [];
    private Dictionary<int, int> _mtus = [];

    // TTL of outer packets: that of the inner one would tell a traceroute of the underlay's routers, and end where these are many.
    private const byte Hops = 64;

    // Far above what the kernel gives by itself: it counts from 1 and never back.
    private int _lastIndex = 1_000_000;

    /// <summary>Every device of the namespace as last seen: name to ifindex. Without a stranger that has the name of a tunnel of ours: no row of ours is, or will be, on it.</summary>
    public IReadOnlyDictionary<string, int> Devices => _devices;

    /// <summary>MTU of a device as last seen, bytes; null when there is no such device.</summary>
    public int? MtuOf(string name) => _devices.TryGetValue(name, out var index) && _mtus.TryGetValue(index, out var mtu) ? mtu : null;

    /// <summary>A device was made outside this table, or changed: a pod's pair.</summary>
    public void Appeared(string name, int index, int mtu)
    {
        _devices[name] = index;
        _mtus[index] = mtu;
    }

    /// <summary>An ifindex for a device to be made: no device seen here has it, and none had it in this process's life.</summary>
    public int NextIndex() => ++_lastIndex;

    /// <summary>A device was removed outside this table.</summary>
    public void Vanished(string name)
    {
        if (_devices.Remove(name, out var index))
            _mtus.Remove(index);
    }

    /// <inheritdoc/>
    protected override Dictionary<string, Link> Dump()
    {
        var links = LinkMessage.Dump(socket);
        _devices = links.Where(link => link.Group != Ownership.RetiredGroup && !IsStranger(link)).ToDictionary(link => link.Name, link => link.Index, StringComparer.Ordinal);
        _lastIndex = links.Select(link => link.Index).Append(_lastIndex).Max();
        _mtus = links.ToDictionary(link => link.Index, link => link.Mtu);
        _found = links.Where(link => Ownership.Tunnels.Contains(link.Name)).ToDictionary(link => link.Name, StringComparer.Ordinal);
        return _found.Values.Where(link => Kind(link) is not null).ToDictionary(link => link.Name, link => Row(link, Kind(link)!), StringComparer.Ordinal);
    }

    /// <inheritdoc/>
    protected override IReadOnlyList<RowFailure> Upsert(IReadOnlyList<KeyValuePair<string, Link>> rows) =>
        Try(rows, row => Text(row.Key, row.Value), row => Make(row.Value));

    /// <inheritdoc/>
    protected override IReadOnlyList<RowFailure> Delete(IReadOnlyList<string> keys) =>
        Try(keys, name => $"delete {name}", Remove);

    /// <inheritdoc/>
    protected override string Text(string key, Link value) => NodeText.Print(value);

    // What it is, if it is of the kind that its name promises. Attributes that cannot be changed in place belong to the kind.
    private static LinkKind? Kind(LinkMessage link) => (link.Name, link.Vxlan, link.IpTunnel) switch
    {
        (Ownership.VxlanDevice or Ownership.Vxlan6Device, { Learning: false, Remote: null, Local: { } local } vxlan, _) => new LinkKind.Vxlan(vxlan.Id, vxlan.Port, local),
        (Ownership.IpipDevice, _, { Kind: IpTunnelLink.Ipip, Remote: null, CollectMetadata: false, Ttl: Hops, Local: { } local }) => new LinkKind.Ipip(local),
        (Ownership.SitDevice, _, { Kind: IpTunnelLink.Sit, Remote: null, CollectMetadata: false, Ttl: Hops, Local: { } local }) => new LinkKind.Sit(local),
        (Ownership.Ip6tnlDevice, _, { Kind: IpTunnelLink.Ip6tnl, CollectMetadata: true }) => new LinkKind.Ip6tnl(),
        (Ownership.VxlanDevice or Ownership.Vxlan6Device, not null, _)
            or (Ownership.IpipDevice, _, { Kind: IpTunnelLink.Ipip })
            or (Ownership.SitDevice, _, { Kind: IpTunnelLink.Sit })
            or (Ownership.Ip6tnlDevice, _, { Kind: IpTunnelLink.Ip6tnl }) => new LinkKind.Unlike(),
        _ => null,
    };

    private static bool IsStranger(LinkMessage link) => Ownership.Tunnels.Contains(link.Name) && Kind(link) is null;

    // A device that is down differs in its MTU.
    private Link Row(LinkMessage link, LinkKind kind) => new(link.Name, kind, kind is LinkKind.Vxlan ? link.Address : null, link.IsUp ? link.Mtu : 0) { SoftwareChecksums = Ethtool.TxChecksum(socket, link.Name) == false };

    private void Make(Link link)
    {
        if (_found.TryGetValue(link.Name, out var found))
        {
            if (Kind(found) is not { } kind)
                throw new NetlinkException(Errno.EEXIST, $"RTM_NEWLINK {link.Name}", $"a device of kind {found.Kind ?? "hardware"} has our name; rename or remove it");
            if (kind == link.Kind)
            {
                Set(link, found.Index);
                return;
            }
        }

        // Before the one that is there is removed: it goes on until there can be another.
        if (Rival(link) is { } rival)
            throw new NetlinkException(Errno.EEXIST, $"RTM_NEWLINK {link.Name}", $"device {rival} is such a tunnel already, and the kernel takes but one; remove it (ip link delete {rival}){(link.Kind is LinkKind.Vxlan ? ", or set another vxlan.vni" : "")}");
        if (found is not null)
            Remove(link.Name);
        Create(link);
    }

    private void Create(Link link)
    {
        using var writer = new NetlinkWriter();
        var settings = new LinkSettings { Name = link.Name, Address = link.Mac, Mtu = link.Mtu };
        if (link.Kind is LinkKind.Vxlan vxlan)
            LinkMessage.WriteNewVxlan(writer, socket.NextSequence(), settings, new(vxlan.Vni, vxlan.Port, vxlan.Local));
        else
            LinkMessage.WriteNewIpTunnel(writer, socket.NextSequence(), settings, IpTunnel(link.Kind));
        try
        {
            socket.Request(writer, $"RTM_NEWLINK {NodeText.Print(link)}");
        }
        catch (NetlinkException e) when (e.Errno == Errno.EOPNOTSUPP)
        {
            throw new NetlinkException(e.Errno, $"RTM_NEWLINK {link.Name}", $"this kernel has no tunnels of this kind; load the module {ModuleOf(link.Kind)} (modprobe {ModuleOf(link.Kind)}), or set another encapsulation");
        }

        Set(link, LinkMessage.Get(socket, link.Name)?.Index ?? throw new NetlinkException(Errno.ENODEV, $"RTM_GETLINK {link.Name}", "it was removed right after it was made"));
    }

    // Another provider's, say: the packets that come could be for either.
    private string? Rival(Link link) => LinkMessage.Dump(socket, link.Kind is LinkKind.Ip6tnl ? IpTunnelLink.Ip6tnl : ModuleOf(link.Kind)).FirstOrDefault(other => other.Name != link.Name && link.Kind switch
    {
        LinkKind.Vxlan vxlan => other.Vxlan is { } theirs && theirs.Id == vxlan.Vni && theirs.Port == vxlan.Port && theirs.Local?.Family != (vxlan.Local.Family == Family.IPv4 ? Family.IPv6 : Family.IPv4),
        LinkKind.Ipip(var local) => other.IpTunnel is { Remote: null } theirs && theirs.Local == local,
        LinkKind.Sit(var local) => other.IpTunnel is { Remote: null } theirs && theirs.Local == local,
        _ => other.IpTunnel is { CollectMetadata: true },
    })?.Name;

    private static IpTunnelLink IpTunnel(LinkKind kind) => kind switch
    {
        LinkKind.Ipip ipip => new(IpTunnelLink.Ipip) { Local = ipip.Local, Ttl = Hops },
        LinkKind.Sit sit => new(IpTunnelLink.Sit) { Local = sit.Local, Ttl = Hops },
        LinkKind.Ip6tnl => new(IpTunnelLink.Ip6tnl) { CollectMetadata = true },
        _ => throw new UnreachableException(),
    };

    private static string ModuleOf(LinkKind kind) => kind switch
    {
        LinkKind.Vxlan => "vxlan",
        LinkKind.Ipip => "ipip",
        LinkKind.Sit => "sit",
        LinkKind.Ip6tnl => "ip6_tunnel",
        _ => throw new UnreachableException(),
    };

    // Addresses are ours to give, so the kernel makes no link-local one; that must be said before the device is up.
    private void Set(Link link, int index)
    {
        using var writer = new NetlinkWriter();
        LinkMessage.WriteSet(writer, socket.NextSequence(), new() { Index = index, AddrGenMode = In6AddrGenMode.IN6_ADDR_GEN_MODE_NONE });
        LinkMessage.WriteSet(writer, socket.NextSequence(), new() { Index = index, Address = link.Mac, Mtu = link.Mtu, Up = true });
        socket.Request(writer, $"RTM_NEWLINK {NodeText.Print(link)}");
        if (link.SoftwareChecksums)
            Ethtool.SetTxChecksum(socket, link.Name, on: false);
        _devices[link.Name] = index;
        Rows.Observe(link.Name, link);
        if (LinkMessage.Get(socket, index) is { } made)
            _found[link.Name] = made;
    }

    private void Remove(string name)
    {
        if (_devices.TryGetValue(name, out var index))
        {
            using var writer = new NetlinkWriter();
            LinkMessage.WriteDelete(writer, socket.NextSequence(), index);
            var failures = socket.Batch(writer);
            if (failures is [{ Errno: not Errno.ENODEV } failure])
                throw failure.ToException($"RTM_DELLINK {name}");
        }

        Vanished(name);
        _found.Remove(name);
        Rows.Forget(name);
    }

    private static List<RowFailure> Try<T>(IReadOnlyList<T> rows, Func<T, string> text, Action<T> act)
    {
        var failures = new List<RowFailure>();
        foreach (var row in rows)
        {
            try
            {
                act(row);
            }
            catch (NetlinkException e)
            {
                failures.Add(new(text(row), e.Message));
            }
        }

        return failures;
    }
}
