using System.Text.Json;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Netlink;

namespace Overlay.Tests.Kernel;

/// <summary>Agents find out how far packets come, by real packets, and say what is in the way.</summary>
public class ProbingTests
{
    private TestCluster _cluster = null!;

    [TearDown]
    public void End() => _cluster?.Dispose();

    [Test]
    public void What_is_in_the_way_to_another_node_is_told_and_no_longer_when_it_is_gone()
    {
        _cluster = TestCluster.Create(4);
        var node = _cluster.Nodes[0];
        foreach (var other in (string[])["node-2", "node-3", "node-4"])
            Await(node, other, "reached", "reached");
        Assert.That(Status(node).GetProperty("softwareChecksums").GetArrayLength(), Is.Zero, "a good card is left alone");
        Assert.That(node.Overlay("status").Output, Does.Match(@"node-2 192\.168\.7\.2 for 10\.42\.2\.0/24, fd00:42:2::/64; reached \d+ s ago in \d+\.\d ms\n").And.Contain("1450 (1500 of uplink less 50 for vxlan over IPv4)"));

        _cluster.Nodes[1].Net.Run("nft -f -", "table inet firewall { chain input { type filter hook input priority -300; udp dport 4789 drop; }; }");
        _cluster.Switch.Run("ip link set port3 mtu 1300");
        _cluster.Nodes[3].Net.Run("ip link set uplink down");
        Await(node, "node-2", "closed", "closed");
        Await(node, "node-3", "toobig", "toobig");
        Await(node, "node-4", "silent", "silent");
        Assert.That(Degraded(node), Is.EqualTo(new[]
        {
            "Node node-2: does not answer through overlay-vxlan, though it does at 192.168.7.2: a firewall between the nodes drops UDP port 4789, or no agent runs there. Let UDP port 4789 pass both ways.",
            "Node node-3: answers small packets through overlay-vxlan, and none of 1450 bytes: something on the way takes less. Set mtu to what it takes, on all nodes, or raise what it takes.",
            "Node node-4: does not answer an ICMP echo request, neither through overlay-vxlan nor at 192.168.7.4: it is down or cut off, or a firewall, or its icmp_echo_ignore_all, drops them.",
        }));
        Assert.That(node.Overlay("status").Output, Does.Contain("NOT REACHED through the tunnel").And.Contain("full-size packets LOST"));

        _cluster.Nodes[1].Net.Run("nft delete table inet firewall");
        _cluster.Switch.Run("ip link set port3 mtu 1500");
        _cluster.Nodes[3].Net.Run("ip link set uplink up");
        foreach (var other in (string[])["node-2", "node-3", "node-4"])
            Await(node, other, "reached", "reached");
        TestCluster.Eventually(() => Degraded(node).Length == 0, "nothing is degraded", () => string.Join('\n', Degraded(node)));
        Assert.That(node.Log, Does.Contain("Node node-2: does not answer through overlay-vxlan"), "and the log has it");
    }

    [TestCase("192.168.7.#")]
    [TestCase("fd07::#")]
    public void Checksums_that_the_network_card_makes_wrong_are_made_by_the_kernel(string addresses)
    {
        _cluster = TestCluster.CreateEmpty();
        foreach (var i in (int[])[1, 2])
        {
            string[] own = [addresses.Replace("#", $"{i}", StringComparison.Ordinal)];
            _cluster.ApplyNode($"node-{i}", own, [$"10.42.{i}.0/24", $"fd00:42:{i}::/64"]);
            _cluster.Join($"node-{i}", own);
        }

        _cluster.Switch.Run("ip link add card type veth peer name behind");
        _cluster.Switch.Run("ip link set port2 nomaster");
        _cluster.Switch.Run($"ip link set behind master {TestCluster.Bridge} up");
        _cluster.Switch.Run("ip link set card up");
        using var card = ForgetfulCard.Between(_cluster.Switch, "port2", "card");
        foreach (var node in _cluster.Nodes)
            node.StartAgent();
        foreach (var node in _cluster.Nodes)
        {
            TestCluster.Eventually(() => Status(node).GetProperty("softwareChecksums").ToString().Contains(Ownership.VxlanDevice, StringComparison.Ordinal), "the kernel makes the checksums", () => node.Log, patience: TimeSpan.FromMinutes(1));
            using var socket = node.Net.Open(NetlinkProtocol.NETLINK_ROUTE);
            Assert.That(Ethtool.TxChecksum(socket, Ownership.VxlanDevice), Is.False);
            Assert.That(Degraded(node), Has.One.StartsWith("overlay-vxlan: checksum offload is switched off: packets whose checksum was left to the network card arrived broken at Node node-"));
        }

        var (web, db) = (_cluster.Nodes[0].AddPod("shop/web"), _cluster.Nodes[1].AddPod("shop/db"));
        db.Serve(7300);
        Assert.That((web.Connects(db.IPv4, 7300), web.Connects(db.IPv6, 7300)), Is.EqualTo((true, true)), "and TCP works");

        // A later agent finds it off, and keeps it so; a device that is made anew has it off from the start.
        var one = _cluster.Nodes[0];
        one.StopAgent();
        one.StartAgent();
        Assert.That(Status(one).GetProperty("softwareChecksums").ToString(), Does.Contain(Ownership.VxlanDevice));
        one.Net.Run("ip link delete overlay-vxlan");
        using var route = one.Net.Open(NetlinkProtocol.NETLINK_ROUTE);
        TestCluster.Eventually(() => Ethtool.TxChecksum(route, Ownership.VxlanDevice) is not null, "it is made anew", () => one.Log);
        TestCluster.Eventually(() => Ethtool.TxChecksum(route, Ownership.VxlanDevice) == false, "the kernel makes the checksums of the new device, too", () => one.Log);
        Assert.That(one.Overlay("verify").ExitCode, Is.Zero);
    }

