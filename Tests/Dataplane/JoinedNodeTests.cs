using CsCheck;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Probing;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Dataplane;

/// <summary>A node that is projected by itself comes to the same as with all others.</summary>
public class JoinedNodeTests
{
    private static readonly string[] Prefixes = ["10.42.1.0/24", "10.42.2.0/24", "10.42.2.128/25", "10.42.3.0/24", "192.0.2.0/28", "fd00:42:1::/64", "fd00:42:2::/64", "fd00:42:3::/64"];
    private static readonly string[] Addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.17", "198.51.100.3", "10.42.3.9", "2001:db8::1", "2001:db8::2", "2001:db8:1::3"];

    private static readonly Gen<Node> SomeNode = Gen.Select(
        Gen.Int[1, 4], Gen.OneOf(Prefixes).Array[0, 3], Gen.OneOf(Addresses).Array[0, 3],
        (name, prefixes, addresses) => new Node($"node-{name}", prefixes.Distinct().Select(Cidr.Parse).ToEquatableArray(), addresses.Distinct().Select(InetAddress.Parse).ToEquatableArray()));

    private static readonly Gen<OverlayConfiguration> SomeConfiguration = Gen.Select(
        Gen.Enum<Encapsulation>(), Gen.Bool, Gen.Int[0, 3], (encapsulation, cross, mtu) => new OverlayConfiguration { NodeName = "node-1", Encapsulation = encapsulation, CrossSubnet = cross, Mtu = mtu == 0 ? 1400 : null });

    [Test]
    public void By_itself_and_with_all_others_it_comes_to_the_same()
    {
        var joined = 0;
        Gen.Select(SomeNode.Array[1, 4], SomeNode, SomeConfiguration).Sample(
            (nodes, node, configuration) =>
            {
                var others = nodes.DistinctBy(other => other.Name).Where(other => other.Name != node.Name).ToList();
                var underlay = Underlay.Assumed(new NodeAddressChoice.Auto(), others.Find(other => other.Name == "node-1")?.InternalIPs ?? []);
                var before = NodeProjection.Project("node-1", others, configuration, [], underlay);
                if (JoinedNode.Of(new(others), node, configuration, underlay, before) is not { } alone)
                    return;
                joined++;
                var whole = NodeProjection.Project("node-1", [.. others, node], configuration, [], underlay);
                Assert.That(NodeText.Print(Sum(before.Rows, alone.Rows)), Is.EqualTo(NodeText.Print(whole.Rows)));
                Assert.That((JoinedNode.Extend(before.Network, node.PodCidrs), before.Mtu), Is.EqualTo((whole.Network, whole.Mtu)));
                Assert.That(before.Degradations.Concat(alone.Degradations).Select(degradation => degradation.ToString()), Is.EquivalentTo(whole.Degradations.Select(degradation => degradation.ToString())));
                Assert.That(
                    ProbeTarget.Of("node-1", others, configuration, underlay, before).Concat(ProbeTarget.Of(node, ProbeTarget.WaysOf(alone.Rows), configuration, underlay, whole.Mtu)).Distinct(),
                    Is.EquivalentTo(ProbeTarget.Of("node-1", [.. others, node], configuration, underlay, whole)));
            },
            iter: 20_000);
        Assert.That(joined, Is.GreaterThan(500), "and not for want of nodes that can be");
    }

    [TestCase("10.42.2.0/25", "192.0.2.9", TestName = "A prefix within another's")]
    [TestCase("10.42.0.0/16", "192.0.2.9", TestName = "A prefix around another's")]
    [TestCase("192.0.2.0/28", "192.0.2.99", TestName = "A prefix around another's address")]
    [TestCase("10.42.9.0/24", "10.42.2.5", TestName = "An address within another's prefix")]
    [TestCase("10.42.9.0/24", "10.42.9.5", TestName = "An address within its own prefix")]
    public void What_has_to_do_with_another_is_projected_with_it(string prefix, string address)
    {
        Node[] others = [new("node-1", [Cidr.Parse("10.42.1.0/24")], [InetAddress.Parse("192.0.2.1")]), new("node-2", [Cidr.Parse("10.42.2.0/24")], [InetAddress.Parse("192.0.2.2")])];
        var configuration = new OverlayConfiguration { NodeName = "node-1" };
        var underlay = Underlay.Assumed(new NodeAddressChoice.Auto(), others[0].InternalIPs);
        var node = new Node("node-3", [Cidr.Parse(prefix)], [InetAddress.Parse(address)]);
        var before = NodeProjection.Project("node-1", others, configuration, [], underlay);
        Assert.That(JoinedNode.Of(new(others), node, configuration, underlay, before), Is.Null);
        Assert.That(JoinedNode.Of(new(others), node with { PodCidrs = [Cidr.Parse("10.42.9.0/24")], InternalIPs = [InetAddress.Parse("192.0.2.9")] }, configuration, underlay, before), Is.Not.Null);
    }

    private static NodeRows Sum(NodeRows one, NodeRows other)
    {
        var rows = new RowLists();
        rows.Links.AddRange(one.Links);
        rows.Addresses.AddRange(one.Addresses);
        rows.Neighbors.AddRange([.. one.Neighbors, .. other.Neighbors]);
        rows.Fdb.AddRange([.. one.Fdb, .. other.Fdb]);
        foreach (var route in one.Routes.Concat<Route>(other.Routes))
            Assert.That(rows.Add(route), Is.True, route.ToString());
        return rows.Sorted();
    }
}
