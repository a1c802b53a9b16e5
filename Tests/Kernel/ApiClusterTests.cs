using System.Diagnostics;
using System.Text.Json.Nodes;
using Overlay.Tests.Oracles;

namespace Overlay.Tests.Kernel;

/// <summary>Agents at an API server, with real packets: what users do with kubectl is what packets meet. Once with the fake server, and once with a real one.</summary>
[TestFixture("fake")]
[TestFixture("real")]
public class ApiClusterTests(string which) : ApiClusterFixture(which)
{
    [Test]
    public async Task What_kubectl_does_is_what_packets_meet()
    {
        Cluster.Start();
        var (web, other, prom, db) = (await AddAsync(First, "shop/web", "web"), await AddAsync(First, "shop/other", "other"), await AddAsync(First, "ops/prom", "prom"), await AddAsync(Second, "shop/db", "db"));
        db.Serve(Port);
        AssertReaches(other, db);

        await ChangesAsync("a policy is applied", () => Cluster.KubectlAsync("apply", DatabasePolicy), () => !Reaches(other, db.IPv4));
        Assert.That((Reaches(other, db.IPv6), Reaches(web, db.IPv4), Reaches(web, db.IPv6), Reaches(prom, db.IPv4)), Is.EqualTo((false, true, true, true)));
        await ChangesAsync("a namespace loses its label", () => Cluster.KubectlAsync("apply", Namespace("ops", "others")), () => !Reaches(prom, db.IPv6));
        await ChangesAsync("the namespace gets it back", () => Cluster.KubectlAsync("apply", Namespace("ops", "ops")), () => Reaches(prom, db.IPv6, Short));
        await ChangesAsync("a pod gets a label", () => RelabelAsync(other, "web"), () => Reaches(other, db.IPv4, Short));
        await ChangesAsync("the pod loses it", () => RelabelAsync(other, "other"), () => !Reaches(other, db.IPv4));
        await ChangesAsync("the policy is deleted", () => Cluster.KubectlAsync("delete", DatabasePolicy), () => Reaches(other, db.IPv4, Short));
    }

    [Test]
    public async Task The_node_is_said_to_be_available_once_it_forwards_and_pods_wait_until_then()
    {
        Assert.That(await ConditionAsync("node-1"), Is.Null);
        Assert.That(File.Exists(First.Conflist), Is.False, "without it kubelet keeps the node not ready");
        Cluster.Start();
        Assert.That(File.Exists(First.Conflist));
        JsonNode? condition = null;
        await EventuallyAsync(async () => (condition = await ConditionAsync("node-1")) is not null, "the condition NetworkUnavailable is there");
        Assert.That(((string?)condition!["status"], (string?)condition["reason"]), Is.EqualTo(("False", "OverlayForwards")));

        // Somebody else's word, or a Node that was made anew, does not stay.
        var node = ManifestYaml.Objects("""
            apiVersion: v1
            kind: Node
            metadata: { name: node-1 }
            spec: { podCIDR: 10.42.1.0/24, podCIDRs: [10.42.1.0/24, "fd00:42:1::/64"] }
            status: { addresses: [{ type: InternalIP, address: 192.168.7.1 }], conditions: [{ type: NetworkUnavailable, status: "True", reason: NoRouteCreated }] }
            """).Single();
        await Cluster.PutAsync(node);
        await EventuallyAsync(async () => (string?)(await ConditionAsync("node-1"))!["status"] == "False", "the condition is put right");
    }

    [Test]
    public async Task A_node_that_has_no_prefix_says_that_its_network_is_unavailable()
    {
        await Cluster.PutYamlAsync("""
            apiVersion: v1
            kind: Node
            metadata: { name: node-3 }
            status: { addresses: [{ type: InternalIP, address: 192.168.7.3 }] }
            """);
        var node = Cluster.Nodes.Join("node-3", "192.168.7.3");
        node.StartAgent();
        await EventuallyAsync(async () => (string?)(await ConditionAsync("node-3"))?["status"] == "True", "the condition NetworkUnavailable is True");
        Assert.That((string?)(await ConditionAsync("node-3"))!["message"], Does.Contain("has no podCIDRs"));
        Assert.That(File.Exists(node.Conflist), Is.False);
    }

