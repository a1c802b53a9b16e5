using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Probing;

/// <summary>A way to another node, to be tried. One of each family that its pods have.</summary>
/// <param name="Node">Name of the other node.</param>
/// <param name="Address">What answers at the other end: the node's address in the tunnel; without encapsulation the gateway itself.</param>
/// <param name="Outer">The node's address on the underlay.</param>
/// <param name="Device">By which packets leave.</param>
/// <param name="Carrier">What a firewall on the underlay has to let through: <c>UDP port 4789</c>; empty when packets go as they are.</param>
/// <param name="Mtu">Of packets, bytes.</param>
internal readonly record struct ProbeTarget(string Node, InetAddress Address, InetAddress Outer, string Device, string Carrier, int Mtu)
{
    /// <summary>The ways that this node has to all others, in the order of their names. Pure.</summary>
    /// <param name="nodeName">This node.</param>
    /// <param name="nodes">All nodes, in any order.</param>
    /// <param name="configuration">Of this node.</param>
    /// <param name="underlay">Its addresses.</param>
    /// <param name="projected">What was made of all that.</param>
    public static List<ProbeTarget> Of(string nodeName, IReadOnlyCollection<Node> nodes, OverlayConfiguration configuration, Underlay underlay, ProjectedNode projected)
    {
        var ways = projected.Rows.Routes.Where(route => route is { Type: RouteType.Unicast, Gateway: not null } or { Type: RouteType.Unicast, Outer: not null }).ToDictionary(route => route.Destination);
        var targets = new List<ProbeTarget>();
        var taken = new HashSet<InetAddress>();
        foreach (var node in nodes.Where(node => node.Name != nodeName).OrderBy(node => node.Name, StringComparer.Ordinal))
        {
            foreach (var prefix in node.PodCidrs.GroupBy(prefix => prefix.Family).OrderBy(family => family.Key).Select(family => family.First()))
            {
                if (ways.TryGetValue(prefix, out var way) && OuterOf(way, node, underlay) is { } outer && (configuration.Encapsulation == Encapsulation.None ? outer : prefix.First) is var address && taken.Add(address))
                    targets.Add(new(node.Name, address, outer, way.Device!, CarrierOf(way.Device!, configuration), projected.Mtu));
            }
        }

        return targets;
    }

    private static InetAddress? OuterOf(Route way, Node node, Underlay underlay)
    {
        if (!Ownership.Tunnels.Contains(way.Device!))
            return way.Gateway;
        var shared = PeerRows.Shared(underlay, node);
        return shared.Count > 0 ? PeerRows.AddressOf(node, shared[0]) : null;
    }

    private static string CarrierOf(string device, OverlayConfiguration configuration) => device switch
    {
        Ownership.VxlanDevice or Ownership.Vxlan6Device => $"UDP port {configuration.VxlanPort}",
        Ownership.IpipDevice => "IP protocol 4 (IPv4 in IPv4)",
        Ownership.SitDevice => "IP protocol 41 (IPv6 in IPv4)",
        Ownership.Ip6tnlDevice => "IP protocols 4 and 41 (in IPv6)",
        _ => "",
    };
}
