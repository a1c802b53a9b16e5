using System.Text.Json;
using System.Text.RegularExpressions;

namespace Overlay.Tests.Kernel;

/// <summary>What is wrong is said once and clearly; nothing is half done, and everything else goes on.</summary>
public class BadInputTests
{
    private const string IsolateDb = """
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata: { name: db, namespace: shop }
        spec: { podSelector: { matchLabels: { app: db } } }
        """;

    private TestCluster _cluster = null!;

    [TearDown]
    public void EndCluster() => _cluster?.Dispose();

    [Test]
    public void A_file_that_breaks_stays_in_force_as_it_last_was_and_stops_no_other()
    {
        _cluster = TestCluster.Create(1);
        var node = _cluster.Nodes[0];
        foreach (var name in (string[])["db", "api"])
            _cluster.Apply($"{name}.yaml", $$"""{ apiVersion: v1, kind: Pod, metadata: { name: {{name}}, namespace: shop, labels: { app: {{name}} } } }""");
        var (web, db, api) = (node.AddPod("shop/web"), node.AddPod("shop/db"), node.AddPod("shop/api"));
        db.Serve(5432);
        api.Serve(80);
        _cluster.Apply("policy.yaml", IsolateDb);
        TestCluster.Eventually(() => !web.Connects(db.IPv4, 5432), "db is isolated", () => node.Log);

        _cluster.Apply("policy.yaml", IsolateDb + "\n  policyTypes: [Ingress\n");
        TestCluster.Eventually(() => node.Log.Contains("policy.yaml:"), "the agent says what is wrong", () => node.Log);
        Assert.That(web.Connects(api.IPv4, 80));
        _cluster.Apply("another.yaml", IsolateDb.Replace("db", "api"));
        TestCluster.Eventually(() => !web.Connects(api.IPv4, 80), "another file's policy comes into force", () => node.Log);
        Assert.That(web.Connects(db.IPv4, 5432), Is.False, "the broken file's policy is still in force");
        var told = node.Log.Split('\n').Where(line => line.Contains("policy.yaml:")).ToList();
        Assert.That(told, Has.Count.EqualTo(1));
        Assert.That(told[0], Does.Match(@"rejected: \S+/policy\.yaml:5: not valid YAML: "));

        _cluster.Apply("policy.yaml", IsolateDb.Replace("app: db", "app: nobody"));
        TestCluster.Eventually(() => web.Connects(db.IPv4, 5432), "the mended file is in force", () => node.Log);
        TestCluster.Eventually(() => node.Log.Contains("policy.yaml has nothing rejected any more"), "and said to be", () => node.Log);
    }

    [Test]
    public void An_unknown_key_of_the_configuration_is_refused_before_anything_is_done()
    {
        _cluster = TestCluster.Create(0);
        var machine = _cluster.Join("machine");
        var file = Path.Combine(_cluster.Folder, "overlay.yaml");
        File.WriteAllText(file, $"nodeName: machine\ndatastore: directory:{_cluster.Manifests}\nsocket: {machine.Socket}\ncolour: red\n");
        var answer = machine.Net.TryRun($"{Programs.Usual.Overlay} agent --config {file}");
        Assert.That(answer.ExitCode, Is.EqualTo(2));
        Assert.That(answer.Error, Does.Match($@"\Aoverlay agent: {Regex.Escape(file)}:4: there is no key colour; accepted: nodeName, datastore, [^\n]+\n\z"));
        Assert.That(machine.Net.Run("nft list ruleset") + machine.Net.Run("ip -o link show type vxlan"), Is.Empty);
        Assert.That(File.Exists(machine.Socket), Is.False);
    }

