using System.Net;
using System.Text.Json.Nodes;
using Overlay.CniShim.Protocol;

namespace Overlay.Tests.Kernel;

/// <summary>CHECK of a real pod: it finds every row that is not as ADD wrote it.</summary>
[Property("Issue", 5)]
public class PodCheckTests
{
    private static readonly TestCaseData[] Cases =
    [
        Case("pod", "ip link del eth0", "the host has no interface OVL"),
        Case("pod", "ip link set eth0 down", "eth0 is down"),
        Case("pod", "ip link set lo down", "lo is down in the pod"),
        Case("pod", "ip link set eth0 address 02:00:00:00:00:99", "eth0 has Ethernet address 02:00:00:00:00:99"),
        Case("pod", "ip link set eth0 mtu 1300", "eth0 has MTU 1300, and its other end 1450"),
        Case("pod", "ip address del 10.42.1.2/32 dev eth0", "eth0 lacks address 10.42.1.2/32"),
        Case("pod", "ip address add 10.42.1.99/32 dev eth0", "eth0 has address 10.42.1.99/32, which it was not wired with"),
        Case("pod", "ip address add fd00:99::1/128 dev eth0", "eth0 has address fd00:99::1/128, which it was not wired with"),
        Case("pod", "ip route del default", "the pod has no default route by 169.254.1.1"),
        Case("pod", "ip -6 route del default", "the pod has no default route by fe80::1"),
        Case("pod", "ip route del 169.254.1.1", "the pod has no route to its gateway 169.254.1.1"),
        Case("pod", "ip neigh del 169.254.1.1 dev eth0", "the pod has no permanent neighbour 169.254.1.1"),
        Case("pod", "ip neigh del fe80::1 dev eth0", "the pod has no permanent neighbour fe80::1"),
        Case("node", "ip link set OVL down", "OVL is down"),
        Case("node", "ip link set OVL address 02:00:00:00:00:99", "OVL has Ethernet address 02:00:00:00:00:99"),
        Case("node", "ip link set OVL mtu 1300", "and its other end 1300"),
        Case("node", "ip address del fe80::1/64 dev OVL", "OVL lacks the gateway's address fe80::1"),
        Case("node", "ip route del 10.42.1.2", "the host has no route to 10.42.1.2 by OVL"),
        Case("node", "ip -6 route del fd00:42:1::2", "the host has no route to fd00:42:1::2 by OVL"),
        Case("node", "ip neigh del 10.42.1.2 dev OVL", "the host has no permanent neighbour 10.42.1.2"),
        Case("node", "ip neigh del fd00:42:1::2 dev OVL", "the host has no permanent neighbour fd00:42:1::2"),
        Case("node", "ip route prepend blackhole 10.42.1.2/32", "the host's route to 10.42.1.2 by OVL is overruled by another route or rule"),
        Case("node", "ip -6 route add blackhole fd00:42:1::2 metric 1", "the host's route to fd00:42:1::2 by OVL is overruled by another route or rule"),
        Case("node", "sysctl -qw net.ipv4.conf.OVL.forwarding=0", "net/ipv4/conf/OVL/forwarding is not 1"),
        Case("node", "sysctl -qw net.ipv6.conf.OVL.forwarding=0", "net/ipv6/conf/OVL/forwarding is not 1"),
        Case("pod", "ip rule add pref 10 blackhole", "the pod's default route by 169.254.1.1 is overruled by a route or rule that leads nowhere"),
        Case("pod", "ip -6 route add unreachable default metric 1", "the pod's default route by fe80::1 is overruled by a route or rule that leads nowhere"),
        Case("node", "sysctl -qw net.ipv4.conf.OVL.route_localnet=0", "route_localnet is not 1"),
        Case("node with read-only sysctls", "sysctl -qw net.ipv4.ip_forward=0", "the host does not forward IPv4"),
        Case("node with read-only sysctls", "sysctl -qw net.ipv6.conf.all.forwarding=0", "the host does not forward IPv6"),
        Case("node", "nft delete table inet overlay", "table inet overlay"),
    ];

    private TestCluster _cluster = null!;

    [OneTimeSetUp]
    public void MakeCluster() => _cluster = TestCluster.Create(1);

    [OneTimeTearDown]
    public void EndCluster() => _cluster?.Dispose();

