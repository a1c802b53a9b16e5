using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Dataplane;

/// <summary>The way to another node for each encapsulation and every mix of families, as ip(8) prints it.</summary>
public class PeerRowsTests
{
    private const string Both = "192.0.2.# 2001:db8::#";

    [TestCase(Encapsulation.Vxlan, Both, Both, "via 10.42.2.0 dev overlay-vxlan", "via fd00:42:2:: dev overlay-vxlan", 1450)]
    [TestCase(Encapsulation.Vxlan, Both, "2001:db8::#", "via 10.42.2.0 dev overlay-vxlan6", "via fd00:42:2:: dev overlay-vxlan6", 1430)]
    [TestCase(Encapsulation.Vxlan, "2001:db8::#", Both, "via 10.42.2.0 dev overlay-vxlan", "via fd00:42:2:: dev overlay-vxlan", 1430)]
    [TestCase(Encapsulation.Ipip, Both, Both, "via 192.0.2.2 dev overlay-ipip", "via ::192.0.2.2 dev overlay-sit", 1480)]
    [TestCase(Encapsulation.Ipip, "192.0.2.#", Both, "via 192.0.2.2 dev overlay-ipip", "via ::192.0.2.2 dev overlay-sit", 1480)]
    [TestCase(Encapsulation.Ipip, Both, "2001:db8::#", "encap ip6 id 0 src 2001:db8::1 dst 2001:db8::2 hoplimit 0 tc 0 dev overlay-ip6tnl", "encap ip6 id 0 src 2001:db8::1 dst 2001:db8::2 hoplimit 0 tc 0 dev overlay-ip6tnl", 1460)]
    [TestCase(Encapsulation.None, Both, Both, "via 192.0.2.2 dev underlay", "via 2001:db8::2 dev underlay", 1500)]
    [TestCase(Encapsulation.None, "2001:db8::#", "2001:db8::#", "via inet6 2001:db8::2 dev underlay", "via 2001:db8::2 dev underlay", 1500)]
    public void Each_encapsulation_has_its_way_and_its_MTU(Encapsulation encapsulation, string own, string other, string ipv4, string ipv6, int mtu)
    {
        var projected = Project(new() { Encapsulation = encapsulation }, NodeOf(1, own), NodeOf(2, other));
        var routes = projected.Rows.Routes.Where(row => row.Destination.Address.ToString() is "10.42.2.0" or "fd00:42:2::").ToList();
        Assert.That(routes.Where(row => row.Type == RouteType.Unicast).Select(row => row.ToString()), Is.EqualTo(new[] { Line("10.42.2.0/24", ipv4, ""), Line("fd00:42:2::/64", ipv6, " metric 1024", " pref medium") }));
        Assert.That(routes.Where(row => row.Type != RouteType.Unicast).Select(row => (row.Type, row.Metric)), Is.EqualTo(new[] { (RouteType.Blackhole, uint.MaxValue), (RouteType.Blackhole, uint.MaxValue) }), "and while it is missing there is none");
        Assert.That(projected.Mtu, Is.EqualTo(mtu));
        Assert.That(projected.Rows.Links.Select(link => link.Mtu), Is.All.EqualTo(mtu));
        Assert.That(projected.Degradations, Is.Empty);

        static string Line(string prefix, string way, string metric, string end = "") =>
            way.StartsWith("encap", StringComparison.Ordinal) ? $"{prefix}  {way}{(metric.Length > 0 ? metric : " scope link")}{end}" : $"{prefix} {way}{metric} onlink{end}";
    }

    [Test]
    public void Across_subnets_only_what_is_on_another_is_in_the_tunnel()
    {
        var projected = Project(new() { Encapsulation = Encapsulation.Ipip, CrossSubnet = true }, NodeOf(1, Both), NodeOf(2, Both), NodeOf(3, "198.51.100.# 2001:db8::#"));
        Assert.That(Unicast(projected), Is.EqualTo(new[]
        {
            "10.42.2.0/24 via 192.0.2.2 dev underlay onlink",
            "10.42.3.0/24 via inet6 2001:db8::3 dev underlay onlink",
            "fd00:42:2::/64 via 2001:db8::2 dev underlay metric 1024 onlink pref medium",
            "fd00:42:3::/64 via 2001:db8::3 dev underlay metric 1024 onlink pref medium",
        }), "one family of the node is on this subnet");
        Assert.That(projected.Mtu, Is.EqualTo(1480), "what may yet go through the tunnel fits it");

        projected = Project(new() { Encapsulation = Encapsulation.Ipip, CrossSubnet = true }, NodeOf(1, "192.0.2.#"), NodeOf(2, "192.0.2.#"), NodeOf(3, "198.51.100.#"));
        Assert.That(Unicast(projected), Is.EqualTo(new[]
        {
            "10.42.2.0/24 via 192.0.2.2 dev underlay onlink",
            "10.42.3.0/24 via 198.51.100.3 dev overlay-ipip onlink",
            "fd00:42:2::/64 via ::192.0.2.2 dev overlay-sit metric 1024 onlink pref medium",
            "fd00:42:3::/64 via ::198.51.100.3 dev overlay-sit metric 1024 onlink pref medium",
        }), "IPv6 has no way to an IPv4 gateway, and takes the tunnel");
    }

    [Test]
    public void Without_encapsulation_a_node_of_another_subnet_is_told_and_its_pods_are_unreachable()
    {
        var projected = Project(new() { Encapsulation = Encapsulation.None }, NodeOf(1, "192.0.2.#"), NodeOf(2, "198.51.100.#"));
        Assert.That(Unicast(projected), Is.Empty);
        Assert.That(projected.Degradations.Single().ToString(), Does.StartWith("Node n2: is on no subnet of this node (192.0.2.1/24)").And.EndsWith("crossSubnet: true."));
        Assert.That(projected.Rows.Routes.Select(row => row.Type), Is.All.EqualTo(RouteType.Unreachable));
    }

    [Test]
    public void Addresses_that_a_node_chose_count_instead_of_its_InternalIPs()
    {
        var projected = Project(new() { Encapsulation = Encapsulation.Ipip }, NodeOf(1, Both), NodeOf(2, Both) with { ChosenAddresses = [InetAddress.Parse("203.0.113.2")] });
        Assert.That(Unicast(projected), Does.Contain("10.42.2.0/24 via 203.0.113.2 dev overlay-ipip onlink"));
    }

    private static IEnumerable<string> Unicast(ProjectedNode projected) => projected.Rows.Routes.Where(row => row.Type == RouteType.Unicast).Select(row => row.ToString());

    private static ProjectedNode Project(OverlayConfiguration configuration, params Node[] nodes) =>
        NodeProjection.Project("n1", nodes, configuration with { NodeName = "n1" }, [], Underlay.Assumed(new NodeAddressChoice.Auto(), nodes[0].InternalIPs));

    private static Node NodeOf(int number, string addresses) => new(
        $"n{number}",
        [Cidr.Parse($"10.42.{number}.0/24"), Cidr.Parse($"fd00:42:{number}::/64")],
        addresses.Replace("#", $"{number}", StringComparison.Ordinal).Split(' ').Select(InetAddress.Parse).ToEquatableArray());
}
