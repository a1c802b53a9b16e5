using System.Diagnostics;
using System.Net;
using Overlay.Dataplane;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Kernel;
using Serilog.Core;

namespace Overlay.Tests.Kernel;

/// <summary>Somebody turns off that a node forwards. Nothing here waits for a resync of a running agent: by default that is ten minutes off.</summary>
public class ForwardingTests
{
    private const string Health = "127.0.0.1:14789";

    private TestCluster _cluster = null!;

    [TearDown]
    public void EndCluster() => _cluster?.Dispose();

    [TestCase("ipv4/ip_forward", "ipv4/ip_forward")]
    [TestCase("ipv4/conf/all/forwarding", "ipv4/ip_forward")]
    [TestCase("ipv6/conf/all/forwarding", "ipv6/conf/all/forwarding")]
    public void It_is_on_again_at_once_and_that_is_told(string sysctl, string told)
    {
        _cluster = TestCluster.Create(2);
        var node = _cluster.Nodes[0];
        var (web, db) = (node.AddPod("shop/web"), _cluster.Nodes[1].AddPod("shop/db"));
        db.Serve(5432);
        IPAddress[] addresses = [db.IPv4, db.IPv6];
        TestCluster.Eventually(() => addresses.All(address => web.Connects(address, 5432)), "packets pass");

        node.Net.Run($"sysctl -q -w net/{sysctl}=0");
        TestCluster.Eventually(() => addresses.All(address => web.Connects(address, 5432)), "packets pass again", () => node.Log);
        AssertLogs(node, $"repaired what somebody else changed: net/{told}=1");
        Assert.That(node.Overlay("status").Output, Does.Match(@"repaired +[1-9]\d* changes of others"));
        TestCluster.Eventually(() => node.Overlay("verify").ExitCode == 0, "nothing differs", () => node.Overlay("verify").Output);
    }

    // A node may have its own default route by router advertisements, and needs to hear them although it forwards; a pod that could send it any would be its router.
    [Test]
    public void The_underlay_stays_heard_for_router_advertisements_and_pods_do_not_become_so()
    {
        _cluster = TestCluster.Create(1);
        var node = _cluster.Nodes[0];
        var pod = node.AddPod("shop/web");
        string AcceptRa(string device) => node.Net.Run($"sysctl -n net/ipv6/conf/{device}/accept_ra").Trim();
        node.Net.Run("sysctl -q -w net/ipv6/conf/uplink/accept_ra=1");
        Assert.That(AcceptRa(pod.HostInterface), Is.EqualTo("1"));

        node.Net.Run("sysctl -q -w net/ipv6/conf/all/forwarding=0");
        TestCluster.Eventually(() => IsOn(node, "ipv6/conf/all/forwarding"), "the node forwards again", () => node.Log);
        Assert.That((AcceptRa("uplink"), AcceptRa(pod.HostInterface), AcceptRa(Ownership.VxlanDevice)), Is.EqualTo(("2", "1", "1")));
    }

    // Each loss that is told may be repaired once; they are told at distances of 0.25, 0.5, 1 and 2 s. Whoever is slower here, the machine or the agent, makes it only longer.
    [Test]
    public void Somebody_who_turns_it_off_again_and_again_is_not_followed_at_his_pace()
    {
        _cluster = TestCluster.Create(1);
        var node = _cluster.Nodes[0];
        var clock = Stopwatch.StartNew();
        for (var i = 0; i < 5; i++)
        {
            node.Net.Netns.Run(() => Sysctl.Set("ipv4/ip_forward", 0));
            TestCluster.Eventually(() => IsOn(node, "ipv4/ip_forward"), "it is on again", () => node.Log);
        }

        Assert.That(clock.Elapsed, Is.GreaterThan(TimeSpan.FromSeconds(3.75)));
    }

