using System.Net.Sockets;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Kernel;
using Overlay.PolicyEngine.Compile;
using Overlay.Tests.Guest;

namespace Overlay.Tests.Kernel;

/// <summary>
/// Established connections between pods in the kernel's flowtable: they get there, a policy that forbids one cuts it all the same, and what it still allows goes on. This machine's kernel may have
/// no flowtables, so they run in the guest.
/// </summary>
[InGuest]
public class FlowOffloadTests
{
    private const int Port = 7000;
    private const string Offloaded = "[OFFLOAD]";

    private TestCluster _cluster = null!;

    [TearDown]
    public void End() => _cluster?.Dispose();

    [TestCase(Encapsulation.Vxlan, false)]
    [TestCase(Encapsulation.Ipip, true)]
    public void A_connection_between_nodes_takes_it_and_what_a_policy_forbids_is_cut_all_the_same(Encapsulation encapsulation, bool ipv6Underlay)
    {
        var (client, server) = Wire(2, ipv6Underlay, encapsulation);
        foreach (var family in (AddressFamily[])[AddressFamily.InterNetwork, AddressFamily.InterNetworkV6])
        {
            var port = family == AddressFamily.InterNetwork ? Port : Port + 10; // what is over is listed for a while
            using var cut = Conversation.Begin(ProtocolType.Tcp, client, server, port, server.Address(family));
            using var kept = Conversation.Begin(ProtocolType.Tcp, client, server, port + 1, server.Address(family));
            using var datagrams = Conversation.Begin(ProtocolType.Udp, client, server, port + 2, server.Address(family));
            foreach (var conversation in (Conversation[])[cut, kept, datagrams])
                AwaitOffload(conversation);
            var meter = new FlowMeter(server.Node);
            meter.Install([cut.Port, kept.Port, datagrams.Port]);
            TestCluster.Eventually(() => PassNoChain(meter, kept, datagrams), "packets on the short way pass no chain of the forward hook", () => string.Join(", ", meter.Read()));

            _cluster.Apply("policy.yaml", Allow(kept.Port));
            TestCluster.Eventually(() => Connection(cut) is var line && line.Contains($"mark={RulesetOptions.RevokedMark} ", StringComparison.Ordinal) && !line.Contains(Offloaded, StringComparison.Ordinal), "what is forbidden is back on the long way", () => $"{Connection(cut)}\n{server.Node.Log}");
            var (sent, passed) = meter.Read()[(cut.Port, true)];
            cut.SendFromClient();
            TestCluster.Eventually(() => meter.Read()[(cut.Port, true)].Before > sent, "it is tried again and again");
            Assert.That((cut.HasArrived, meter.Read()[(cut.Port, true)].Behind), Is.EqualTo((false, passed)));
            AwaitOffload(kept);
            Assert.That(Connection(cut), Does.Not.Contain(Offloaded));
            _cluster.Delete("policy.yaml");
            _cluster.AwaitPolicies();
            server.Node.Net.Run("nft delete table inet counted");
        }
    }

    [Test]
    public void A_connection_between_two_pods_of_a_node_takes_it_and_a_new_pod_with_the_address_of_an_old_one_is_reached()
    {
        var (client, server) = Wire(1, false);
        using (var first = Conversation.Begin(ProtocolType.Tcp, client, server, Port, server.IPv4))
            AwaitOffload(first);
        var address = server.IPv4;
        server.Remove();
        var successor = server.Node.AddPod("shop/successor", [$"{address}"]);
        Assert.That(successor.IPv4, Is.EqualTo(address));
        AwaitDevices(server.Node);
        using var second = Conversation.Begin(ProtocolType.Tcp, client, successor, Port + 1, address);
        AwaitOffload(second);
    }

