using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Dataplane;

public class NodeProjectionTests
{
    private static readonly OverlayConfiguration Configuration = new() { NodeName = "n1" };

    private static readonly Node N1 = NodeOf("n1", "10.42.1.0/24 fd00:42:1::/64", "192.0.2.1 2001:db8::1");
    private static readonly Node N2 = NodeOf("n2", "10.42.2.0/24 fd00:42:2::/64", "192.0.2.2 2001:db8::2");

    [Test]
    public void Two_dual_stack_nodes_over_an_IPv4_underlay()
    {
        var projected = Project([N1, N2], [AttachmentOf("c1", "10.42.1.5 fd00:42:1::5")]);
        var mac1 = Ownership.VtepMac("n1");
        var mac2 = Ownership.VtepMac("n2");
        var pod = Ownership.PodInterface("c1", "eth0");
        var podMac = Ownership.PodMac("c1", "eth0");
        Assert.That(NodeText.Print(projected.Rows), Is.EqualTo($"""
            # ip link
            overlay-vxlan mtu 1450 link/ether {mac1} vxlan id 4096 local 192.0.2.1 dstport 4789 nolearning
            # ip address
            inet 10.42.1.0/32 dev overlay-vxlan
            inet6 fd00:42:1::/128 dev overlay-vxlan
            # ip neighbour
            10.42.1.5 dev {pod} lladdr {podMac} PERMANENT
            10.42.2.0 dev overlay-vxlan lladdr {mac2} PERMANENT
            fd00:42:1::5 dev {pod} lladdr {podMac} PERMANENT
            fd00:42:2:: dev overlay-vxlan lladdr {mac2} PERMANENT
            # bridge fdb
            {mac2} dev overlay-vxlan dst 192.0.2.2 self permanent
            # ip route
            unreachable 10.42.1.0/24
            10.42.1.5 dev {pod} scope link
            10.42.2.0/24 via 10.42.2.0 dev overlay-vxlan onlink
            blackhole 10.42.2.0/24 metric 4294967295
            unreachable fd00:42:1::/64 dev lo metric 1024 pref medium
            fd00:42:1::5 dev {pod} src 2001:db8::1 metric 1024 pref medium
            fd00:42:2::/64 via fd00:42:2:: dev overlay-vxlan metric 1024 onlink pref medium
            blackhole fd00:42:2::/64 dev lo metric 4294967295 pref medium

            """));
        Assert.That(projected.Network.Local, Is.EqualTo(Cidrs("10.42.1.0/24 fd00:42:1::/64")));
        Assert.That(projected.Network.All, Is.EqualTo(Cidrs("10.42.1.0/24 10.42.2.0/24 fd00:42:1::/64 fd00:42:2::/64")));
        Assert.That(projected.Degradations, Is.Empty);
    }

    [Test]
    public void Both_families_travel_over_an_IPv6_underlay()
    {
        var projected = Project([N1 with { InternalIPs = Addresses("2001:db8::1") }, N2]);
        Assert.That(projected.Mtu, Is.EqualTo(1430));
        Assert.That(((LinkKind.Vxlan)projected.Rows.Links[0].Kind).Local, Is.EqualTo(InetAddress.Parse("2001:db8::1")));
        Assert.That(projected.Rows.Fdb.Select(row => row.Destination), Is.EqualTo(Addresses("2001:db8::2")));
        Assert.That(projected.Rows.Routes.Count(row => row.Metric != Route.LastResort), Is.EqualTo(4));
        Assert.That(projected.Degradations, Is.Empty);
    }

    [TestCase("10.42.1.0/24", Family.IPv4)]
    [TestCase("fd00:42:1::/64", Family.IPv6)]
    public void A_single_stack_node_has_a_tunnel_for_its_family_only(string podCidrs, Family family)
    {
        var projected = Project([N1 with { PodCidrs = Cidrs(podCidrs) }, N2]);
        var (same, other) = (projected.Rows.Routes.Where(row => row.Destination.Family == family), projected.Rows.Routes.Where(row => row.Destination.Family != family));
        Assert.That(same.Select(row => row.Type), Is.EquivalentTo([RouteType.Unreachable, RouteType.Unicast, RouteType.Blackhole]));
        Assert.That(other.Select(row => row.Type), Is.EqualTo([RouteType.Unreachable]));
        Assert.That(projected.Rows.Addresses.Select(row => row.Prefix.Family), Is.EqualTo(new[] { family }));
        Assert.That(projected.Rows.Neighbors.Select(row => row.Key.Destination.Family), Is.EqualTo(new[] { family }));
    }

