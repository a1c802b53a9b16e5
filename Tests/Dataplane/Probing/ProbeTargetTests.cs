using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Probing;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Dataplane.Probing;

/// <summary>Which ways are tried, for each encapsulation.</summary>
public class ProbeTargetTests
{
    [TestCase(Encapsulation.Vxlan, false, "10.42.2.0 by overlay-vxlan on 192.0.2.2, UDP port 4789|fd00:42:2:: by overlay-vxlan on 192.0.2.2, UDP port 4789|10.42.3.0 by overlay-vxlan on 198.51.100.3, UDP port 4789|fd00:42:3:: by overlay-vxlan on 198.51.100.3, UDP port 4789")]
    [TestCase(Encapsulation.Vxlan, true, "10.42.2.0 by underlay on 192.0.2.2|fd00:42:2:: by overlay-vxlan on 192.0.2.2, UDP port 4789|10.42.3.0 by overlay-vxlan on 198.51.100.3, UDP port 4789|fd00:42:3:: by overlay-vxlan on 198.51.100.3, UDP port 4789")]
    [TestCase(Encapsulation.Ipip, false, "10.42.2.0 by overlay-ipip on 192.0.2.2, IP protocol 4 (IPv4 in IPv4)|fd00:42:2:: by overlay-sit on 192.0.2.2, IP protocol 41 (IPv6 in IPv4)|10.42.3.0 by overlay-ipip on 198.51.100.3, IP protocol 4 (IPv4 in IPv4)|fd00:42:3:: by overlay-sit on 198.51.100.3, IP protocol 41 (IPv6 in IPv4)")]
    [TestCase(Encapsulation.None, false, "192.0.2.2 by underlay on 192.0.2.2")]
    public void Each_way_is_tried(Encapsulation encapsulation, bool crossSubnet, string expected)
    {
        var configuration = new OverlayConfiguration { NodeName = "node-1", Encapsulation = encapsulation, CrossSubnet = crossSubnet };
        Assert.That(Targets(configuration, NodeOf(1, "192.0.2.1"), NodeOf(2, "192.0.2.2"), NodeOf(3, "198.51.100.3")), Is.EqualTo(expected.Split('|')));
    }

    [Test]
    public void Over_IPv6_both_families_are_tried_and_a_prefix_that_another_has_is_not()
    {
        var configuration = new OverlayConfiguration { NodeName = "node-1", Encapsulation = Encapsulation.Ipip };
        var twin = NodeOf(2, "2001:db8::4") with { Name = "node-4" };
        Assert.That(Targets(configuration, NodeOf(1, "2001:db8::1"), twin, NodeOf(2, "2001:db8::2")), Is.EqualTo(new[]
        {
            "10.42.2.0 by overlay-ip6tnl on 2001:db8::2, IP protocols 4 and 41 (in IPv6)",
            "fd00:42:2:: by overlay-ip6tnl on 2001:db8::2, IP protocols 4 and 41 (in IPv6)",
        }));
    }

    private static string[] Targets(OverlayConfiguration configuration, params Node[] nodes)
    {
        var underlay = Underlay.Assumed(new NodeAddressChoice.Auto(), nodes[0].InternalIPs);
        var projected = NodeProjection.Project("node-1", nodes, configuration, [], underlay);
        return [.. ProbeTarget.Of("node-1", nodes, configuration, underlay, projected).Select(target => $"{target.Address} by {target.Device} on {target.Outer}{(target.Carrier.Length > 0 ? ", " : "")}{target.Carrier}")];
    }

    private static Node NodeOf(int number, string address) => new(
        $"node-{number}",
        [Cidr.Parse($"10.42.{number}.0/24"), Cidr.Parse($"fd00:42:{number}::/64")],
        [InetAddress.Parse(address)]);
}
