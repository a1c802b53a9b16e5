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
        var ways = WaysOf(projected.Rows);
        var taken = new HashSet<(string Node, InetAddress Address)>(); // an address in the tunnel is the node's whose prefix it is, also when another claims that
        return [.. nodes.Where(node => node.Name != nodeName).OrderBy(node => node.Name, StringComparer.Ordinal).SelectMany(node => Of(node, ways, configuration, underlay, projected.Mtu)).Where(target => taken.Add((configuration.Encapsulation == Encapsulation.None ? target.Node : "", target.Address)))];
    }

    /// <summary>The ways to one node.</summary>
    /// <param name="node">The node.</param>
    /// <param name="ways">By prefix (<see cref="WaysOf"/>).</param>
    /// <param name="configuration">Of this node.</param>
    /// <param name="underlay">Its addresses.</param>
    /// <param name="mtu">Of packets, bytes.</param>
    public static IEnumerable<ProbeTarget> Of(Node node, IReadOnlyDictionary<Cidr, Route> ways, OverlayConfiguration configuration, Underlay underlay, int mtu)
    {
        foreach (var prefix in node.PodCidrs.GroupBy(prefix => prefix.Family).OrderBy(family => family.Key).Select(family => family.First()))
        {
            if (ways.TryGetValue(prefix, out var way) && OuterOf(way, node, underlay) is { } outer)
                yield return new(node.Name, configuration.Encapsulation == Encapsulation.None ? outer : prefix.First, outer, way.Device!, CarrierOf(way.Device!, configuration), mtu);
        }
    }

    /// <summary>The routes that lead to other nodes.</summary>
    public static Dictionary<Cidr, Route> WaysOf(NodeRows rows) =>
        rows.Routes.Where(route => route.Type == RouteType.Unicast && (route.Gateway is not null || route.Outer is not null)).ToDictionary(route => route.Destination);

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