    [Test]
    public async Task An_address_that_a_node_chose_is_known_to_the_others()
    {
        First.Net.Run("ip address add 192.168.7.71/24 dev uplink");
        First.StartAgent("--node-address", "cidr=192.168.7.71/32");
        Second.StartAgent();
        await EventuallyAsync(async () => (string?)(await Cluster.GetAsync("/api/v1/nodes/node-1"))["metadata"]!["annotations"]?["overlay.internal/node-addresses"] == "192.168.7.71", "the Node says so");
        TestCluster.Eventually(() => Second.Net.Run("bridge fdb show dev overlay-vxlan").Contains("dst 192.168.7.71 ", StringComparison.Ordinal), "the other node sends there", () => Second.Log);
        var (web, db) = (await AddAsync(First, "shop/web", "web"), await AddAsync(Second, "shop/db", "db"));
        db.Serve(Port);
        AssertReaches(web, db);

        Assert.That(First.StopAgent(), Is.Zero);
        First.StartAgent();
        await EventuallyAsync(async () => (await Cluster.GetAsync("/api/v1/nodes/node-1"))["metadata"]!["annotations"]?["overlay.internal/node-addresses"] is null, "with nodeAddress: auto it is taken away");
        AssertReaches(web, db);
    }

    [Test]
    public async Task A_node_that_does_not_forward_says_that_its_network_is_unavailable_until_it_does()
    {
        First.HasReadOnlySysctls = true;
        First.Net.Run("sysctl -q -w net/ipv4/ip_forward=1 net/ipv6/conf/all/forwarding=1");
        Cluster.Start();
        await EventuallyAsync(async () => (string?)(await ConditionAsync("node-1"))?["status"] == "False", "the network is available");
        First.Net.Run("sysctl -q -w net/ipv4/ip_forward=0");
        await EventuallyAsync(async () => (string?)(await ConditionAsync("node-1"))?["status"] == "True", "the condition NetworkUnavailable is True");
        Assert.That((string?)(await ConditionAsync("node-1"))!["message"], Does.Contain("cannot set net/ipv4/ip_forward to 1"));
        First.Net.Run("sysctl -q -w net/ipv4/ip_forward=1");
        await EventuallyAsync(async () => (string?)(await ConditionAsync("node-1"))?["status"] == "False", "the network is available again");
    }

    [Test]
    public async Task Render_shows_what_a_node_would_get()
    {
        await Cluster.PutYamlAsync(DatabasePolicy);
        var value = ApiCluster.Pod("shop/db", "node-2", "db");
        value["status"] = new JsonObject { ["phase"] = "Running", ["podIP"] = "10.42.2.9", ["podIPs"] = new JsonArray(new JsonObject { ["ip"] = "10.42.2.9" }) };
        await Cluster.PutAsync(value);
        using var render = Second.Net.Start(Programs.Usual.Overlay, ["render", "--node-name", "node-2", .. Cluster.Nodes.Datastore]);
        var (output, error) = (render.StandardOutput.ReadToEndAsync(), render.StandardError.ReadToEndAsync());
        await render.WaitForExitAsync();
        Assert.That(render.ExitCode, Is.Zero, await error);
        Assert.That(await output, Does.Contain("10.42.2.9 : goto pods-in-").And.Contain("10.42.1.0/24 via 10.42.1.0"));
    }

        private async Task<string> RelabelAsync(TestPod pod, string app)
    {
        var value = ApiCluster.Pod(pod.Name, pod.Node.Name, app);
        await Cluster.TellAddressesAsync(value, pod);
        return $"label app={app}";
    }

    private static string Namespace(string name, string team) => $$"""
        apiVersion: v1
        kind: Namespace
        metadata: { name: {{name}}, labels: { team: {{team}} } }
        """;

    // Prints how long after the API server has taken a change the first packet meets it.
    private static async Task ChangesAsync(string what, Func<Task<string>> change, Func<bool> isMet)
    {
        var how = await change();
        var clock = Stopwatch.StartNew();
        var sent = TimeSpan.Zero;
        TestCluster.Eventually(
            () =>
            {
                sent = clock.Elapsed;
                return isMet();
            },
            what);
        await TestContext.Out.WriteLineAsync($"{what} ({how}): met by a packet sent {sent.TotalMilliseconds:0} ms after the server's answer");
    }

    private async Task<JsonNode?> ConditionAsync(string node)
    {
        var conditions = (await Cluster.GetAsync($"/api/v1/nodes/{node}"))["status"]?["conditions"]?.AsArray();
        return conditions?.SingleOrDefault(condition => (string?)condition!["type"] == "NetworkUnavailable");
    }

    private static async Task EventuallyAsync(Func<Task<bool>> condition, string what)
    {
        var clock = Stopwatch.StartNew();
        while (!await condition())
        {
            Assert.That(clock.Elapsed, Is.LessThan(TimeSpan.FromSeconds(30)), what);
            await Task.Delay(20);
        }
    }
}