    [Test]
    public void Of_two_nodes_with_overlapping_podCIDRs_all_agents_give_them_to_the_same_one()
    {
        const string Verdict = "degraded: Node node-b: podCIDR 10.42.1.0/25 overlaps one of node-a, which keeps it";
        _cluster = TestCluster.Create(0);
        var b = _cluster.AddNode("node-b", ["192.168.7.2"], ["10.42.1.0/25"]);
        var c = _cluster.AddNode("node-c", ["192.168.7.3"], ["10.42.3.0/24"]);
        var a = _cluster.AddNode("node-a", ["192.168.7.1"], ["10.42.1.0/24"]);
        var (there, here) = (a.AddPod("shop/there", ["10.42.1.9"]), c.AddPod("shop/here"));
        there.Serve(80);
        foreach (var node in _cluster.Nodes)
            TestCluster.Eventually(() => node.Log.Contains(Verdict), $"{node.Name} says who has lost", () => node.Log);
        TestCluster.Eventually(() => here.Connects(there.IPv4, 80), "the addresses are those of node-a", () => c.Log);
        Assert.That(c.StopAgent(), Is.Zero);
        c.StartAgent();
        TestCluster.Eventually(() => c.Log.Contains(Verdict), "after a restart it is the same", () => c.Log);
        Assert.That(here.Connects(there.IPv4, 80));

        _cluster.ApplyNode("node-b", ["192.168.7.2"], ["10.42.2.0/24"]);
        TestCluster.Eventually(() => c.Log.Contains("no longer degraded: Node node-b"), "the mended Node is as good as any", () => c.Log);
        TestCluster.Eventually(() => File.ReadAllText(b.Conflist).Contains("10.42.2.0/24"), "node-b gives its pods the new addresses", () => b.Log);
        var late = b.AddPod("shop/late");
        late.Serve(80);
        TestCluster.Eventually(() => here.Connects(late.IPv4, 80), "they are reached", () => c.Log);
    }

    [Test]
    public void An_agent_that_cannot_write_down_a_pod_says_so_to_the_runtime()
    {
        _cluster = TestCluster.Create(1);
        var node = _cluster.Nodes[0];
        var configuration = $$"""{ "cniVersion": "1.1.0", "name": "overlay", "type": "overlay-cni", "socket": "{{node.Socket}}", "ipam": { "dataDir": "{{node.IpamDir}}", "ranges": [[{ "subnet": "10.42.1.0/24" }]] } }""";
        Assert.That(node.Plugin("STATUS", "", "", "shop/web", configuration).ExitCode, Is.Zero);
        if (Directory.Exists(node.Attachments))
            Directory.Delete(node.Attachments);
        File.WriteAllText(node.Attachments, "no folder");
        AssertRefused(node.Plugin("STATUS", "", "", "shop/web", configuration), 50, "stateDir cannot be written");
        File.Delete(node.Attachments);
        Assert.That(node.Plugin("STATUS", "", "", "shop/web", configuration).ExitCode, Is.Zero);
    }

    [Test]
    public void Without_its_Node_an_agent_waits_and_says_so_to_the_runtime()
    {
        _cluster = TestCluster.Create(0);
        var node = _cluster.Join("late", "192.168.7.1");
        node.StartAgent();
        Assert.That(File.Exists(node.Conflist), Is.False, "a runtime that finds the conflist sends pods");
        var configuration = $$"""{ "cniVersion": "1.1.0", "name": "overlay", "type": "overlay-cni", "socket": "{{node.Socket}}", "ipam": { "dataDir": "{{node.IpamDir}}", "ranges": [[{ "subnet": "10.42.1.0/24" }]] } }""";
        AssertRefused(node.Plugin("STATUS", "", "", "shop/web", configuration), 50, "Node object is missing");
        Assert.That(node.Log, Does.Contain("degraded: Node late: this node is not in the datastore"));

        _cluster.ApplyNode("late", ["192.168.7.1"], ["10.42.1.0/24"]);
        TestCluster.Eventually(() => File.Exists(node.Conflist), "the conflist comes with the Node", () => node.Log);
        Assert.That(node.Plugin("STATUS", "", "", "shop/web", configuration).ExitCode, Is.Zero);
        var (web, db) = (node.AddPod("shop/web"), node.AddPod("shop/db"));
        db.Serve(80);
        TestCluster.Eventually(() => web.Connects(db.IPv4, 80), "pods work", () => node.Log);
    }