    [Test]
    public void Every_podCIDR_of_a_node_is_routed_through_its_one_VTEP_address()
    {
        var projected = Project([N1, NodeOf("n2", "10.42.2.0/24 10.42.9.0/24", "192.0.2.2")]);
        Assert.That(projected.Rows.Routes.Where(row => row.Gateway is not null).Select(row => row.ToString()), Is.EqualTo(new[]
        {
            "10.42.2.0/24 via 10.42.2.0 dev overlay-vxlan onlink",
            "10.42.9.0/24 via 10.42.2.0 dev overlay-vxlan onlink",
        }));
        Assert.That(projected.Rows.Neighbors, Has.Count.EqualTo(1));
    }

    [Test]
    public void Order_of_nodes_and_attachments_does_not_matter()
    {
        Node[] nodes = [N1, N2, NodeOf("n3", "10.42.2.0/25", "192.0.2.3"), NodeOf("n4", "10.42.4.0/24", "192.0.2.4")];
        Attachment[] attachments = [AttachmentOf("c1", "10.42.1.5"), AttachmentOf("c2", "10.42.1.6"), AttachmentOf("c3", "10.42.1.6")];
        Assert.That(Project([.. nodes.Reverse()], [.. attachments.Reverse()]), Is.EqualTo(Project(nodes, attachments)));
    }

    [TestCase("n2", "n3", "10.42.2.0/24", "10.42.2.0/24")]
    [TestCase("n2", "n3", "10.42.0.0/16", "10.42.2.0/24")]
    [TestCase("n2", "n3", "10.42.2.0/24", "10.42.0.0/16")]
    public void Of_overlapping_podCIDRs_the_node_first_by_name_keeps_its_own(string winner, string loser, string first, string second)
    {
        var projected = Project([N1 with { PodCidrs = Cidrs("10.99.1.0/24") }, NodeOf(winner, first, "192.0.2.2"), NodeOf(loser, $"{second} 10.50.0.0/24", "192.0.2.3")]);
        Assert.That(projected.Rows.Routes.Where(row => row.Gateway is not null).Select(row => row.ToString()), Is.EquivalentTo(new[]
        {
            $"{first} via {Cidr.Parse(first).First} dev overlay-vxlan onlink",
            "10.50.0.0/24 via 10.50.0.0 dev overlay-vxlan onlink",
        }));
        Assert.That(projected.Degradations.Single().ToString(), Does.StartWith($"Node {loser}: podCIDR {second} overlaps one of {winner}"));
    }

    [Test]
    public void A_node_that_loses_its_own_podCIDR_still_reaches_its_own_pods()
    {
        var projected = Project([N1, NodeOf("a", "10.42.1.0/24", "192.0.2.9")], [AttachmentOf("c1", "10.42.1.5")]);
        Assert.That(projected.Rows.Routes.Where(row => row.Destination.Family == Family.IPv4).Select(row => row.ToString()), Is.EqualTo(new[] { "unreachable 10.42.1.0/24", $"10.42.1.5 dev {Ownership.PodInterface("c1", "eth0")} scope link" }));
        Assert.That(projected.Degradations.Single().Subject, Is.EqualTo("Node n1"));
    }

    [Test]
    public void A_podCIDR_around_the_underlay_is_not_routed()
    {
        var projected = Project([N1, NodeOf("n2", "192.0.0.0/16", "192.0.2.2")]);
        Assert.That(projected.Rows.Routes.Select(row => row.Destination), Has.None.EqualTo(Cidr.Parse("192.0.0.0/16")));
        Assert.That(projected.Degradations.Single().ToString(), Does.StartWith("Node n2: podCIDR 192.0.0.0/16 holds an InternalIP of Node n1"));
    }

    [Test]
    public void A_node_that_shares_no_family_is_unreachable_and_reported()
    {
        var projected = Project([N1 with { InternalIPs = Addresses("192.0.2.1") }, N2 with { InternalIPs = Addresses("2001:db8::2") }]);
        Assert.That(projected.Rows.Fdb, Is.Empty);
        Assert.That(projected.Rows.Routes.Select(row => row.Type), Is.All.EqualTo(RouteType.Unreachable));
        Assert.That(projected.Rows.Routes.Select(row => row.Destination), Is.SupersetOf(N2.PodCidrs), "or packets to its pods would leave by the default route");
        Assert.That(projected.Degradations.Single().ToString(), Does.StartWith("Node n2: has no address of type InternalIP of a family that this node has one of (192.0.2.1)"));
    }

    [Test]
    public void A_node_without_podCIDRs_is_reported()
    {
        var projected = Project([N1, N2 with { PodCidrs = [] }]);
        Assert.That(projected.Rows.Fdb, Is.Empty);
        Assert.That(projected.Degradations.Single().Subject, Is.EqualTo("Node n2"));
    }

    [Test]
    public void A_node_with_our_own_address_is_reported()
    {
        var projected = Project([N1, N2 with { InternalIPs = N1.InternalIPs }]);
        Assert.That(projected.Rows.Fdb, Is.Empty);
        Assert.That(projected.Degradations.Single().Reason, Does.StartWith("has this node's own address 192.0.2.1"));
    }

