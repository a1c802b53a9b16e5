using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Desired;

/// <summary>
/// Nodes and local attachments → the rows of this node's kernel. Pure; always computed whole.
/// <para>
/// A packet to a pod of another node by VXLAN: its route (<c>10.42.2.0/24 via 10.42.2.0 dev overlay-vxlan onlink</c>) names that node's VTEP address,
/// a permanent neighbour gives the VTEP's Ethernet address, and a permanent forwarding entry the node's underlay address. By IP-in-IP the route itself names the node's underlay address, and
/// without encapsulation, too (<see cref="PeerRows"/>). All derive from the Node object, so agents agree without talking.
/// </para>
/// </summary>
public static class NodeProjection
{
    /// <summary>Projects.</summary>
    /// <param name="nodeName">This node.</param>
    /// <param name="nodes">All nodes, in any order.</param>
    /// <param name="configuration">Of this node.</param>
    /// <param name="attachments">Of this node, in any order.</param>
    /// <param name="underlay">What carries packets between nodes.</param>
    public static ProjectedNode Project(
        string nodeName,
        IReadOnlyCollection<Node> nodes,
        OverlayConfiguration configuration,
        IReadOnlyCollection<Attachment> attachments,
        Underlay underlay)
    {
        var degradations = new List<Degradation>(underlay.Degradations);
        var self = Self(nodeName, nodes, configuration, underlay, degradations);
        Node[] all = [self, .. nodes.Where(node => node.Name != nodeName)];
        Array.Sort(all, (left, right) => string.CompareOrdinal(left.Name, right.Name));
        var granted = Grant(all, degradations);

        var (mtu, mtuSource) = Mtu(configuration, self, all, underlay, degradations);
        var rows = new RowLists();
        if (underlay.Addresses.Count > 0 && granted[nodeName].Count > 0)
        {
            var peers = new PeerRows(configuration, self with { PodCidrs = granted[nodeName].ToEquatableArray() }, underlay, mtu, rows, degradations);
            var families = granted[nodeName].Select(prefix => prefix.Family).ToHashSet();
            peers.AddOwnDevices();
            foreach (var node in all.Where(node => node.Name != nodeName))
                peers.Add(node, [.. granted[node.Name].Where(prefix => families.Contains(prefix.Family))]);
        }

        // What of the pod network has no way by now has none: its own prefixes but for its pods, and those that no tunnel reaches. Without a route of
        // their own, packets to them would leave by the default route, bare.
        foreach (var prefix in granted.Values.SelectMany(prefixes => prefixes))
            rows.Add(new(prefix, RouteType.Unreachable, null, null));
        AddPods(rows, attachments, underlay.OfIPv6, degradations);
        var network = new PodNetwork(Union(self.PodCidrs), Union(self.PodCidrs.Concat(granted.Values.SelectMany(prefixes => prefixes))));
        return new(rows.Sorted() with { PodSource = underlay.OfIPv6 }, network, mtu, degradations.OrderBy(degradation => degradation.ToString(), StringComparer.Ordinal).ToEquatableArray()) { MtuSource = mtuSource, Granted = granted[nodeName].ToEquatableArray() };
    }

    /// <summary>The rows of one attachment, in the order of its addresses; those of two attachments differ unless they have the same address.</summary>
    /// <param name="attachment">The pod's interface.</param>
    /// <param name="source">The node's IPv6 address on a device of this machine, or null. By it processes of the node answer their own pods: the kernel by itself would choose the tunnel's, which is
    /// nearer to the pod's, and who had asked by the node's address would not know it. (An IPv4 tunnel's address is not nearer to it than others: it is chosen as the first of the machine.)</param>
    public static IEnumerable<(Neighbor Neighbor, Route Route)> RowsOf(Attachment attachment, InetAddress? source)
    {
        ArgumentNullException.ThrowIfNull(attachment);
        return attachment.Addresses.Distinct().Select(address => (
            new Neighbor(new(attachment.HostInterface, address), attachment.PodMac),
            new Route(Cidr.Host(address), RouteType.Unicast, attachment.HostInterface, null) { Source = address.Family == Family.IPv6 ? source : null }));
    }

    private static Node Self(string nodeName, IReadOnlyCollection<Node> nodes, OverlayConfiguration configuration, Underlay underlay, List<Degradation> degradations)
    {
        var subject = $"Node {nodeName}";
        var known = nodes.FirstOrDefault(node => node.Name == nodeName);
        var self = new Node(
            nodeName,
            configuration.PodCidrs.Count > 0 ? configuration.PodCidrs : known?.PodCidrs ?? [],
            underlay.Own.Concat(known?.InternalIPs ?? []).Distinct().ToEquatableArray());
        if (known is null)
            degradations.Add(new(subject, "this node is not in the datastore, so other nodes cannot reach its pods; add a Node of this name, or set nodeName."));
        else if (self.PodCidrs.Count == 0)
            degradations.Add(new(subject, "this node has no podCIDRs, so it can have no pods and no tunnel; set the Node's spec.podCIDRs, or podCIDRs."));
        if (known is not null && underlay.Addresses.Count == 0 && underlay.Degradations.Count == 0)
            degradations.Add(new(subject, "this node has no address of type InternalIP, so it has no tunnel; set the Node's status.addresses, or nodeAddress."));
        return self;
    }

