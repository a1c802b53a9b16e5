using System.Text.Json;

namespace Overlay.Tests.Kernel;

/// <summary>The main job with real processes: agents, plugin, packets.</summary>
public class AgentTests
{
    private TestCluster _cluster = null!;

    [TearDown]
    public void EndCluster() => _cluster?.Dispose();

    [TestCase(false)]
    [TestCase(true)]
    public void Pods_reach_each_other_across_nodes_in_both_families(bool ipv6Underlay)
    {
        _cluster = TestCluster.Create(2, ipv6Underlay);
        var (web, db) = (_cluster.Nodes[0].AddPod("shop/web"), _cluster.Nodes[1].AddPod("shop/db"));
        db.Serve(5432);
        AssertReaches(web, db, 5432);
        web.Serve(80);
        AssertReaches(db, web, 80);
        Assert.That(web.Check().ExitCode, Is.Zero);
    }

    [Test]
    public void A_second_agent_on_the_same_folder_is_refused_in_one_line_and_the_first_goes_on()
    {
        _cluster = TestCluster.Create(1);
        var node = _cluster.Nodes[0];
        var state = Path.GetDirectoryName(node.Attachments)!;
        var second = node.Net.TryRun($"{Programs.Usual.Overlay} agent --node-name {node.Name} --datastore directory:{_cluster.Manifests} --socket {node.Socket}2 --state-dir {state}");
        Assert.That((second.ExitCode, second.Error.Trim()), Is.EqualTo((1, $"overlay agent: the agent ended: another agent runs on {state} (it holds {state}/agent.lock); stop it, or give this one a stateDir and a socket of its own.")));
        Assert.That(second.Output, Does.Not.Contain("   at "), "no stack trace");
        Assert.That(node.Ask("STATUS"), Is.Not.Null);
        node.StopAgent(kill: true);
        node.StartAgent();
    }

    [Test]
    public void A_restarted_agent_says_that_it_serves()
    {
        _cluster = TestCluster.Create(1);
        Assert.That(_cluster.Nodes[0].StopAgent(), Is.Zero);
        _cluster.Nodes[0].StartAgent();
        Assert.That(_cluster.Nodes[0].Log, Does.Contain("this node forwards and enforces"));
    }

    [Test]
    public void Pods_of_one_node_reach_each_other_and_themselves()
    {
        _cluster = TestCluster.Create(1);
        var (web, db) = (_cluster.Nodes[0].AddPod("shop/web"), _cluster.Nodes[0].AddPod("shop/db"));
        db.Serve(5432);
        AssertReaches(web, db, 5432);
        AssertReaches(db, db, 5432);
    }

    [Test]
    public void A_policy_is_enforced_as_soon_as_it_is_there_and_as_long_as_it_is_there()
    {
        _cluster = TestCluster.Create(2);
        Label("web", "app: web");
        Label("other", "app: other");
        Label("db", "app: db");
        var (web, other, db) = (_cluster.Nodes[0].AddPod("shop/web"), _cluster.Nodes[0].AddPod("shop/other"), _cluster.Nodes[1].AddPod("shop/db"));
        db.Serve(5432);
        db.Serve(9999);
        AssertReaches(other, db, 5432);

        _cluster.Apply("policy.yaml", """
            apiVersion: networking.k8s.io/v1
            kind: NetworkPolicy
            metadata: { name: db, namespace: shop }
            spec:
              podSelector: { matchLabels: { app: db } }
              ingress:
              - from: [{ podSelector: { matchLabels: { app: web } } }]
                ports: [{ port: 5432 }]
            """);
        TestCluster.Eventually(() => !other.Connects(db.IPv4, 5432), "another pod is kept out", () => _cluster.Nodes[1].Log);
        Assert.That(other.Connects(db.IPv6, 5432), Is.False);
        Assert.That(web.Connects(db.IPv4, 9999), Is.False);
        AssertReaches(web, db, 5432);

        Label("other", "app: web");
        TestCluster.Eventually(() => other.Connects(db.IPv4, 5432), "a pod that gets the label is let in", () => _cluster.Nodes[1].Log);
        Label("web", "app: none");
        TestCluster.Eventually(() => !web.Connects(db.IPv6, 5432), "a pod that loses the label is kept out", () => _cluster.Nodes[1].Log);

        _cluster.Delete("policy.yaml");
        TestCluster.Eventually(() => web.Connects(db.IPv4, 9999), "without the policy all is open", () => _cluster.Nodes[1].Log);
    }

