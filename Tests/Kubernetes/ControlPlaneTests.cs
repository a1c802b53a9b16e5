using Overlay.Tests.Oracles;

namespace Overlay.Tests.Kubernetes;

/// <summary>What only a real API server can tell.</summary>
public class ControlPlaneTests
{
    private ControlPlane _plane = null!;

    private static IEnumerable<string> Manifests =>
        Directory.EnumerateFiles(Path.Combine(SourceTree.Root, "charts", "overlay", "manifests"), "*.yaml").Select(Path.GetFileName).OfType<string>().Order();

    [OneTimeSetUp]
    public async Task Start() => _plane = await ControlPlane.GetAsync();

    // Server-side apply refuses fields that the API does not have, and values that it does not allow; a dry run keeps nothing.
    [TestCaseSource(nameof(Manifests))]
    public async Task The_API_accepts_every_manifest_of_the_chart(string name) =>
        await _plane.ApplyAsync(await File.ReadAllTextAsync(Path.Combine(SourceTree.Root, "charts", "overlay", "manifests", name)), dryRun: true);

    [Test]
    public void A_field_that_the_API_does_not_have_is_refused() => Assert.That(
        () => _plane.ApplyAsync("""
            apiVersion: v1
            kind: ConfigMap
            metadata: {name: x, namespace: default}
            dat: {}
            """, dryRun: true),
        Throws.TypeOf<AssertionException>().With.Message.Contains("dat"));

    [TestCase("GET", "/api/v1/nodes", 200)]
    [TestCase("GET", "/api/v1/namespaces", 200)]
    [TestCase("GET", "/api/v1/pods", 200)]
    [TestCase("GET", "/apis/networking.k8s.io/v1/networkpolicies", 200)]
    [TestCase("GET", "/api/v1/namespaces/default/pods/nobody", 404)]
    [TestCase("GET", "/api/v1/nodes/nobody", 403)]
    [TestCase("GET", "/api/v1/secrets", 403)]
    [TestCase("GET", "/api/v1/events", 403)]
    [TestCase("DELETE", "/api/v1/namespaces/default/pods/nobody", 403)]
    public async Task The_agent_may_do_what_the_chart_allows(string method, string path, int expected)
    {
        using var agent = _plane.Client(_plane.AgentToken);
        Assert.That((await agent.SendAsync(new(method), path, null)).Code, Is.EqualTo(expected));
    }

    [Test]
    public async Task What_is_applied_keeps_its_status()
    {
        const string Pod = """
            apiVersion: v1
            kind: Pod
            metadata: {name: with-status, namespace: default}
            spec: {nodeName: node-1, containers: [{name: c, image: i}]}
            status: {phase: Running, podIP: 10.42.1.2, podIPs: [{ip: 10.42.1.2}, {ip: "fd00:42:1::2"}]}
            """;
        await _plane.ApplyAsync(Pod);
        using var agent = _plane.Client(_plane.AgentToken);
        var (_, pod) = await agent.GetAsync("/api/v1/namespaces/default/pods/with-status");
        Assert.That(pod["status"]!["podIPs"]!.AsArray().Select(address => (string?)address!["ip"]), Is.EqualTo(new[] { "10.42.1.2", "fd00:42:1::2" }));
        await _plane.DeleteAsync(Pod);
        Assert.That((await agent.GetAsync("/api/v1/namespaces/default/pods/with-status")).Code, Is.EqualTo(404));
    }

    [Test]
    public void Its_kubeconfigs_name_their_tokens_as_files()
    {
        foreach (var (path, token) in new[] { (_plane.AdminKubeconfig, _plane.AdminToken), (_plane.AgentKubeconfig, _plane.AgentToken) })
        {
            var config = ManifestYaml.Objects(File.ReadAllText(path)).Single();
            Assert.That(File.ReadAllText((string)config["users"]![0]!["user"]!["tokenFile"]!), Is.EqualTo(token));
        }
    }
}