    // First by name keeps a prefix that two nodes claim: every agent comes to the same answer.
    private static Dictionary<string, List<Cidr>> Grant(Node[] nodes, List<Degradation> degradations)
    {
        var claims = new PrefixClaims(nodes.SelectMany(node => node.PodCidrs));
        var granted = new Dictionary<string, List<Cidr>>(StringComparer.Ordinal);
        foreach (var node in nodes)
        {
            var prefixes = new List<Cidr>();
            foreach (var prefix in node.PodCidrs.Distinct())
            {
                if (claims.Claim(prefix, node.Name) is { } owner)
                    degradations.Add(new($"Node {node.Name}", $"podCIDR {prefix} overlaps one of {owner}, which keeps it; pods with these addresses on {node.Name} are not reached from other nodes. Give each node its own podCIDRs."));
                else
                    prefixes.Add(prefix);
            }

            granted.Add(node.Name, prefixes);
        }

        // Encapsulated packets to a node inside a routed prefix would be encapsulated again, for ever.
        foreach (var node in nodes)
        {
            foreach (var (prefix, owner) in node.InternalIPs.SelectMany(claims.Around))
            {
                if (granted[owner].Remove(prefix))
                    degradations.Add(new($"Node {owner}", $"podCIDR {prefix} holds an InternalIP of Node {node.Name}, so it is not routed; choose podCIDRs apart from the nodes' network."));
            }
        }

        return granted;
    }

    // What fits every way that is in use. With both families in use it is the smaller that counts, since a pod's interface has one MTU.
    private static (int Mtu, string Source) Mtu(OverlayConfiguration configuration, Node self, Node[] all, Underlay underlay, List<Degradation> degradations)
    {
        var shared = all.Where(node => node.Name != self.Name).Select(node => PeerRows.Shared(underlay, node)).Where(families => families.Count > 0).ToList();
        var inTunnels = shared.Select(families => families[0]).ToHashSet();
        var asTheyAre = configuration.CrossSubnet || configuration.Encapsulation == Encapsulation.None ? shared.SelectMany(families => families).ToHashSet() : [];
        var ways = underlay.Addresses.Where((address, i) => i == 0 || inTunnels.Contains(address.Prefix.Family))
            .Select(address => (Most: address.Mtu - PeerRows.Overhead(configuration.Encapsulation, address.Prefix.Family), Underlay: address))
            .Concat(underlay.Addresses.Where(address => asTheyAre.Contains(address.Prefix.Family)).Select(address => (Most: address.Mtu, Underlay: address)))
            .DefaultIfEmpty((Most: Underlay.EthernetMtu - PeerRows.Overhead(configuration.Encapsulation, Family.IPv6), Underlay: new DeviceAddress("", new(InetAddress.Parse("::"), 0), Underlay.EthernetMtu)));
        var (most, over) = ways.MinBy(way => (way.Most, way.Underlay.Mtu));
        var narrowest = over.Mtu;
        var mtu = configuration.Mtu ?? most;
        if (mtu > most)
            degradations.Add(new("mtu", $"packets of {mtu} bytes do not fit the underlay's {narrowest} once encapsulated: set mtu to {most} or less, or to auto."));
        if (mtu < 1280 && self.PodCidrs.Any(prefix => prefix.Family == Family.IPv6))
            degradations.Add(new("mtu", $"IPv6 needs 1280 bytes and pods would have {mtu}: raise the MTU of the underlay's device, now {narrowest}."));
        var overhead = narrowest - most;
        var source = configuration.Mtu is not null ? "as configured" : $"{narrowest} of {(over.Device.Length > 0 ? over.Device : "an underlay that is assumed")}{(overhead > 0 ? $" less {overhead} for {configuration.Encapsulation.ToString().ToLowerInvariant()} over {over.Prefix.Family}" : "")}";
        return (mtu, source);
    }

    private static void AddPods(RowLists rows, IReadOnlyCollection<Attachment> attachments, InetAddress? source, List<Degradation> degradations)
    {
        foreach (var attachment in attachments.OrderBy(attachment => attachment.HostInterface, StringComparer.Ordinal))
        {
            foreach (var (neighbor, route) in RowsOf(attachment, source))
            {
                rows.Neighbors.Add(neighbor);
                if (!rows.Add(route))
                    degradations.Add(new($"pod {attachment.Pod}", $"its address {neighbor.Key.Destination} is taken on this node ({rows.Routes[route.Key].Device}); the pod is unreachable by it. Delete and recreate the pod."));
            }
        }
    }

    // Without what lies within another: prefixes nest or are disjoint.
    private static EquatableArray<Cidr> Union(IEnumerable<Cidr> prefixes)
    {
        var union = new List<Cidr>();
        foreach (var prefix in prefixes.Order(RowLists.ByPrefix))
        {
            if (union.Count == 0 || !union[^1].Contains(prefix))
                union.Add(prefix);
        }

        return union.ToEquatableArray();
    }
}
