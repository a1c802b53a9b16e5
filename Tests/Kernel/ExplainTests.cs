using System.Text.Json;

namespace Overlay.Tests.Kernel;

/// <summary>explain, verify and status of running agents, in order and after somebody has tampered with the kernel. Nothing here waits for a resync: by default that is ten minutes off.</summary>
public class ExplainTests
{
    private const string DbFromWeb = """
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata: { name: db, namespace: shop }
        spec:
          podSelector: { matchLabels: { app: db } }
          ingress:
          - from: [{ podSelector: { matchLabels: { app: web } } }]
            ports: [{ port: 5432 }]
        """;

    private TestCluster _cluster = null!;

    [TearDown]
    public void EndCluster() => _cluster?.Dispose();

    [Test]
    public void Explain_names_the_policy_and_rule_and_reads_them_back_from_the_kernel()
    {
        var (node, _) = Shop();
        var allowed = node.Overlay("explain", "--from", "shop/web", "--to", "shop/db", "--port", "5432");
        Assert.That(allowed.ExitCode, Is.Zero, allowed.Error);
        Assert.That(allowed.Output, Does.Contain("IPv4 tcp/5432: allowed").And.Contain("IPv6 tcp/5432: allowed"));
        Assert.That(allowed.Output, Does.Contain("allowed: NetworkPolicy shop/db ingress[0]"));
        Assert.That(allowed.Output, Does.Match(@"kernel of node-1 accepts: policy-\w+-shop/db-in: .*shop/db ingress\[0\]"));

        var denied = node.Overlay("explain", "--from", "shop/other", "--to", "shop/db", "--port", "5432");
        Assert.That(denied.ExitCode, Is.Zero, denied.Error);
        Assert.That(denied.Output, Does.Contain("IPv6 tcp/5432: denied").And.Contain("denied: isolated by shop/db, and no rule matches"));
        Assert.That(denied.Output, Does.Contain("shop/db ingress[0]: the port, but not the peer"));
        Assert.That(denied.Output, Does.Match(@"kernel of node-1 drops: pods-in-\w+: ""counter drop"""));
        Assert.That(node.Overlay("explain", "--from", "shop/other", "--to", "shop/db", "--port", "5432", "--exit-code").ExitCode, Is.EqualTo(3));

        var open = node.Overlay("explain", "--from", "shop/db", "--to", "192.0.2.7", "--protocol", "icmp", "-o", "json");
        Assert.That(open.ExitCode, Is.Zero, open.Error);
        using var json = JsonDocument.Parse(open.Output);
        var flow = json.RootElement.GetProperty("flows")[0];
        Assert.That(flow.GetProperty("egress").GetProperty("policies").GetProperty("ground").GetString(), Is.EqualTo("Default"));
        Assert.That(flow.GetProperty("egress").GetProperty("kernel").GetProperty("allowed").GetBoolean());
        Assert.That(json.RootElement.GetProperty("notes")[0].GetString(), Does.Contain("a Service address is judged by the pod it leads to"));
    }

    [Test]
    public void Explain_says_where_to_ask_for_the_other_half()
    {
        var (_, other) = Shop();
        var answer = other.Overlay("explain", "--from", "ops/prom", "--to", "shop/db", "--port", "5432");
        Assert.That(answer.ExitCode, Is.Zero, answer.Error);
        Assert.That(answer.Output, Does.Contain("IPv4 tcp/5432: denied").And.Contain("kernel judged by the kernel of node-1: ask there, too"));
        Assert.That(answer.Output, Does.Match("kernel of node-2 accepts: egress: "));
    }

    [Test]
    public void A_rejected_policy_is_named_with_its_place()
    {
        var (node, _) = Shop();
        _cluster.Apply("broken.yaml", DbFromWeb.Replace("name: db", "name: broken").Replace("app: db", "app: web").Replace("port: 5432", "port: 90, endPort: 80"));
        TestCluster.Eventually(() => node.Log.Contains("broken.yaml"), "it is rejected", () => node.Log);
        CommandOutput answer = null!;
        TestCluster.Eventually(() => (answer = node.Overlay("explain", "--from", "shop/db", "--to", "shop/web", "--port", "80")).Output.Contains("isolated by shop/broken"), "it isolates", () => answer.Output + answer.Error);
        Assert.That(answer.Output, Does.Match(@"it was rejected, so it isolates: \S*broken\.yaml:\d+: "));
        Assert.That(node.Overlay("status").Output, Does.Match(@"rejected +1\n +\S*broken\.yaml:\d+: NetworkPolicy shop/broken: spec\.ingress\[0\]"));
    }