    [TestCaseSource(nameof(Cases))]
    public void Damage_is_found(string where, string command, string expected)
    {
        var node = _cluster.Nodes[0];
        using var pod = new TestPod(node, "shop/web");
        pod.Add(["10.42.1.2", "fd00:42:1::2"], new PortMapping { HostPort = 8080, ContainerPort = 80, Protocol = "tcp" });
        try
        {
            var healthy = pod.Check();
            Assert.That(healthy.ExitCode, Is.Zero, healthy.Output);
            if (where == "node with read-only sysctls")
                Restart(node, hasReadOnlySysctls: true); // or the agent turns it on again at once
            (where == "pod" ? pod.Net : node.Net).Run(command.Replace("OVL", pod.HostInterface));
            var answer = pod.Check();
            Assert.That(answer.ExitCode, Is.Not.Zero);
            Assert.That(answer.Output, Does.Contain($"\"code\":{CniErrorCode.CheckFailed}").And.Contain(expected.Replace("OVL", pod.HostInterface)));
        }
        finally
        {
            Assert.That(pod.Remove().ExitCode, Is.Zero);
            node.Net.Run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
            if (command.Contains(" blackhole ", StringComparison.Ordinal))
                node.Net.Run($"{command.Replace(" prepend ", " del ", StringComparison.Ordinal).Replace(" add ", " del ", StringComparison.Ordinal)}");
            if (node.HasReadOnlySysctls || command.StartsWith("nft", StringComparison.Ordinal))
                Restart(node, hasReadOnlySysctls: false);
        }

        static void Restart(TestNode node, bool hasReadOnlySysctls)
        {
            node.StopAgent();
            node.HasReadOnlySysctls = hasReadOnlySysctls;
            node.StartAgent();
        }
    }

    [Test]
    public void What_the_runtime_knows_otherwise_is_found()
    {
        var node = _cluster.Nodes[0];
        using var pod = new TestPod(node, "shop/web");
        using var other = NetnsFixture.Create();
        pod.Add(["10.42.1.2", "fd00:42:1::2"]);
        var check = new AgentRequest
        {
            Command = "CHECK",
            ContainerId = pod.ContainerId,
            IfName = "eth0",
            Netns = pod.Net.Path,
            Network = "overlay",
            Addresses = [new() { Address = "10.42.1.2/32" }, new() { Address = "fd00:42:1::2/128" }],
        };
        Assert.That(node.Ask(check).Error, Is.Null);
        Assert.That(node.Ask(check with { Netns = $"/var{pod.Net.Path}" }).Error, Is.Null, "the same namespace by another path");
        Assert.That(node.Ask(check with { Addresses = [check.Addresses[0]] }).Error, Is.Null, "a plugin after ours may have taken it away");
        Assert.That(node.Ask(check with { LooseAddresses = [new() { Address = "10.42.1.3/32" }] }).Error, Is.Null, "it is another plugin's");
        Assert.That(Found(check with { Addresses = [.. check.Addresses, new() { Address = "10.42.1.3/32" }] }), Does.Contain("prevResult has 10.42.1.3"));
        Assert.That(Found(check with { Mac = "02:00:00:00:00:99" }), Does.Contain("the Ethernet address asked for is 02:00:00:00:00:99"));
        Assert.That(Found(check with { PreviousMac = "02:00:00:00:00:99" }), Does.Contain("prevResult has the Ethernet address 02:00:00:00:00:99"));
        Assert.That(node.Ask(check with { PreviousMac = pod.Result.GetProperty("interfaces")[1].GetProperty("mac").GetString()!.ToUpperInvariant() }).Error, Is.Null);
        Assert.That(Found(check with { Netns = other.Path }), Does.Contain($"CNI_NETNS is {other.Path}"));
        pod.Remove();

        string? Found(AgentRequest request) => node.Ask(request).Error?.Msg;
    }

    private const string Ours = "{'address':'10.42.1.2/32','interface':1},{'address':'fd00:42:1::2/128','interface':1}";
    private const string OursWithoutInterface = "{'address':'10.42.1.2/32'},{'address':'fd00:42:1::2/128'}";

