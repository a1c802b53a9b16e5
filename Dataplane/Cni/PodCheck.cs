using Overlay.CniShim.Protocol;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Kernel;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Route;
using Overlay.PolicyEngine.Model;
using Attachment = Overlay.Dataplane.Desired.Attachment;

namespace Overlay.Dataplane.Cni;

/// <summary>CHECK: compares every row that <see cref="PodWiring"/> wrote with what is there, on both sides, and the attachment with what the runtime knows of it.</summary>
/// <param name="kernel">The node's kernel.</param>
internal sealed class PodCheck(NodeKernel kernel)
{
    private const int Loopback = 1;
    private readonly PodShaping _shaping = new(kernel);

    /// <summary>What the runtime knows otherwise: addresses that prevResult gives to the pod's interface, its Ethernet address and the one asked for, the namespace. Empty when all agrees.
    /// An address that prevResult lacks is none of it: a plugin after ours may have taken it away (CNI spec, CHECK).</summary>
    public static IReadOnlyList<string> Disagreements(AgentRequest request, Attachment attachment)
    {
        var found = new List<string>();
        found.AddRange(Hosts(request.Addresses).Except(attachment.Addresses).Select(address => $"prevResult has {address}, which this pod was not wired with"));
        if (request.Mac.Length > 0 && request.Mac != attachment.PodMac.ToString())
            found.Add($"the Ethernet address asked for is {request.Mac}, and the pod was wired with {attachment.PodMac}");
        if (request.PreviousMac.Length > 0 && !request.PreviousMac.Equals(attachment.PodMac.ToString(), StringComparison.OrdinalIgnoreCase))
            found.Add($"prevResult has the Ethernet address {request.PreviousMac}, and the pod was wired with {attachment.PodMac}");
        if (!IsSameNamespace(request.Netns, attachment.NetnsPath))
            found.Add($"CNI_NETNS is {request.Netns}, and the pod was wired in {attachment.NetnsPath}");
        if (request.Bandwidth is { } asked && (BandwidthLimits.Read(asked, mtu: 0, out var ingress, out var egress) is not null || (ingress, egress) != (attachment.Ingress, attachment.Egress)))
            found.Add("the bandwidth asked for is not what the pod was wired with");
        return found;
    }

    /// <summary>What of the wiring is not as it was made; empty when all is well. The MTU may be another than today's: a pod keeps the one it was made with.</summary>
    /// <param name="request">prevResult's addresses: of the pod's own, those that are not there have been taken away by a plugin after ours; others that are there, one has added.</param>
    /// <param name="attachment">What was wired.</param>
    /// <exception cref="NetnsException">The namespace is gone.</exception>
    /// <exception cref="NetlinkException">The kernel refused to tell.</exception>
    public IReadOnlyList<string> Damage(AgentRequest request, Attachment attachment)
    {
        if (LinkMessage.Get(kernel.Route, attachment.HostInterface) is not { } host)
            return [$"the host has no interface {attachment.HostInterface}"];
        List<string> damage = [.. Outside(attachment, host), .. _shaping.Damage(attachment, host.Index)];
        using var netns = Netns.OpenForeign(attachment.NetnsPath);
        damage.AddRange(netns.Run(() => Inside(attachment, host.Mtu, [.. Hosts(request.Addresses), .. Hosts(request.LooseAddresses)]).ToList()));
        return damage;
    }

    private IEnumerable<string> Outside(Attachment attachment, LinkMessage host)
    {
        var name = attachment.HostInterface;
        if (!host.IsUp)
            yield return $"{name} is down";
        if (host.Address != Ownership.HostMac)
            yield return $"{name} has Ethernet address {host.Address}, not {Ownership.HostMac}";
        if (HasFamily(attachment, Family.IPv6) && !AddressMessage.Dump(kernel.Route, host.Index).Any(address => address.Prefix.Address == Ownership.GatewayIPv6))
            yield return $"{name} lacks the gateway's address {Ownership.GatewayIPv6}";
        var neighbors = NeighborMessage.Dump(kernel.Route, Af.AF_UNSPEC, host.Index);
        var routed = attachment.Addresses.Select(address => address.Family).Distinct()
            .SelectMany(family => RouteMessage.Dump(kernel.Route, family, (Rtprot)Ownership.RouteProtocol))
            .Where(route => route.OutputInterface == host.Index).Select(route => route.Destination).ToHashSet();
        foreach (var address in attachment.Addresses.ToList()) // a span's enumerator does not outlive a yield
        {
            if (!routed.Contains(Cidr.Host(address)))
                yield return $"the host has no route to {address} by {name}";
            else if (RouteMessage.Get(kernel.Route, address)?.OutputInterface != host.Index)
                yield return $"the host's route to {address} by {name} is overruled by another route or rule; ip route get {address} shows it";
            if (!IsPermanent(neighbors, address, attachment.PodMac))
                yield return $"the host has no permanent neighbour {address} at {attachment.PodMac} on {name}";
        }

        if (attachment.HostPorts.Any(port => port.PodAddress.Family == Family.IPv4) && Sysctl.Read($"ipv4/conf/{name}/route_localnet") != 1)
            yield return $"net/ipv4/conf/{name}/route_localnet is not 1, so 127.0.0.1 does not reach the pod's host ports";
        if (host.Master is > 0)
            yield return $"{name} has become a port of another device";
        foreach (var family in attachment.Addresses.Select(address => address.Family).Distinct().Where(family => Forwarding.IsOn(family) && Sysctl.Read(Forwarding.KeyOf(family, name)) == 0).ToList())
            yield return $"the host does not forward what the pod sends: net/{Forwarding.KeyOf(family, name)} is not 1";
        if (HasFamily(attachment, Family.IPv4) && !Forwarding.IsOn(Family.IPv4))
            yield return "the host does not forward IPv4: net/ipv4/ip_forward is not 1";
        if (HasFamily(attachment, Family.IPv6) && !Forwarding.IsOn(Family.IPv6))
            yield return "the host does not forward IPv6: net/ipv6/conf/all/forwarding is not 1";
    }

