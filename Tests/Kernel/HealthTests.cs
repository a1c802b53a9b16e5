using System.Net.Sockets;

namespace Overlay.Tests.Kernel;

/// <summary>The health of a real agent, asked for as kubelet does: over HTTP, on loopback.</summary>
public class HealthTests
{
    private const string Address = "127.0.0.1:14789";

    private TestCluster _cluster = null!;

    [SetUp]
    public void MakeCluster() => _cluster = TestCluster.Create(0);

    [TearDown]
    public void EndCluster() => _cluster?.Dispose();

    [TestCase("/livez")]
    [TestCase("/healthz")]
    [TestCase("/readyz")]
    public void An_agent_that_serves_is_alive_and_ready(string path)
    {
        var node = Start(["10.42.1.0/24", "fd00:42:1::/64"]);
        TestCluster.Eventually(() => Ask(node, path).StartsWith("HTTP/1.1 200 ", StringComparison.Ordinal), $"{path} is 200", () => Ask(node, path));
        Assert.That(Ask(node, path), Does.EndWith("\r\n\r\nok\n"));
    }

    [Test]
    public void A_node_without_prefixes_is_alive_and_not_ready_until_it_has_them()
    {
        var node = Start([]);
        Assert.That(Ask(node, "/livez"), Does.StartWith("HTTP/1.1 200 "));
        Assert.That(Ask(node, "/readyz"), Does.StartWith("HTTP/1.1 503 ").And.EndWith("\r\n\r\nNode node-1 has no podCIDRs, so no pod can be wired.\n"));
        _cluster.ApplyNode("node-1", ["192.168.7.1"], ["10.42.1.0/24"]);
        TestCluster.Eventually(() => Ask(node, "/readyz").StartsWith("HTTP/1.1 200 ", StringComparison.Ordinal), "it is ready", () => Ask(node, "/readyz"));
    }

    // Without its tunnel a node reaches nobody; a single peer that it cannot reach is a degradation of that peer.
    [Test]
    public void A_device_of_somebody_else_in_the_place_of_the_tunnel_takes_readiness_and_one_bad_peer_does_not()
    {
        _cluster.ApplyNode("node-2", ["192.168.7.2"], ["10.42.2.0/24"]);
        var node = Start(["10.42.1.0/24"], before: node => node.Net.Run("ip route add unreachable 10.42.2.0/24"));
        TestCluster.Eventually(() => node.Log.Contains("degraded: 10.42.2.0/24", StringComparison.Ordinal), "the peer's route is refused", () => node.Log);
        TestCluster.Eventually(() => Ask(node, "/readyz").StartsWith("HTTP/1.1 200 ", StringComparison.Ordinal), "it is ready", () => Ask(node, "/readyz"));
        node.StopAgent();

        node.Net.Run("ip link delete overlay-vxlan");
        node.Net.Run("ip link add overlay-vxlan type bridge");
        node.StartAgent("--health-address", Address);
        Assert.That(Ask(node, "/readyz"), Does.StartWith("HTTP/1.1 503 ").And.EndWith("\r\n\r\nThe kernel does not have the tunnel devices as they should be; the log says why.\n"));
        Assert.That(Ask(node, "/livez"), Does.StartWith("HTTP/1.1 200 "));
        node.Net.Run("ip link delete overlay-vxlan");
        TestCluster.Eventually(() => Ask(node, "/readyz").StartsWith("HTTP/1.1 200 ", StringComparison.Ordinal), "it is ready again", () => Ask(node, "/readyz"));
    }

    [Test]
    public void Metrics_and_health_may_have_one_address()
    {
        var node = Start(["10.42.1.0/24"], "--metrics-address", Address);
        foreach (var path in new[] { "/livez", "/healthz", "/readyz", "/metrics" })
            Assert.That(Ask(node, path), Does.StartWith("HTTP/1.1 200 "), path);
        Assert.That(Ask(node, "/"), Does.StartWith("HTTP/1.1 404 ").And.EndWith("There is /healthz, /livez, /metrics, /readyz.\n"));
    }

    [Test]
    public void Of_two_addresses_each_serves_its_own()
    {
        var node = Start(["10.42.1.0/24"], "--metrics-address", "127.0.0.1:9091");
        Assert.That(Ask(node, "/metrics"), Does.StartWith("HTTP/1.1 404 "));
        Assert.That(HttpQuestion.Ask(node.Net, "127.0.0.1", 9091, "GET /livez HTTP/1.1"), Does.StartWith("HTTP/1.1 404 "));
        Assert.That(() => HttpQuestion.Ask(node.Net, "192.168.7.1", 14789, "GET /livez HTTP/1.1"), Throws.InstanceOf<SocketException>(), "loopback alone");
    }

    private static string Ask(TestNode node, string path) => HttpQuestion.Ask(node.Net, "127.0.0.1", 14789, $"GET {path} HTTP/1.1");

    private TestNode Start(string[] prefixes, params string[] flags) => Start(prefixes, _ => { }, flags);

    private TestNode Start(string[] prefixes, Action<TestNode> before, params string[] flags)
    {
        _cluster.ApplyNode("node-1", ["192.168.7.1"], prefixes);
        var node = _cluster.Join("node-1", "192.168.7.1");
        before(node);
        node.StartAgent(["--health-address", Address, .. flags]);
        return node;
    }
}
