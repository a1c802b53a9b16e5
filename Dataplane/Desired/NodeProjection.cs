using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Desired;

/// <summary>
/// Nodes and local attachments → the rows of this node's kernel. Pure; always computed whole.
/// <para>
/// A packet to a pod of another node: its route (<c>10.42.2.0/24 via 10.42.2.0 dev overlay-vxlan onlink</c>) names that node's VTEP address,
/// a permanent neighbour gives the VTEP's Ethernet address, and a permanent forwarding entry the node's underlay address.
/// All three derive from the Node object, so agents agree without talking.
/// </para>
/// </summary>
public static class NodeProjection
{
    /// <summary>Bytes that VXLAN adds over an underlay of this family: outer IP header, UDP 8, VXLAN 8, inner Ethernet 14 (RFC 7348).</summary>
    public static int VxlanOverhead(Family underlay) => (underlay == Family.IPv4 ? 20 : 40) + 8 + 8 + 14;

    /// <summary>Projects.</summary>
    /// <param name="nodeName">This node.</param>
    /// <param name="nodes">All nodes, in any order.</param>
    /// <param name="configuration">Of this node.</param>
    /// <param name="attachments">Of this node, in any order.</param>
    /// <param name="underlayMtu">MTU of the device that carries the underlay, bytes.</param>
    public static ProjectedNode Project(
        string nodeName,
        IReadOnlyCollection<Node> nodes,
        OverlayConfiguration configuration,
        IReadOnlyCollection<Attachment> attachments,
        int underlayMtu)
    {
        var degradations = new List<Degradation>();
        var self = Self(nodeName, nodes, configuration, degradations);
        Node[] all = [self, .. nodes.Where(node => node.Name != nodeName)];
        Array.Sort(all, (left, right) => string.CompareOrdinal(left.Name, right.Name));
        var granted = Grant(all, degradations);

        Family? underlay = self.InternalIPs.Count == 0 ? null : self.InternalIPs.Min(address => address.Family);
        var mtu = Mtu(configuration, self, underlay, underlayMtu, degradations);
        var rows = new RowLists();
        if (underlay is { } family && granted[nodeName].Count > 0)
        {
            var local = self.InternalIPs.First(address => address.Family == family);
            AddDevice(rows, self, granted[nodeName], new LinkKind.Vxlan(configuration.VxlanVni, configuration.VxlanPort, local), mtu);
            var families = granted[nodeName].Select(prefix => prefix.Family).ToHashSet();
            foreach (var node in all.Where(node => node.Name != nodeName))
                AddRemote(rows, node, granted[node.Name].Where(prefix => families.Contains(prefix.Family)), local, degradations);
        }

        // What of the pod network has no way by now has none: its own prefixes but for its pods, and those that no tunnel reaches. Without a route of
        // their own, packets to them would leave by the default route, bare.
        foreach (var prefix in granted.Values.SelectMany(prefixes => prefixes))
            rows.Routes.TryAdd(prefix, new(prefix, RouteType.Unreachable, null, null));
        AddPods(rows, attachments, degradations);
        var network = new PodNetwork(Union(self.PodCidrs), Union(self.PodCidrs.Concat(granted.Values.SelectMany(prefixes => prefixes))));
        return new(rows.Sorted(), network, mtu, degradations.OrderBy(degradation => degradation.ToString(), StringComparer.Ordinal).ToEquatableArray());
    }

    /// <summary>The rows of one attachment, in the order of its addresses; those of two attachments differ unless they have the same address.</summary>
    public static IEnumerable<(Neighbor Neighbor, Route Route)> RowsOf(Attachment attachment)
    {
        ArgumentNullException.ThrowIfNull(attachment);
        return attachment.Addresses.Distinct().Select(address => (
            new Neighbor(new(attachment.HostInterface, address), attachment.PodMac),
            new Route(Cidr.Host(address), RouteType.Unicast, attachment.HostInterface, null)));
    }