    [Test]
    public void Without_this_Node_there_is_no_tunnel_yet_local_pods_stay_reachable()
    {
        var projected = Project([N2], [AttachmentOf("c1", "10.42.1.5")]);
        Assert.That(projected.Rows.Links, Is.Empty);
        Assert.That(projected.Rows.Routes.Select(row => row.ToString()), Is.EqualTo(new[] { $"10.42.1.5 dev {Ownership.PodInterface("c1", "eth0")} scope link", "unreachable 10.42.2.0/24", "unreachable fd00:42:2::/64 dev lo metric 1024 pref medium" }));
        Assert.That(projected.Degradations.Single().ToString(), Does.StartWith("Node n1: this node is not in the datastore"));
    }

    [Test]
    public void Configuration_replaces_what_the_Node_says_of_this_node()
    {
        var configuration = Configuration with { PodCidrs = Cidrs("10.77.0.0/24"), NodeAddress = new NodeAddressChoice.Listed(Addresses("192.0.2.77")), Mtu = 1400, VxlanPort = 8472, VxlanVni = 1 };
        var projected = NodeProjection.Project("n1", [N1, N2], configuration, [], Underlay.Assumed(configuration.NodeAddress, N1.InternalIPs));
        Assert.That(projected.Rows.Links.Single().ToString(), Does.Contain("mtu 1400").And.Contain("vxlan id 1 local 192.0.2.77 dstport 8472"));
        Assert.That(projected.Rows.Addresses.Single().ToString(), Is.EqualTo("inet 10.77.0.0/32 dev overlay-vxlan"));
        Assert.That(projected.Network.Local, Is.EqualTo(Cidrs("10.77.0.0/24")));
    }

    [TestCase(1500, 1500, "packets of 1500 bytes do not fit")]
    [TestCase(1300, null, "IPv6 needs 1280 bytes")]
    public void An_MTU_that_cannot_work_is_reported(int underlay, int? configured, string reason)
    {
        var projected = NodeProjection.Project("n1", [N1, N2], Configuration with { Mtu = configured }, [], UnderlayOf(N1, underlay));
        Assert.That(projected.Degradations.Single().Reason, Does.StartWith(reason));
    }

    [Test]
    public void An_address_wired_twice_goes_to_one_pod_and_is_reported()
    {
        var projected = Project([N1], [AttachmentOf("c1", "10.42.1.5"), AttachmentOf("c2", "10.42.1.5")]);
        Assert.That(projected.Rows.Routes.Count(row => row.Destination == Cidr.Parse("10.42.1.5/32")), Is.EqualTo(1));
        Assert.That(projected.Degradations.Single().Reason, Does.StartWith("its address 10.42.1.5 is taken"));
    }

    [Test]
    public void VTEP_addresses_of_five_thousand_nodes_are_found_without_comparing_all_pairs()
    {
        var nodes = Enumerable.Range(0, 5000).Select(i => NodeOf($"n{i:d4}", $"10.{i / 250}.{i % 250}.0/24 fd00:{i:x}::/64", $"172.16.{i / 250}.{i % 250}")).ToList();
        var projected = NodeProjection.Project("n0000", nodes, Configuration with { NodeName = "n0000" }, [], UnderlayOf(nodes[0]));
        Assert.That(projected.Rows.Fdb, Has.Count.EqualTo(4999));
        Assert.That(projected.Rows.Routes, Has.Count.EqualTo(2 + (2 * 2 * 4999)));
        Assert.That(projected.Degradations, Is.Empty);
    }

    private static ProjectedNode Project(Node[] nodes, Attachment[]? attachments = null) => NodeProjection.Project("n1", nodes, Configuration, attachments ?? [], UnderlayOf(nodes.FirstOrDefault(node => node.Name == "n1")));

    private static Underlay UnderlayOf(Node? node, int mtu = 1500)
    {
        var assumed = Underlay.Assumed(new NodeAddressChoice.Auto(), node?.InternalIPs ?? []);
        return assumed with { Addresses = assumed.Addresses.Select(address => address with { Mtu = mtu }).ToEquatableArray() };
    }

    private static Node NodeOf(string name, string podCidrs, string internalIPs) => new(name, Cidrs(podCidrs), Addresses(internalIPs));

    private static EquatableArray<Cidr> Cidrs(string text) => text.Split(' ').Select(Cidr.Parse).ToEquatableArray();

    private static EquatableArray<InetAddress> Addresses(string text) => text.Split(' ').Select(InetAddress.Parse).ToEquatableArray();

    private static Attachment AttachmentOf(string container, string addresses) =>
        new(container, "eth0", new("shop", container), "", "/run/netns/x", Ownership.PodInterface(container, "eth0"), Ownership.PodMac(container, "eth0"), Addresses(addresses), "overlay");
}