    [Test]
    public void Policies_of_all_tiers_agree_with_the_kernel_on_every_class_of_packets()
    {
        var (node, _) = Shop();
        _cluster.Apply("tiers.yaml", """
            apiVersion: policy.networking.k8s.io/v1alpha2
            kind: ClusterNetworkPolicy
            metadata: { name: admin }
            spec: { tier: Admin, priority: 1, subject: { pods: { podSelector: { matchLabels: { app: web } } } }, egress: [{ action: Deny, to: [{ nodes: {} }] }, { action: Pass, to: [{ namespaces: {} }] }] }
            ---
            apiVersion: policy.networking.k8s.io/v1alpha2
            kind: ClusterNetworkPolicy
            metadata: { name: baseline }
            spec:
              tier: Baseline
              priority: 1
              subject: { namespaces: {} }
              ingress: [{ action: Deny, from: [{ namespaces: {} }], protocols: [{ udp: { destinationPort: { number: 53 } } }] }]
              egress: [{ action: Accept, to: [{ namespaces: {} }] }, { action: Deny, to: [{ networks: [0.0.0.0/0, "::/0"] }] }]
            """);
        _cluster.AwaitPolicies();
        var proof = node.Overlay("verify", "--policies");
        Assert.That(proof.ExitCode, Is.Zero, proof.Output + proof.Error);
        Assert.That(proof.Output, Does.Match(@"agree on ([1-9]\d*) of \1 classes"));
    }

    [Test]
    public void What_cannot_be_answered_is_said_in_one_line()
    {
        var (node, _) = Shop();
        void Fails(string pattern, params string[] arguments)
        {
            var answer = node.Overlay(["explain", .. arguments]);
            Assert.That(answer.ExitCode, Is.EqualTo(1), answer.Output);
            Assert.That(answer.Error, Does.Match($@"\Aoverlay explain: {pattern}\n\z"));
        }

        Fails(@"There is no pod shop/dv; the nearest name is shop/db\.", "--from", "shop/dv", "--to", "shop/web", "--port", "80");
        Fails(@"There is no pod shop/prom; there is ops/prom\.", "--from", "shop/prom", "--to", "shop/web", "--port", "80");
        Fails(@"--to web is neither NAMESPACE/POD nor an address\.", "--from", "shop/db", "--to", "web", "--port", "80");
        Fails(@"192\.0\.2\.1 \(IPv4\) and 2001:db8::1 \(IPv6\) have no address family in common\.", "--from", "192.0.2.1", "--to", "2001:db8::1", "--port", "80");
        Fails(@"Pod shop/db has no tcp port named http; it has pg \(tcp\)\.", "--from", "shop/web", "--to", "shop/db", "--port", "http");
        Assert.That(node.Overlay("explain", "--from", "shop/web", "--to", "shop/db").ExitCode, Is.EqualTo(2));
        Assert.That(node.Overlay("explain", "--from", "shop/web", "--to", "shop/db", "--port", "0").ExitCode, Is.EqualTo(2));
        node.StopAgent();
        Fails($@"No agent answers at {node.Socket} \(.+\); is it running on this node, and is that its socket \(--socket, --config\)\?", "--from", "shop/web", "--to", "shop/db", "--port", "80");
    }

    [Test]
    public void After_tampering_explain_and_verify_say_what_differs_and_repair_nothing()
    {
        var (node, _) = Shop();
        AssertClean(node);
        var chain = node.Net.Run("nft list table inet overlay").Split('\n').Single(line => line.Contains("chain policy-")).Split(' ').First(word => word.Contains("policy-"));
        node.Net.Run($"nft add rule inet overlay {chain} accept");
        var open = node.Overlay("explain", "--from", "shop/other", "--to", "shop/db", "--port", "5432");
        Assert.That(open.ExitCode, Is.EqualTo(1));
        Assert.That(open.Output, Does.Contain("DISAGREES with the policies").And.Contain("POLICIES AND KERNEL DISAGREE on node node-1"));
        var verified = node.Overlay("verify", "--policies");
        Assert.That(verified.ExitCode, Is.EqualTo(1));
        Assert.That(verified.Output, Does.Match($@"! chain \S+shop/db-in has an unexpected rule \d+"));
        Assert.That(verified.Output, Does.Match(@"! \S+ -> \S+ protocol \d+ port \d+ in \S+ out ovl\w+ ct New: ingress denied: isolated by shop/db, and no rule matches; ruleset accepted by"));
        Assert.That(verified.Output, Does.Match("Policies and kernel DISAGREE on [1-9][0-9]* of [1-9][0-9]* classes of packets"));
        Assert.That(node.Overlay("verify").ExitCode, Is.EqualTo(1), "nothing was repaired");
        AssertCleanAfterRestart(node);
    }