    [Test]
    public void Somebody_who_removes_the_table_and_a_restart_cost_nothing_but_the_long_way()
    {
        var (client, server) = Wire(2, false);
        using var conversation = Conversation.Begin(ProtocolType.Tcp, client, server, Port, server.IPv4);
        AwaitOffload(conversation);
        var node = _cluster.Nodes[1];
        node.Net.Run($"nft delete table inet {FlowOffload.Table}");
        conversation.Exchange();
        AwaitOffload(conversation);
        Assert.That(node.StopAgent(), Is.Zero, node.Log);
        conversation.Exchange();
        node.StartAgent("--flow-offload", "false");
        TestCluster.Eventually(() => !IsOffloaded(conversation), "switched off there is none", () => node.Log);
        Assert.That(node.Status.FlowOffload, Is.EqualTo("none: switched off"));
        conversation.Exchange();

        var other = _cluster.Nodes[0];
        Assert.That(other.StopAgent(), Is.Zero, other.Log);
        Assert.That(other.Net.Run("nft list tables"), Does.Contain(FlowOffload.Table), "what is established goes on the short way while the agent is away");
        var folder = Path.GetDirectoryName(other.Socket);
        other.Net.Run($"{_cluster.Programs.Overlay} cleanup --node-name {other.Name} --datastore directory:{_cluster.Manifests} --socket {other.Socket} --state-dir {folder}/state --cni-conf-dir {folder}/net.d");
        Assert.That(other.Net.Run("nft list tables"), Does.Not.Contain("overlay"));
    }

    private (TestPod Client, TestPod Server) Wire(int nodes, bool ipv6Underlay, Encapsulation encapsulation = Encapsulation.Vxlan)
    {
        _cluster = TestCluster.CreateEmpty();
        _cluster.Configuration = new() { Encapsulation = encapsulation };
        for (var i = 1; i <= nodes; i++)
        {
            var address = ipv6Underlay ? $"fd07::{i}" : $"192.168.7.{i}";
            _cluster.ApplyNode($"node-{i}", [address], [$"10.42.{i}.0/24", $"fd00:42:{i}::/64"]);
            _cluster.Join($"node-{i}", address).StartAgent("--encapsulation", encapsulation.ToString().ToLowerInvariant());
        }

        _cluster.Apply("pods.yaml", "{ apiVersion: v1, kind: Pod, metadata: { name: server, namespace: shop, labels: { app: server } } }");
        var pods = (_cluster.Nodes[0].AddPod("shop/client"), _cluster.Nodes[^1].AddPod("shop/server"));
        foreach (var node in _cluster.Nodes)
            AwaitDevices(node);
        return pods;
    }

    // Eventually: one that was silent for 30 s has left the flowtable, and begins anew.
    private static bool PassNoChain(FlowMeter meter, params Conversation[] conversations)
    {
        var before = meter.Read();
        foreach (var conversation in conversations)
            for (var i = 0; i < 10; i++)
                conversation.Exchange();
        return meter.Read().All(count => count.Value == before[count.Key]);
    }

    private static void AwaitDevices(TestNode node) => TestCluster.Eventually(
        () => node.Net.Run("nft list flowtables") is var listed
            && node.Status.Pods.Select(pod => pod.Interface).Concat(Ownership.Tunnels.Where(tunnel => node.Net.TryRun($"ip link show {tunnel}").ExitCode == 0)).All(device => listed.Contains(device, StringComparison.Ordinal)),
        $"the pods' interfaces of {node.Name} and its tunnels take part",
        () => $"{node.Status.FlowOffload}\n{node.Log}");

    // A connection takes the short way from the first packet on that comes when its pods' interfaces take part in it.
    private void AwaitOffload(Conversation conversation) => TestCluster.Eventually(
        () =>
        {
            conversation.Exchange();
            return IsOffloaded(conversation);
        },
        $"{conversation.Name} is in the flowtable",
        () => $"{_cluster.Nodes[^1].Net.Run("nft list ruleset")}\n{_cluster.Nodes[^1].Net.Run("cat /proc/net/nf_conntrack")}\n{_cluster.Nodes[^1].Log}");

    private bool IsOffloaded(Conversation conversation) => Connection(conversation).Contains(Offloaded, StringComparison.Ordinal);

    // Of the last node, as the kernel prints it.
    private string Connection(Conversation conversation) =>
        _cluster.Nodes[^1].Net.Run("cat /proc/net/nf_conntrack").Split('\n').FirstOrDefault(line => line.Contains($"dport={conversation.Port} ", StringComparison.Ordinal), "");

    private static string Allow(int port) => $$"""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata: { name: server, namespace: shop }
        spec: { podSelector: { matchLabels: { app: server } }, ingress: [{ ports: [{ port: {{port}} }, { port: {{port + 1}}, protocol: UDP }] }] }
        """;
}
