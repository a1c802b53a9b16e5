using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Doctor.Checks;
using Overlay.Dataplane.Kernel;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Route;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Doctor.Machine;

/// <summary>Devices, addresses and routes of this network namespace. Only asks.</summary>
/// <param name="Links">The devices.</param>
/// <param name="Addresses">Their addresses.</param>
/// <param name="Routes">The main tables of both families.</param>
/// <param name="Underlay">What of it carries packets between nodes.</param>
/// <param name="Ways">To the other nodes; null when these are not known.</param>
internal sealed record MachineNetwork(
    IReadOnlyList<LinkMessage> Links,
    IReadOnlyList<AddressMessage> Addresses,
    IReadOnlyList<RouteMessage> Routes,
    Underlay Underlay,
    IReadOnlyList<PeerWay>? Ways)
{
    /// <summary>Reads.</summary>
    /// <param name="choice">How this node's addresses are found.</param>
    /// <param name="internalIPs">Of its Node.</param>
    /// <param name="others">The other nodes and their addresses; null when these are not known.</param>
    /// <exception cref="NetlinkException">The kernel refuses to tell.</exception>
    public static MachineNetwork Read(NodeAddressChoice choice, EquatableArray<InetAddress> internalIPs, IEnumerable<(string Name, IEnumerable<InetAddress> Addresses)>? others)
    {
        using var route = NetlinkSocket.Open(NetlinkProtocol.NETLINK_ROUTE);
        var links = LinkMessage.Dump(route);
        var underlay = MachineAddresses.Underlay(route, choice, internalIPs);
        var names = links.ToDictionary(link => link.Index, link => link.Name);
        var ways = others?
            .SelectMany(other => other.Addresses.GroupBy(address => address.Family).Select(family => (other.Name, Address: family.First())))
            .Where(other => underlay.Of(other.Address.Family) is { Device.Length: > 0 })
            .Select(other => WayTo(route, names, other.Name, other.Address, underlay.Of(other.Address.Family)!.Value.Device))
            .OfType<PeerWay>().ToList();
        return new(links, AddressMessage.Dump(route), [.. FamilyFacts.Both.SelectMany(family => RouteMessage.Dump(route, family))], underlay, ways);
    }

    /// <summary>What the kernel is told to do with packets.</summary>
    public SysctlObservation Sysctls(bool isAgentRunning, IEnumerable<Cidr> podCidrs)
    {
        var forwards = FamilyFacts.Both.Where(family => Sysctl.Read(Forwarding.KeyOf(family, "all")) is not null).ToDictionary(family => family, Forwarding.IsOn);
        var strictness = Links.Select(link => link.Name).Where(name => name != "lo").Append("all").Distinct()
            .ToDictionary(device => device, device => Sysctl.Read($"ipv4/conf/{device}/rp_filter") ?? 0);
        return new(isAgentRunning, forwards, Sysctl.Read("ipv6/conf/all/disable_ipv6") == 1, podCidrs.Any(prefix => prefix.Family == Family.IPv6), strictness, Ways);
    }

    /// <summary>Who computes the checksums of the devices of the underlay, and of ours.</summary>
    public ChecksumObservation Checksums(Encapsulation encapsulation, IReadOnlyList<string> degraded)
    {
        using var socket = NetlinkSocket.Open(NetlinkProtocol.NETLINK_ROUTE);
        ChecksumOffload Of(string device) => new(device, Ethtool.Driver(socket, device) ?? "", Ethtool.TxChecksum(socket, device));
        return new(
            encapsulation,
            [.. Underlay.Addresses.Select(address => address.Device).Where(device => device.Length > 0).Distinct().Select(Of)],
            [.. Links.Where(link => Ownership.Tunnels.Contains(link.Name)).Select(link => Of(link.Name))],
            degraded);
    }

    // An address of this machine itself is no peer's; that is told by the rows of nodes.
    private static PeerWay? WayTo(NetlinkSocket route, Dictionary<int, string> names, string node, InetAddress address, string device) => RouteMessage.Get(route, address) switch
    {
        null => new(node, address, device, null),
        { Type: Rtn.RTN_UNICAST, OutputInterface: { } index } => new(node, address, device, names.GetValueOrDefault(index, $"if{index}")),
        { Type: Rtn.RTN_LOCAL } => null,
        _ => new(node, address, device, null),
    };
}