    private static IEnumerable<string> Inside(Attachment attachment, int hostMtu, HashSet<InetAddress> listed)
    {
        using var socket = NetlinkSocket.Open(NetlinkProtocol.NETLINK_ROUTE);
        if (LinkMessage.Get(socket, Loopback) is not { IsUp: true })
            yield return "lo is down in the pod";
        if (LinkMessage.Get(socket, attachment.IfName) is not { } link)
        {
            yield return $"the pod has no interface {attachment.IfName}";
            yield break;
        }

        if (!link.IsUp)
            yield return $"{attachment.IfName} is down";
        if (link.Address != attachment.PodMac)
            yield return $"{attachment.IfName} has Ethernet address {link.Address}, not {attachment.PodMac}";
        if (link.Mtu != hostMtu)
            yield return $"{attachment.IfName} has MTU {link.Mtu}, and its other end {hostMtu}";
        foreach (var fault in Addresses(attachment, listed, AddressMessage.Dump(socket, link.Index)))
            yield return fault;
        var neighbors = NeighborMessage.Dump(socket, Af.AF_UNSPEC, link.Index);
        foreach (var family in attachment.Addresses.Select(address => address.Family).Distinct())
        {
            var gateway = Ownership.Gateway(family);
            var routes = RouteMessage.Dump(socket, family).Where(route => route.OutputInterface == link.Index).ToList();
            if (!routes.Any(route => route.Destination == new Cidr(new(family, 0), 0) && route.Gateway == gateway))
                yield return $"the pod has no default route by {gateway}";
            else if (RouteMessage.Get(socket, Elsewhere(family)) is null)
                yield return $"the pod's default route by {gateway} is overruled by a route or rule that leads nowhere; ip route get {Elsewhere(family)} in the pod shows it";
            if (family == Family.IPv4 && !routes.Any(route => route.Destination == Cidr.Host(gateway)))
                yield return $"the pod has no route to its gateway {gateway}";
            if (!IsPermanent(neighbors, gateway, Ownership.HostMac))
                yield return $"the pod has no permanent neighbour {gateway} at {Ownership.HostMac}";
        }
    }

    // The kernel itself gives every interface a link-local address of IPv6.
    private static IEnumerable<string> Addresses(Attachment attachment, HashSet<InetAddress> listed, List<AddressMessage> present)
    {
        var found = present.Where(address => address.Prefix.Family == Family.IPv4 || address.Scope != RtScope.RT_SCOPE_LINK).Select(address => address.Prefix).ToList();
        var wanted = attachment.Addresses.Select(Cidr.Host).ToList();
        return wanted.Except(found).Where(address => listed.Contains(address.Address)).Select(address => $"{attachment.IfName} lacks address {address}")
            .Concat(found.Except(wanted).Where(address => !listed.Contains(address.Address)).Select(address => $"{attachment.IfName} has address {address}, which it was not wired with"));
    }

    private static IEnumerable<InetAddress> Hosts(IReadOnlyList<IpamAddress> addresses) => addresses.Select(address => Cidr.TryParse(address.Address, out var cidr) ? cidr.Address : default);

    // An address of nobody (RFC 5737, RFC 3849): for it there is the default route only. Another interface of the pod may have that.
    private static InetAddress Elsewhere(Family family) => family == Family.IPv4 ? InetAddress.Parse("192.0.2.1") : InetAddress.Parse("2001:db8::1");

    private static bool IsPermanent(List<NeighborMessage> neighbors, InetAddress address, MacAddress mac) =>
        neighbors.Any(neighbor => neighbor.Destination == address && neighbor.LinkLayerAddress == mac && (neighbor.State & Nud.NUD_PERMANENT) != 0);

    private static bool HasFamily(Attachment attachment, Family family) => attachment.Addresses.Any(address => address.Family == family);

    private static bool IsSameNamespace(string left, string right)
    {
        if (left == right)
            return true;
        try
        {
            using var one = Netns.Open(left);
            using var other = Netns.Open(right);
            return one.Identity == other.Identity;
        }
        catch (NetnsException)
        {
            return false;
        }
    }
}