    [Test]
    public void A_missing_element_and_a_missing_route_are_found()
    {
        var (node, _) = Shop();
        var db = node.Pods.Single(pod => pod.Name == "shop/db");
        node.Net.Run($"nft delete element inet overlay ingress-v4 {{ {db.IPv4} }}");
        var denied = node.Overlay("explain", "--from", "shop/web", "--to", "shop/db", "--port", "5432");
        Assert.That(denied.ExitCode, Is.EqualTo(1));
        Assert.That(denied.Output, Does.Contain("IPv4 tcp/5432: allowed").And.Contain("kernel of node-1 drops: ingress: \"counter drop\""));
        node.Net.Run("ip route del 10.42.2.0/24");
        var verified = node.Overlay("verify", "--policies");
        Assert.That(verified.ExitCode, Is.EqualTo(1));
        Assert.That(verified.Output, Does.Contain($"! set ingress-v4 lacks 1 element: {db.IPv4} : goto pods-in-").And.Contain("! missing: 10.42.2.0/24 ").And.Contain("2 differences on node node-1"));
        Assert.That(verified.Output, Does.Contain("ingress allowed: NetworkPolicy shop/db ingress[0]; ruleset dropped by"));
        AssertCleanAfterRestart(node);
    }

    [Test]
    public void A_rule_that_is_none_of_ours_cannot_be_walked_and_counts_as_a_difference()
    {
        var (node, _) = Shop();
        node.Net.Run("nft insert rule inet overlay ingress ip ttl 1 drop");
        var answer = node.Overlay("explain", "--from", "shop/web", "--to", "shop/db", "--port", "5432");
        Assert.That(answer.ExitCode, Is.EqualTo(1));
        Assert.That(answer.Output, Does.Contain("cannot be judged: chain ingress holds a rule that is none of ours"));
        Assert.That(node.Overlay("verify").Output, Does.Contain("! chain ingress has as rule 1"));
        Assert.That(node.Overlay("verify", "--policies").ExitCode, Is.EqualTo(1));
    }

    [Test]
    public void Status_tells_of_the_node()
    {
        var (node, _) = Shop();
        var status = node.Overlay("status", "-o", "json");
        Assert.That(status.ExitCode, Is.Zero, status.Error);
        using var json = JsonDocument.Parse(status.Output);
        var root = json.RootElement;
        Assert.Multiple(() =>
        {
            Assert.That(root.GetProperty("node").GetString(), Is.EqualTo("node-1"));
            Assert.That(root.GetProperty("synced").GetBoolean());
            Assert.That(root.GetProperty("peers")[0].GetProperty("node").GetString(), Is.EqualTo("node-2"));
            Assert.That(root.GetProperty("pods").EnumerateArray().Select(pod => pod.GetProperty("pod").GetString()), Is.EquivalentTo(new[] { "shop/db", "shop/other", "shop/web" }));
            Assert.That(root.GetProperty("policies").GetProperty("networkPolicy").GetInt32(), Is.EqualTo(1));
            Assert.That(root.GetProperty("rejected").GetArrayLength(), Is.Zero);
            Assert.That(root.GetProperty("memoryBytes").GetInt64(), Is.GreaterThan(1 << 20));
            Assert.That(root.GetProperty("lastCommit").GetDateTime(), Is.GreaterThan(root.GetProperty("started").GetDateTime()));
        });
    }

    // shop/web, shop/db (isolated but for web) and shop/other on the first node, ops/prom on the second.
    private (TestNode Node, TestNode Other) Shop()
    {
        _cluster = TestCluster.Create(2);
        foreach (var name in (string[])["web", "db", "other"])
            _cluster.Apply($"pod-{name}.yaml", $$"""{ apiVersion: v1, kind: Pod, metadata: { name: {{name}}, namespace: shop, labels: { app: {{name}} } }, spec: { nodeName: node-1, containers: [{ name: c, ports: [{ name: pg, containerPort: 5432 }] }] } }""");
        _cluster.Apply("pod-prom.yaml", """{ apiVersion: v1, kind: Pod, metadata: { name: prom, namespace: ops }, spec: { nodeName: node-2, containers: [{ name: c }] } }""");
        var (node, other) = (_cluster.Nodes[0], _cluster.Nodes[1]);
        foreach (var name in (string[])["shop/web", "shop/db", "shop/other"])
            node.AddPod(name);
        other.AddPod("ops/prom");
        _cluster.Apply("policy.yaml", DbFromWeb);
        foreach (var one in _cluster.Nodes)
        {
            TestCluster.Eventually(
                () => one.Overlay("explain", "--from", "ops/prom", "--to", "shop/db", "--port", "1").Output.Contains("isolated by shop/db"),
                $"{one.Name} knows the policy", () => one.Log);
        }

        _cluster.AwaitPolicies();
        return (node, other);
    }

    private static void AssertClean(TestNode node)
    {
        var verified = node.Overlay("verify", "--policies");
        Assert.That(verified.ExitCode, Is.Zero, verified.Output + verified.Error);
        Assert.That(verified.Output, Does.Match(@"\ANothing differs on node node-1: compared \d+ chains .*\nPolicies and kernel agree on ([0-9]+) of \1 classes of packets\.\n\z"));
    }

    // An agent that starts compares everything with the kernel, as at each resync.
    private static void AssertCleanAfterRestart(TestNode node)
    {
        node.StopAgent();
        node.StartAgent();
        AssertClean(node);
        Assert.That(node.Overlay("explain", "--from", "shop/web", "--to", "shop/db", "--port", "5432").ExitCode, Is.Zero);
    }
}
