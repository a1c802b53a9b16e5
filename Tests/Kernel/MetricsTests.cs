namespace Overlay.Tests.Kernel;

/// <summary>The metrics of a real agent, asked for over HTTP inside its namespace.</summary>
public class MetricsTests
{
    private TestCluster _cluster = null!;

    [TearDown]
    public void EndCluster() => _cluster?.Dispose();

    [TestCase(":9091", "127.0.0.1")]
    [TestCase(":9091", "::1")]
    [TestCase("[::1]:9091", "::1")]
    public void An_agent_tells_what_it_has_and_what_is_wrong(string address, string host)
    {
        var node = Start("--metrics-address", address);
        node.AddPod("shop/web");
        _cluster.Apply("policies.yaml", """
            { apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: { name: good, namespace: shop }, spec: { podSelector: {} } }
            ---
            { apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: { name: bad, namespace: shop }, spec: { podSelector: {}, ingress: [{ ports: [{ port: 100000 }] }] } }
            """);
        string[] expected =
        [
            """,node="node-1"} 1""",
            "overlay_serving 1",
            "overlay_pods_local 1",
            """overlay_policies{tier="NetworkPolicy"} 2""",
            "overlay_rejected_objects 1",
            """{kind="NetworkPolicy",namespace="shop",name="bad",source=""",
            "overlay_resync_duration_seconds_count ",
        ];
        TestCluster.Eventually(() => expected.All(Get(node, host, "GET /metrics HTTP/1.1").Contains), "all of it is told", () => Get(node, host, "GET /metrics HTTP/1.1"));
        var answer = Get(node, host, "GET /metrics HTTP/1.1");
        Assert.That(answer, Does.StartWith("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
        Assert.That(answer, Does.Contain($"\r\nContent-Length: {answer.Length - answer.IndexOf("\r\n\r\n", StringComparison.Ordinal) - 4}\r\n"));
    }

    [TestCase("GET / HTTP/1.1", "HTTP/1.1 404 ")]
    [TestCase("POST /metrics HTTP/1.1", "HTTP/1.1 405 ")]
    [TestCase("HEAD /metrics HTTP/1.1", "HTTP/1.1 200 ")]
    [TestCase("hello", "HTTP/1.1 400 ")]
    public void What_is_no_question_for_metrics_is_refused(string request, string answer) =>
        Assert.That(Get(Start("--metrics-address", ":9091"), "127.0.0.1", request), Does.StartWith(answer));

    [Test]
    public void An_address_that_is_taken_is_said_in_one_line()
    {
        var node = Start("--metrics-address", ":9091");
        var answer = node.Net.TryRun($"{Programs.Usual.Overlay} agent --node-name node-2 --datastore directory:{_cluster.Manifests} --socket {node.Socket}2 --state-dir {_cluster.Folder}/state2 --metrics-address :9091");
        Assert.That(answer.ExitCode, Is.EqualTo(1));
        Assert.That(answer.Error.Trim(), Is.EqualTo("overlay agent: the agent ended: Cannot serve metrics on :9091 (metrics.address): Address already in use."));
    }

    private TestNode Start(params string[] flags)
    {
        _cluster = TestCluster.Create(0);
        _cluster.ApplyNode("node-1", ["192.168.7.1"], ["10.42.1.0/24", "fd00:42:1::/64"]);
        var node = _cluster.Join("node-1", "192.168.7.1");
        node.StartAgent(flags);
        return node;
    }

    private static string Get(TestNode node, string host, string request) => HttpQuestion.Ask(node.Net, host, 9091, request);
}