    [Test]
    public void A_full_podCIDR_refuses_one_more_pod_and_disturbs_none()
    {
        _cluster = TestCluster.Create(1);
        var node = _cluster.AddNode("small", ["192.168.7.9"], ["fd00:42:9::/64", "10.42.9.0/30"]);
        var (far, only) = (_cluster.Nodes[0].AddPod("shop/far"), node.AddPod("shop/only"));
        only.Serve(80);
        TestCluster.Eventually(() => far.Connects(only.IPv4, 80), "the first pod works", () => node.Log);
        var (before, files) = (node.State, Allocations(node));
        using var more = new TestPod(node, "shop/more");
        AssertRefused(more.TryAdd([]), 100, "no IP addresses available in range set: 10.42.9.1-10.42.9.2");
        Assert.That(node.State, Is.EqualTo(before));
        Assert.That(Allocations(node), Is.EqualTo(files), "the IPv6 address that was there is given back");
        Assert.That(far.Connects(only.IPv4, 80) && far.Connects(only.IPv6, 80));

        Assert.That(only.Remove().ExitCode, Is.Zero);
        more.Add([]);
        more.Serve(80);
        TestCluster.Eventually(() => far.Connects(more.IPv4, 80), "what a pod gave back serves the next", () => node.Log);
    }

    [Test]
    public void A_namespace_that_is_gone_or_the_nodes_own_is_refused_and_left_alone()
    {
        _cluster = TestCluster.Create(1);
        var node = _cluster.Nodes[0];
        var before = node.State;
        AssertRefused(Add(node, "/run/netns/overlay-test-no-such"), 8, "/run/netns/overlay-test-no-such");
        AssertRefused(Add(node, "/etc/hostname"), 8, "/etc/hostname");
        AssertRefused(Add(node, node.Net.Path), 8, "should not be the same");

        // Whoever does not go through the plugin gets no further.
        var direct = node.Ask("ADD", $$""" "containerId": "c", "ifName": "uplink", "netns": "{{node.Net.Path}}", "addresses": [{ "address": "10.42.1.9/24" }] """);
        Assert.That(direct, Does.Contain("\"error\"").And.Contain("is the network namespace of the node itself"));
        Assert.That(node.State, Is.EqualTo(before));
        node.AssertNoPod();
        Assert.That(node.Plugin("DEL", "c", "/run/netns/overlay-test-no-such", "shop/web", node.Configuration([])).ExitCode, Is.Zero, "DEL has nothing to do");
        Assert.That(node.Plugin("DEL", "c", node.Net.Path, "shop/web", node.Configuration([])).ExitCode, Is.Zero, "and touches nothing of the node's");
        Assert.That(node.State, Is.EqualTo(before));
    }

    [Test]
    public void An_agent_without_the_rights_it_needs_says_so()
    {
        _cluster = TestCluster.Create(0);
        var machine = _cluster.Join("machine");
        var nobody = $"setpriv --reuid=65534 --regid=65534 --clear-groups {Programs.Usual.Overlay}";
        if (machine.Net.TryRun($"{nobody} --version") is { ExitCode: not 0 } unable)
            Assert.Ignore($"Needs setpriv, and a build that everybody may run: {unable.Error}");
        var answer = machine.Net.TryRun($"{nobody} agent --node-name machine --datastore directory:{_cluster.Manifests}");
        Assert.That(answer.ExitCode, Is.EqualTo(1));
        Assert.That(answer.Error, Does.Match(@"\Aoverlay agent: [^\n]*must run as root[^\n]*\n\z"));
    }

    private static CommandOutput Add(TestNode node, string netns) => node.Plugin("ADD", "c", netns, "shop/web", node.Configuration([]));

    private static string[] Allocations(TestNode node) => [.. Directory.GetFiles(Path.Combine(node.IpamDir, "overlay")).Where(file => !Path.GetFileName(file).StartsWith("last_", StringComparison.Ordinal)).Order()];

    // The runtime gets one JSON object with the code and one sentence.
    private static void AssertRefused(CommandOutput answer, int code, string why)
    {
        Assert.That(answer.ExitCode, Is.Not.Zero);
        var error = JsonDocument.Parse(answer.Output).RootElement;
        Assert.That(error.GetProperty("code").GetInt32(), Is.EqualTo(code), answer.Output);
        Assert.That(error.GetProperty("msg").GetString(), Does.Contain(why).And.Not.Contain("\n"));
    }
}