    // CNI spec, CHECK: an error for what the plugin made and prevResult lists; plugins after it may have changed more.
    [TestCase(Ours + ",{'address':'10.99.0.1/24'}", "", "")]
    [TestCase(Ours + ",{'address':'10.99.0.1/24'}", "ip address add 10.99.0.1/24 dev eth0", "")]
    [TestCase(Ours + ",{'address':'10.99.0.1/24'}", "ip address del 10.42.1.2/32 dev eth0", "eth0 lacks address 10.42.1.2/32")]
    [TestCase(Ours + ",{'address':'10.99.0.1/24','interface':1}", "", "10.99.0.1 is not reserved for container")]
    [TestCase(OursWithoutInterface, "", "")]
    [TestCase(OursWithoutInterface, "ip address del 10.42.1.2/32 dev eth0", "eth0 lacks address 10.42.1.2/32")]
    [TestCase("{'address':'10.42.1.2/32','interface':1}", "ip address del fd00:42:1::2/128 dev eth0", "")]
    [TestCase("{'address':'10.42.1.2/32','interface':1}", "ip address add 10.42.1.99/32 dev eth0", "eth0 has address 10.42.1.99/32, which it was not wired with")]
    public void Addresses_of_prevResult_are_compared_as_far_as_they_are_ours(string ips, string command, string expected)
    {
        var node = _cluster.Nodes[0];
        using var pod = new TestPod(node, "shop/web");
        pod.Add(["10.42.1.2", "fd00:42:1::2"]);
        if (command.Length > 0)
            pod.Net.Run(command);
        var result = JsonNode.Parse(pod.Result.GetRawText())!;
        result["ips"] = JsonNode.Parse($"[{ips.Replace('\'', '"')}]");
        var answer = pod.Check(result.ToJsonString());
        pod.Remove();
        Assert.That(answer.Output, expected.Length == 0 ? Is.Empty : Does.Contain($"\"code\":{CniErrorCode.CheckFailed}").And.Contain(expected));
        Assert.That(answer.ExitCode, Is.EqualTo(expected.Length == 0 ? 0 : 1));
    }

    // A runtime's wishes that go past IPAM.
    [Test]
    public void A_pod_has_the_Ethernet_address_and_all_the_addresses_asked_for()
    {
        var node = _cluster.Nodes[0];
        using var pod = new TestPod(node, "shop/web");
        using var db = new TestPod(node, "shop/db");
        db.Add(["10.42.1.40", "fd00:42:1::40"]);
        db.Serve(5432);
        var asked = node.Configuration(new Dictionary<string, object>
        {
            ["mac"] = "02:00:5e:10:00:01",
            ["ips"] = new[] { "10.42.1.50", "fd00:42:1::50" },
            ["dns"] = new { Servers = new[] { "10.96.0.10" } },
        });
        Assert.That(pod.AddAs(asked).ExitCode, Is.Zero, node.Log);
        Assert.That(pod.Net.Run("ip link show eth0"), Does.Contain("02:00:5e:10:00:01"));
        Assert.That(pod.Result.GetRawText(), Does.Contain("02:00:5e:10:00:01").And.Contain("10.96.0.10"));
        Assert.That(pod.Connects(db.IPv4, 5432) && pod.Connects(db.IPv6, 5432), "neighbours on both sides know it");
        Assert.That(pod.Check().ExitCode, Is.Zero);
        pod.Remove();

        var two = new AgentRequest
        {
            Command = "ADD",
            ContainerId = pod.ContainerId,
            IfName = "eth0",
            Netns = pod.Net.Path,
            Network = "overlay",
            Addresses = [new() { Address = "10.42.1.60/24" }, new() { Address = "10.42.1.61/24" }],
        };
        var wired = node.Ask(two);
        Assert.That(wired.Wired?.Gateways, Is.EqualTo(new[] { "169.254.1.1" }), wired.Error?.Msg);
        pod.Serve(8080);
        foreach (var address in new[] { "10.42.1.60", "10.42.1.61" })
            Assert.That(db.Connects(IPAddress.Parse(address), 8080), address);
        pod.Remove();
        Assert.That(node.Ask(two with { Bandwidth = new() { IngressRate = 1 } }).Error?.Msg, Does.StartWith("runtimeConfig.bandwidth: ingressRate is 1 bits a second, and can be 8 to"));
        Assert.That(node.Ask(two with { Mac = "none" }).Error?.Msg, Does.Contain("'none', is none"));
        db.Remove();
    }

    [Test]
    public void GC_keeps_what_is_younger_than_the_runtime_says()
    {
        var node = _cluster.Nodes[0];
        using var pod = new TestPod(node, "shop/web");
        pod.Add([]);
        var collect = new AgentRequest { Command = "GC", Network = "overlay", Grace = 3600 };
        Assert.That(node.Ask(collect).Error, Is.Null);
        Assert.That(pod.Check().ExitCode, Is.Zero);
        Assert.That(node.Ask(collect with { Grace = 0, Network = "other" }).Error, Is.Null);
        Assert.That(pod.Check().ExitCode, Is.Zero);
        Assert.That(node.Ask(collect with { Grace = 0 }).Error, Is.Null);
        TestCluster.Eventually(() => pod.Net.TryRun("ip link show eth0").ExitCode != 0, "the pod's interface is gone");
        pod.Remove();
    }

    private static TestCaseData Case(string where, string command, string expected) => new TestCaseData(where, command, expected).SetArgDisplayNames(where, command);
}
