using System.Net.Sockets;

namespace Overlay.Tests.Kernel;

/// <summary>The underlay of running nodes changes: agents hear of it, and no restart, resync or change of the datastore is needed.</summary>
public class UnderlayFollowTests
{
    private TestCluster _cluster = null!;

    [TearDown]
    public void End() => _cluster?.Dispose();

    [Test]
    public void Tunnel_and_pods_follow_the_MTU_of_the_underlay()
    {
        _cluster = TestCluster.Create(2);
        var (web, db) = (_cluster.Nodes[0].AddPod("shop/web"), _cluster.Nodes[1].AddPod("shop/db"));
        db.Serve(7300);
        TestCluster.Eventually(() => web.Connects(db.IPv4, 7300), "the pods reach each other");
        foreach (var underlay in (int[])[1400, 9000, 1500])
        {
            foreach (var node in _cluster.Nodes)
                node.Net.Run($"ip link set uplink mtu {underlay}");
            foreach (var (node, pod) in _cluster.Nodes.Zip((TestPod[])[web, db]))
            {
                foreach (var (net, device) in ((NetnsFixture, string)[])[(node.Net, "overlay-vxlan"), (node.Net, pod.HostInterface), (pod.Net, "eth0")])
                    TestCluster.Eventually(() => net.Run($"ip link show {device}").Contains($"mtu {underlay - 50} ", StringComparison.Ordinal), $"{device} has {underlay - 50}", () => node.Log);
            }

            Assert.That(web.Connects(db.IPv4, 7300), "they still do");
            var late = _cluster.Nodes[0].AddPod($"shop/at-{underlay}");
            Assert.That(late.Net.Run("ip link show eth0"), Does.Contain($"mtu {underlay - 50} "));
            Assert.That(web.Check().ExitCode, Is.Zero);
        }
    }

    [Test]
    public void A_second_family_of_the_underlay_is_used_when_it_appears()
    {
        _cluster = TestCluster.CreateEmpty();
        string[] v6 = ["fd07::1"], both = ["192.168.7.2", "fd07::2"];
        var one = _cluster.AddNode("node-1", v6, ["10.42.1.0/24", "fd00:42:1::/64"]);
        var two = _cluster.AddNode("node-2", both, ["10.42.2.0/24", "fd00:42:2::/64"]);
        var (web, db) = (one.AddPod("shop/web"), two.AddPod("shop/db"));
        db.Serve(7300);
        AssertReached(web, db, "over IPv6, the one that both have");
        Assert.That(two.Net.Run("ip -d link show overlay-vxlan6"), Does.Contain("local fd07::2"));

        one.Net.Run("ip address add 192.168.7.1/24 dev uplink");
        _cluster.ApplyNode("node-1", ["fd07::1", "192.168.7.1"], ["10.42.1.0/24", "fd00:42:1::/64"]);
        TestCluster.Eventually(() => one.Net.TryRun("ip -d link show overlay-vxlan").Output.Contains("local 192.168.7.1", StringComparison.Ordinal), "IPv4 is used", () => one.Log);
        TestCluster.Eventually(() => two.Net.TryRun("ip link show overlay-vxlan6").ExitCode != 0, "and IPv6 no longer", () => two.Log);
        AssertReached(web, db, "over IPv4");
    }

    [Test]
    public void An_address_found_by_a_devices_name_is_followed_when_it_changes()
    {
        _cluster = TestCluster.CreateEmpty();
        _cluster.ApplyNode("node-1", ["192.168.7.1"], ["10.42.1.0/24", "fd00:42:1::/64"]);
        var one = _cluster.Join("node-1", "192.168.7.1");
        one.StartAgent("--node-address", "interface=upl*");
        var two = _cluster.AddNode("node-2", ["192.168.7.2"], ["10.42.2.0/24", "fd00:42:2::/64"]);
        var (web, db) = (one.AddPod("shop/web"), two.AddPod("shop/db"));
        db.Serve(7300);
        AssertReached(web, db, "by the first address");

        one.Net.Run("ip address add 192.168.7.71/24 dev uplink");
        one.Net.Run("ip address del 192.168.7.1/24 dev uplink");
        one.Net.Run("ip address replace 192.168.7.71/24 dev uplink"); // a secondary address may go with its primary one
        one.Net.Run("ip route replace default dev uplink");
        TestCluster.Eventually(() => one.Net.TryRun("ip -d link show overlay-vxlan").Output.Contains("local 192.168.7.71", StringComparison.Ordinal), "the tunnel has the new address", () => one.Log);
        TestCluster.Eventually(() => one.Log.Contains("overlay.internal/node-addresses: \"192.168.7.71\"", StringComparison.Ordinal), "the agent says what the Node is to say", () => one.Log);
        _cluster.Apply("node-node-1.yaml", """
            apiVersion: v1
            kind: Node
            metadata: { name: node-1, annotations: { overlay.internal/node-addresses: 192.168.7.71 } }
            spec: { podCIDRs: [10.42.1.0/24, "fd00:42:1::/64"] }
            status: { addresses: [{ type: InternalIP, address: 192.168.7.1 }] }
            """);
        AssertReached(web, db, "by the new address");
        Assert.That(one.Overlay("status").Output, Does.Not.Contain("node-addresses"));
    }

    private static void AssertReached(TestPod from, TestPod to, string how)
    {
        foreach (var family in (AddressFamily[])[AddressFamily.InterNetwork, AddressFamily.InterNetworkV6])
            TestCluster.Eventually(() => from.Connects(to.Address(family), 7300), $"{family}, {how}", () => $"{from.Node.Log}\n{to.Node.Log}");
    }
}