    [Test]
    public void Where_it_cannot_be_turned_on_the_node_is_not_ready_and_verify_says_so_until_somebody_does()
    {
        var node = StartReadOnly(forwards: true);
        TestCluster.Eventually(() => Ready(node).StartsWith("HTTP/1.1 200 ", StringComparison.Ordinal), "it is ready", () => Ready(node));
        Assert.That(node.Overlay("verify").ExitCode, Is.Zero);

        node.Net.Run("sysctl -q -w net/ipv4/ip_forward=0 net/ipv6/conf/all/forwarding=0");
        TestCluster.Eventually(() => Ready(node).Contains("net/ipv6", StringComparison.Ordinal), "it is not ready", () => Ready(node));
        var lines = Ready(node).Split("\r\n\r\n")[1].Split('\n');
        Assert.That(Ready(node), Does.StartWith("HTTP/1.1 503 "));
        Assert.That(lines[0], Does.StartWith("This node does not forward what its pods send or get: cannot set net/ipv4/ip_forward to 1: Read-only file system"));
        Assert.That(lines[0], Does.Contain(". Give the agent a writable /proc/sys/net (in a container: the host's, mounted at /host/proc/sys/net/) and CAP_NET_ADMIN."));
        Assert.That(lines[1], Does.Contain("net/ipv6/conf/"));
        Assert.That(node.Overlay("status").Output, Does.Contain("forwarding: cannot set net/ipv4/ip_forward"));
        var verified = node.Overlay("verify");
        Assert.That(verified.ExitCode, Is.EqualTo(1));
        Assert.That(verified.Output, Does.Contain("! different: net/ipv4/ip_forward=0 where net/ipv4/ip_forward=1 is wanted\n! different: net/ipv6/conf/all/forwarding=0 where"));

        node.Net.Run("sysctl -q -w net/ipv4/ip_forward=1 net/ipv6/conf/all/forwarding=1");
        TestCluster.Eventually(() => Ready(node).StartsWith("HTTP/1.1 200 ", StringComparison.Ordinal), "it is ready again", () => Ready(node));
        Assert.That(node.Overlay("verify").ExitCode, Is.Zero);
        AssertLogs(node, "no longer degraded: forwarding: ");
    }

    [Test]
    public void An_agent_that_cannot_turn_it_on_serves_and_does_so_once_it_can()
    {
        var node = StartReadOnly(forwards: false);
        TestCluster.Eventually(() => Ready(node).StartsWith("HTTP/1.1 503 ", StringComparison.Ordinal), "it is not ready", () => Ready(node));
        node.RunInAgentsMounts("umount /proc/sys");
        TestCluster.Eventually(() => Ready(node).StartsWith("HTTP/1.1 200 ", StringComparison.Ordinal), "it is ready", () => Ready(node));
        Assert.That((IsOn(node, "ipv4/ip_forward"), IsOn(node, "ipv6/conf/all/forwarding")), Is.EqualTo((true, true)));
    }

    // Nobody tells this one of a loss.
    [Test]
    public void A_resync_turns_it_on_and_counts_it_as_drift()
    {
        using var net = NetnsFixture.Create();
        net.Run("ip link set lo up");
        net.Netns.Run(() =>
        {
            using var kernel = NodeKernel.Open();
            var dataplane = new NodeDataplane(new OverlayConfiguration(), kernel, Logger.None);
            dataplane.Resync();
            var before = dataplane.Status().DriftRepaired;
            Sysctl.Set("ipv4/ip_forward", 0);
            Sysctl.Set("ipv6/conf/all/forwarding", 0);
            Assert.That(dataplane.Resync());
            Assert.That((Sysctl.Read("ipv4/ip_forward"), Sysctl.Read("ipv6/conf/all/forwarding")), Is.EqualTo((1, 1)));
            Assert.That(dataplane.Status().DriftRepaired - before, Is.EqualTo(2));
        });
    }

    private static void AssertLogs(TestNode node, string line) => TestCluster.Eventually(() => node.Log.Contains(line, StringComparison.Ordinal), $"the agent logs '{line}'", () => node.Log);

    private static bool IsOn(TestNode node, string sysctl) => node.Net.Netns.Run(() => Sysctl.Read(sysctl)) == 1;

    private static string Ready(TestNode node) => HttpQuestion.Ask(node.Net, "127.0.0.1", 14789, "GET /readyz HTTP/1.1");

    private TestNode StartReadOnly(bool forwards)
    {
        _cluster = TestCluster.CreateEmpty();
        _cluster.ApplyNode("node-1", ["192.168.7.1"], ["10.42.1.0/24", "fd00:42:1::/64"]);
        var node = _cluster.Join("node-1", "192.168.7.1");
        var value = forwards ? 1 : 0;
        node.Net.Run($"sysctl -q -w net/ipv4/ip_forward={value} net/ipv6/conf/all/forwarding={value}");
        node.HasReadOnlySysctls = true;
        node.StartAgent("--health-address", Health);
        return node;
    }
}
