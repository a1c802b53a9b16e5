using System.Diagnostics;
using System.Net;
using System.Text.Json.Nodes;
using Overlay.Tests.Fakes;
using Overlay.Tests.Kubernetes;
using Overlay.Tests.Oracles;

namespace Overlay.Tests.Kernel;

/// <summary>Nodes whose agents watch an API server, fake or real, across the underlay. The test is scheduler and kubelet: it makes pods, has them wired, and tells their addresses.</summary>
internal sealed class ApiCluster : IAsyncDisposable
{
    private static readonly IPAddress Address = IPAddress.Parse("192.168.7.250");

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("overlay-api-");
    private readonly List<JsonObject> _made = [];
    private readonly ControlPlane? _plane;
    private readonly Relay _relay;

    private ApiCluster(FakeApiServer? fake, ControlPlane? plane)
    {
        (Fake, _plane) = (fake, plane);
        var url = fake?.Url ?? plane!.Url;
        Nodes = TestCluster.CreateEmpty();
        Nodes.AddOutside(Address);
        _relay = Relay.Start(Nodes.Switch, Address, new(IPAddress.Loopback, url.Port));
        var kubeconfig = KubeconfigFile.Write(_folder.FullName, new($"https://{_relay.Address}"), fake?.CertificateAuthorityPem ?? plane!.CertificateAuthorityPem, fake?.Token ?? plane!.AgentToken, "localhost");
        Nodes.Datastore = ["--datastore", "kubernetes", "--kubeconfig", kubeconfig];
        AdminKubeconfig = plane?.AdminKubeconfig;
    }

    /// <summary>The fake API server, if it is that.</summary>
    public FakeApiServer? Fake { get; }

    /// <summary>The nodes.</summary>
    public TestCluster Nodes { get; }

    /// <summary>Kubeconfig of the administrator of a real one, on this machine.</summary>
    public string? AdminKubeconfig { get; }

    /// <summary>Makes one with two Node objects and machines, no agent started yet, and the namespaces shop and ops.</summary>
    public static async Task<ApiCluster> CreateAsync(string which)
    {
        var cluster = which == "fake" ? new ApiCluster(await FakeApiServer.StartAsync(), null) : new ApiCluster(null, await ControlPlane.GetAsync());
        await cluster.PutYamlAsync("""
            apiVersion: v1
            kind: Namespace
            metadata: { name: shop, labels: { team: sales } }
            ---
            apiVersion: v1
            kind: Namespace
            metadata: { name: ops, labels: { team: ops } }
            """);
        for (var i = 1; i <= 2; i++)
        {
            await cluster.PutYamlAsync($$"""
                apiVersion: v1
                kind: Node
                metadata: { name: node-{{i}} }
                spec: { podCIDR: 10.42.{{i}}.0/24, podCIDRs: [10.42.{{i}}.0/24, "fd00:42:{{i}}::/64"] }
                status: { addresses: [{ type: InternalIP, address: 192.168.7.{{i}} }] }
                """);
            cluster.Nodes.Join($"node-{i}", $"192.168.7.{i}");
        }

        return cluster;
    }

    /// <summary>Starts all agents and waits until they serve.</summary>
    public ApiCluster Start()
    {
        Nodes.Nodes.ForEach(node => node.BeginAgent());
        Nodes.Nodes.ForEach(node => node.AwaitAgent());
        return this;
    }

    /// <summary>Creates or changes the objects of a manifest.</summary>
    public async Task PutYamlAsync(string yaml)
    {
        foreach (var value in ManifestYaml.Objects(yaml))
            await PutAsync(value);
    }

    /// <summary>Creates or changes an object.</summary>
    public async Task<JsonObject> PutAsync(JsonObject value)
    {
        _made.Add(value);
        return Fake is not null ? Fake.Put(value) : await _plane!.ApplyAsync(value);
    }

    /// <summary>An object as the server has it, read with the agent's rights.</summary>
    public async Task<JsonNode> GetAsync(string path)
    {
        using var client = Fake is not null ? new ApiClient(Fake.Url, Fake.CertificateAuthorityPem, Fake.Token) : _plane!.Client(_plane.AdminToken);
        return (await client.GetAsync(path)).Body;
    }

    /// <summary>Deletes an object.</summary>
    public async Task DeleteAsync(JsonObject value)
    {
        if (Fake is not null)
            Fake.Delete(FakeKind.All.Single(kind => kind.Kind == (string?)value["kind"]).Plural, (string?)value["metadata"]!["namespace"], (string)value["metadata"]!["name"]!);
        else
            await _plane!.DeleteAsync(value);
    }

    /// <summary>A pod's object as the scheduler leaves it.</summary>
    public static JsonObject Pod(string name, string node, string app) => ManifestYaml.Objects($$"""
        apiVersion: v1
        kind: Pod
        metadata: { namespace: {{name.Split('/')[0]}}, name: {{name.Split('/')[1]}}, labels: { app: {{app}} } }
        spec: { nodeName: {{node}}, containers: [{ name: c, image: none }] }
        """).Single();

    /// <summary>Makes a pod: its object, its interface, and its addresses in its status.</summary>
    public async Task<TestPod> AddPodAsync(TestNode node, string name, string app)
    {
        var value = Pod(name, node.Name, app);
        var pod = node.AddPod(name, uid: (string)(await PutAsync(value))["metadata"]!["uid"]!);
        await TellAddressesAsync(value, pod);
        return pod;
    }

    /// <summary>As kubelet does once the runtime has told it.</summary>
    public async Task TellAddressesAsync(JsonObject value, TestPod pod)
    {
        value["status"] = new JsonObject { ["phase"] = "Running", ["podIP"] = $"{pod.IPv4}", ["podIPs"] = new JsonArray(new JsonObject { ["ip"] = $"{pod.IPv4}" }, new JsonObject { ["ip"] = $"{pod.IPv6}" }) };
        await PutAsync(value);
    }

    /// <summary>Applies or deletes a manifest as its users do: kubectl where there is one and a real server, else the API.</summary>
    /// <returns>Which.</returns>
    public async Task<string> KubectlAsync(string verb, string yaml)
    {
        if (AdminKubeconfig is not null && File.Exists("/usr/bin/kubectl"))
        {
            _made.AddRange(ManifestYaml.Objects(yaml));
            using var kubectl = Process.Start(new ProcessStartInfo("/usr/bin/kubectl", ["--kubeconfig", AdminKubeconfig, verb, "-f", "-"]) { RedirectStandardInput = true, RedirectStandardError = true, RedirectStandardOutput = true })!;
            await kubectl.StandardInput.WriteAsync(yaml);
            kubectl.StandardInput.Close();
            var error = await kubectl.StandardError.ReadToEndAsync();
            await kubectl.WaitForExitAsync();
            Assert.That(kubectl.ExitCode, Is.Zero, error);
            return $"kubectl {verb}";
        }

        foreach (var value in ManifestYaml.Objects(yaml))
            await (verb == "apply" ? PutAsync(value) : DeleteAsync(value));
        return $"{verb} by the API";
    }

    public async ValueTask DisposeAsync()
    {
        Nodes.Dispose();
        _relay.Dispose();
        if (Fake is not null)
            await Fake.DisposeAsync();
        // Without controllers a namespace that is deleted would never be gone.
        foreach (var value in Enumerable.Reverse(_made).Where(value => _plane is not null && (string?)value["kind"] != "Namespace"))
            await _plane!.RemoveAsync(value);
        _folder.Delete(recursive: true);
    }
}