    [Test]
    public void A_restart_disturbs_nothing_and_finds_nothing_to_do()
    {
        _cluster = TestCluster.Create(2);
        var (web, db) = (_cluster.Nodes[0].AddPod("shop/web"), _cluster.Nodes[1].AddPod("shop/db"));
        db.Serve(5432);
        Isolate("web");
        TestCluster.Eventually(() => !db.Connects(web.IPv4, 80) && !web.Connects(db.IPv4, 5432), "web is isolated");
        var node = _cluster.Nodes[0];
        var before = node.State;

        Assert.That(node.StopAgent(), Is.Zero, node.Log);
        Assert.That(node.State, Is.EqualTo(before), "a stopped agent leaves the kernel as it is");
        Assert.That(web.Connects(db.IPv4, 5432), Is.False, "policy holds while the agent is away");
        node.StartAgent();
        Assert.That(node.State, Is.EqualTo(before));
        Assert.That(node.Log, Does.Not.Contain("repaired"));
        Assert.That(web.Check().ExitCode, Is.Zero);

        node.StopAgent(kill: true);
        _cluster.Delete("isolate-web.yaml");
        node.StartAgent();
        TestCluster.Eventually(() => web.Connects(db.IPv4, 5432), "what changed meanwhile is caught up with", () => node.Log);
    }

    [Test]
    public void Strangers_tables_and_routes_are_left_alone()
    {
        _cluster = TestCluster.Create(1);
        var node = _cluster.Nodes[0];
        node.Net.Run("nft -f -", "table inet foreign {\nset s { type ipv4_addr; elements = { 10.0.0.1 }; }\nchain c { type filter hook forward priority 5; policy accept; ip saddr @s counter; }\n}\n");
        node.Net.Run("ip route add 10.99.0.0/16 via 192.168.7.9 dev uplink");
        var before = node.Net.Run("nft list table inet foreign");
        var pod = node.AddPod("shop/web");
        Isolate("web");
        TestCluster.Eventually(() => node.Net.Run("nft list table inet overlay").Contains("pods-in-"), "the policy is in the kernel");
        pod.Remove();
        node.StopAgent();
        node.StartAgent();
        Assert.That(node.Net.Run("nft list table inet foreign"), Is.EqualTo(before));
        Assert.That(node.Net.Run("ip route show 10.99.0.0/16"), Does.Contain("192.168.7.9"));
    }

    [Test]
    public void A_node_that_joins_later_is_reached_and_one_that_leaves_is_forgotten()
    {
        _cluster = TestCluster.Create(1);
        var web = _cluster.Nodes[0].AddPod("shop/web");
        var late = _cluster.AddNode("late", ["192.168.7.9"], ["10.42.9.0/24", "fd00:42:9::/64"]);
        var db = late.AddPod("shop/db");
        db.Serve(5432);
        TestCluster.Eventually(() => web.Connects(db.IPv4, 5432), "the new node's pod is reached", () => _cluster.Nodes[0].Log);
        Assert.That(web.Connects(db.IPv6, 5432));

        _cluster.Delete("node-late.yaml");
        TestCluster.Eventually(() => !_cluster.Nodes[0].State.Contains("10.42.9.0") && !_cluster.Nodes[0].State.Contains("192.168.7.9"), "its route, neighbour and forwarding entry go");
    }

    [Test]
    public void A_tunnel_that_somebody_removes_is_made_again_at_once()
    {
        _cluster = TestCluster.Create(2);
        var (web, db) = (_cluster.Nodes[0].AddPod("shop/web"), _cluster.Nodes[1].AddPod("shop/db"));
        db.Serve(5432);
        AssertReaches(web, db, 5432);
        var node = _cluster.Nodes[0];
        // The kernel lists rows made anew in another order.
        string[] Rows() => node.State.Split('\n').Order(StringComparer.Ordinal).ToArray();
        var before = Rows();
        bool IsRestored() => node.Net.TryRun("ip -o link show overlay-vxlan up").Output.Contains("overlay-vxlan") && Rows().SequenceEqual(before);

        node.Net.Run("ip link delete overlay-vxlan");
        TestCluster.Eventually(IsRestored, "all is as it was, long before the next resync", () => string.Join('\n', Rows().Except(before)) + node.Log);
        node.Net.Run("ip link set overlay-vxlan down");
        TestCluster.Eventually(IsRestored, "also after it was set down", () => _cluster.Nodes[0].Log);
        AssertReaches(web, db, 5432);
        Assert.That(_cluster.Nodes[0].Log, Does.Contain("repaired what somebody else changed"));
    }