    private static Node Self(string nodeName, IReadOnlyCollection<Node> nodes, OverlayConfiguration configuration, List<Degradation> degradations)
    {
        var subject = $"Node {nodeName}";
        var known = nodes.FirstOrDefault(node => node.Name == nodeName);
        var self = new Node(
            nodeName,
            configuration.PodCidrs.Count > 0 ? configuration.PodCidrs : known?.PodCidrs ?? [],
            configuration.NodeAddress.Count > 0 ? configuration.NodeAddress : known?.InternalIPs ?? []);
        if (known is null)
            degradations.Add(new(subject, "this node is not in the datastore, so other nodes cannot reach its pods; add a Node of this name, or set nodeName."));
        else if (self.PodCidrs.Count == 0)
            degradations.Add(new(subject, "this node has no podCIDRs, so it can have no pods and no tunnel; set the Node's spec.podCIDRs, or podCIDRs."));
        if (known is not null && self.InternalIPs.Count == 0)
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

    private static int Mtu(OverlayConfiguration configuration, Node self, Family? underlay, int underlayMtu, List<Degradation> degradations)
    {
        var most = underlayMtu - VxlanOverhead(underlay ?? Family.IPv6);
        var mtu = configuration.Mtu ?? most;
        if (mtu > most)
            degradations.Add(new("mtu", $"packets of {mtu} bytes do not fit the underlay's {underlayMtu} once encapsulated: set mtu to {most} or less, or to auto."));
        if (mtu < 1280 && self.PodCidrs.Any(prefix => prefix.Family == Family.IPv6))
            degradations.Add(new("mtu", $"IPv6 needs 1280 bytes and pods would have {mtu}: raise the MTU of the underlay's device, now {underlayMtu}."));
        return mtu;
    }

    private static void AddDevice(RowLists rows, Node self, List<Cidr> prefixes, LinkKind.Vxlan kind, int mtu)
    {
        var mac = Ownership.VtepMac(self.Name);
        rows.Macs.Add(mac);
        rows.Links.Add(new(Ownership.VxlanDevice, kind, mac, mtu));
        foreach (var vtep in VtepAddresses(prefixes))
            rows.Addresses.Add(new(Ownership.VxlanDevice, Cidr.Host(vtep)));
    }

    private static void AddRemote(RowLists rows, Node node, IEnumerable<Cidr> granted, InetAddress local, List<Degradation> degradations)
    {
        var subject = $"Node {node.Name}";
        var prefixes = granted.ToList();
        if (node.PodCidrs.Count == 0)
        {
            degradations.Add(new(subject, "has no podCIDRs yet; there are no pods to reach on it."));
            return;
        }

        var underlay = node.InternalIPs.FirstOrDefault(address => address.Family == local.Family);
        if (!node.InternalIPs.Contains(underlay))
        {
            degradations.Add(new(subject, $"has no {local.Family} address of type InternalIP, and this node's underlay is {local.Family}; its pods are unreachable from here."));
            return;
        }

        if (underlay == local)
        {
            degradations.Add(new(subject, $"has this node's own address {local}; its pods are unreachable from here."));
            return;
        }

        if (prefixes.Count == 0)
            return;
        var mac = Ownership.VtepMac(node.Name);
        if (!rows.Macs.Add(mac))
        {
            degradations.Add(new(subject, $"its tunnel's Ethernet address {mac}, derived from its name, is another node's, too; its pods are unreachable from here. Give it another name."));
            return;
        }

        rows.Fdb.Add(new(new(Ownership.VxlanDevice, mac), underlay));
        var gateways = VtepAddresses(prefixes).ToDictionary(address => address.Family);
        foreach (var gateway in gateways.Values)
            rows.Neighbors.Add(new(new(Ownership.VxlanDevice, gateway), mac));
        foreach (var prefix in prefixes)
            rows.Routes.TryAdd(prefix, new(prefix, RouteType.Unicast, Ownership.VxlanDevice, gateways[prefix.Family]));
    }

    private static void AddPods(RowLists rows, IReadOnlyCollection<Attachment> attachments, List<Degradation> degradations)
    {
        foreach (var attachment in attachments.OrderBy(attachment => attachment.HostInterface, StringComparer.Ordinal))
        {
            foreach (var (neighbor, route) in RowsOf(attachment))
            {
                rows.Neighbors.Add(neighbor);
                if (!rows.Routes.TryAdd(route.Destination, route))
                    degradations.Add(new($"pod {attachment.Pod}", $"its address {neighbor.Key.Destination} is taken on this node ({rows.Routes[route.Destination].Device}); the pod is unreachable by it. Delete and recreate the pod."));
            }
        }
    }

    // The network address of the first prefix of each family: no pod ever gets it, and everybody can derive it.
    private static IEnumerable<InetAddress> VtepAddresses(List<Cidr> prefixes) =>
        prefixes.GroupBy(prefix => prefix.Family).Select(family => family.First().First);

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

    private sealed class RowLists
    {
        public static readonly Comparer<Cidr> ByPrefix = Comparer<Cidr>.Create((left, right) =>
            left.Address.CompareTo(right.Address) is var order and not 0 ? order : left.PrefixLength.CompareTo(right.PrefixLength));

        public HashSet<MacAddress> Macs { get; } = [];

        public List<Link> Links { get; } = [];

        public List<Address> Addresses { get; } = [];

        public List<Neighbor> Neighbors { get; } = [];

        public List<FdbEntry> Fdb { get; } = [];

        public Dictionary<Cidr, Route> Routes { get; } = [];

        public NodeRows Sorted() => new(
            Links.ToEquatableArray(),
            Addresses.OrderBy(row => row.Prefix, ByPrefix).ToEquatableArray(),
            Neighbors.OrderBy(row => row.Key.Destination).ThenBy(row => row.Key.Device, StringComparer.Ordinal).ToEquatableArray(),
            Fdb.OrderBy(row => row.Destination).ThenBy(row => row.Key.LinkLayerAddress.Value).ToEquatableArray(),
            Routes.Values.OrderBy(row => row.Destination, ByPrefix).ToEquatableArray());
    }
}