    [Test]
    public void Loss_is_neither_a_broken_card_nor_a_narrow_path()
    {
        _cluster = TestCluster.Create(2);
        var node = _cluster.Nodes[0];
        node.Net.Run("nft -f -", "table netdev loss { chain ingress { type filter hook ingress device uplink priority 0; numgen random mod 100 < 30 drop; }; }");
        // As many tries as told a lie before: more than a minute of them.
        var seen = new HashSet<DateTime>();
        TestCluster.Eventually(
            () =>
            {
                foreach (var way in Status(node).GetProperty("peers")[0].GetProperty("ways").EnumerateArray())
                {
                    if (way.TryGetProperty("lastAnswer", out var answer))
                        seen.Add(answer.GetDateTime());
                }

                return seen.Count >= 8;
            },
            "it is tried again and again",
            () => node.Log,
            patience: TimeSpan.FromMinutes(3));
        Assert.That((Status(node).GetProperty("softwareChecksums").GetArrayLength(), node.Log.Contains("full-size", StringComparison.Ordinal), node.Log.Contains("answers small packets", StringComparison.Ordinal)), Is.EqualTo((0, false, false)), node.Log);
    }

    [Test]
    public void An_agent_without_raw_sockets_says_so_and_does_all_else()
    {
        _cluster = TestCluster.Create(2);
        var node = _cluster.Nodes[0];
        node.StopAgent();
        node.RunsWithout = "net_raw";
        node.StartAgent();
        TestCluster.Eventually(() => Degraded(node).Length > 0, "it says so", () => node.Log);
        Assert.That(Degraded(node), Has.One.StartsWith("probing: the ways to other nodes are not tried").And.EndsWith("Give the agent CAP_NET_RAW."));
        node.AddPod("shop/web");
    }

    [Test]
    public void A_row_that_the_kernel_refuses_keeps_no_pod_from_being_wired()
    {
        _cluster = TestCluster.CreateEmpty();
        foreach (var i in (int[])[1, 2])
        {
            _cluster.ApplyNode($"node-{i}", [$"192.168.7.{i}"], [$"10.42.{i}.0/24"]);
            _cluster.Join($"node-{i}", $"192.168.7.{i}");
        }

        var node = _cluster.Nodes[0];
        node.Net.Run("ip route add 10.42.2.0/24 dev uplink proto static");
        node.StartAgent();
        node.AddPod("shop/web");
        Assert.That(Degraded(node), Has.One.Contains("10.42.2.0/24"));
        TestCluster.Eventually(() => node.Log.Split("10.42.2.0/24").Length > 1, "it is told");
        Assert.That(node.Overlay("status").ExitCode, Is.Zero, "a node that never had everything in the kernel has a status, too");
    }

    [Test]
    public void A_node_that_answers_no_echo_requests_is_reached_when_it_refuses_datagrams()
    {
        _cluster = TestCluster.Create(2);
        _cluster.Nodes[1].Net.Netns.Run(() => File.WriteAllText("/proc/sys/net/ipv4/icmp_echo_ignore_all", "1"));
        _cluster.Nodes[0].StopAgent();
        _cluster.Nodes[0].StartAgent();
        Await(_cluster.Nodes[0], "node-2", "reached", "reached");
    }

    private static JsonElement Status(TestNode node) => JsonDocument.Parse(node.Overlay("status", "-o", "json").Output).RootElement;

    private static string[] Degraded(TestNode node) => [.. Status(node).GetProperty("degraded").EnumerateArray().Select(line => line.GetString()!)];

    private static void Await(TestNode node, string other, params string[] reachability)
    {
        var found = "";
        // A way that works is tried every 15 s, and a second time before it is called bad.
        for (var i = 0; i < 2 && found != string.Join(' ', reachability); i++)
        {
            TestCluster.Eventually(() =>
            {
                var peer = Status(node).GetProperty("peers").EnumerateArray().Single(peer => peer.GetProperty("node").GetString() == other);
                found = string.Join(' ', peer.GetProperty("ways").EnumerateArray().Select(way => way.GetProperty("reachability").GetString()));
                return found == string.Join(' ', reachability);
            }, $"{other} is {string.Join(", ", reachability)}", () => $"{found}\n{node.Log}");
        }
    }
}