    [Test]
    public void A_resync_comes_although_something_changes_all_the_time()
    {
        _cluster = TestCluster.CreateEmpty();
        foreach (var i in (int[])[1, 2])
            _cluster.ApplyNode($"node-{i}", [$"192.168.7.{i}"], [$"10.42.{i}.0/24"]);
        var node = _cluster.Join("node-1", "192.168.7.1");
        node.StartAgent();
        node.StopAgent();
        node.StartAgent("--resync-interval", "2s"); // It finds all in order, so it makes no device, by which it would hear of its own doing and look once more.
        node.Net.Run("ip route delete 10.42.2.0/24");
        var round = 0;
        TestCluster.Eventually(
            () =>
            {
                Label("web", $"round: r{round++}");
                return node.Log.Contains("repaired what somebody else changed: 10.42.2.0/24", StringComparison.Ordinal);
            },
            "the route is made again",
            () => $"{round} changes; {node.Log}");
    }

    [Test]
    public void Del_leaves_nothing_and_succeeds_again()
    {
        _cluster = TestCluster.Create(1);
        var node = _cluster.Nodes[0];
        var empty = node.State;
        var pod = node.AddPod("shop/web");
        Assert.That(pod.Remove().ExitCode, Is.Zero, node.Log);
        Assert.That(pod.Remove().ExitCode, Is.Zero, node.Log);
        TestCluster.Eventually(() => node.State == empty, "the pair, which is down and apart since DEL, is removed with others of its moment", () => node.State);
        node.AssertNoPod();
    }

    [Test]
    public void A_failed_add_leaves_nothing_behind()
    {
        _cluster = TestCluster.Create(1);
        var node = _cluster.Nodes[0];
        var empty = node.State;
        var pod = new TestPod(node, "shop/web");
        using (pod)
        {
            pod.Net.Run("ip link add eth0 type bridge");
            var answer = pod.TryAdd([]);
            Assert.That(answer.ExitCode, Is.Not.Zero);
            Assert.That(JsonDocument.Parse(answer.Output).RootElement.GetProperty("msg").GetString(), Does.Contain("already has an interface eth0"));
        }

        Assert.That(node.State, Is.EqualTo(empty));
        node.AssertNoPod();
    }

    [Test]
    public void A_pod_is_isolated_from_its_first_packet_on()
    {
        _cluster = TestCluster.Create(1);
        var node = _cluster.Nodes[0];
        Isolate("web");
        _cluster.AwaitPolicies(); // what the datastore has said by then holds from the first packet on
        var db = node.AddPod("shop/db");
        db.Serve(5432);
        var web = node.AddPod("shop/web");
        Assert.That(web.Connects(db.IPv4, 5432), Is.False);
        Assert.That(web.Connects(db.IPv6, 5432), Is.False);
    }

    private static void AssertReaches(TestPod from, TestPod to, int port)
    {
        TestCluster.Eventually(() => from.Connects(to.IPv4, port), $"{from.Name} reaches {to.Name} at {to.IPv4}");
        TestCluster.Eventually(() => from.Connects(to.IPv6, port), $"{from.Name} reaches {to.Name} at {to.IPv6}");
    }

    private void Label(string pod, string labels) => _cluster.Apply($"pod-{pod}.yaml", $$"""
        apiVersion: v1
        kind: Pod
        metadata: { name: {{pod}}, namespace: shop, labels: { {{labels}} } }
        """);

    private void Isolate(string pod)
    {
        Label(pod, $"isolated: {pod}");
        _cluster.Apply($"isolate-{pod}.yaml", $$"""
            apiVersion: networking.k8s.io/v1
            kind: NetworkPolicy
            metadata: { name: isolate-{{pod}}, namespace: shop }
            spec:
              podSelector: { matchLabels: { isolated: {{pod}} } }
              policyTypes: [Ingress, Egress]
            """);
    }
}
