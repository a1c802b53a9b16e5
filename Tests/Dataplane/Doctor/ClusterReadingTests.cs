using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Doctor;
using Overlay.Dataplane.Doctor.Checks;
using Overlay.Dataplane.Doctor.Machine;
using Overlay.Tests.Fakes;

namespace Overlay.Tests.Dataplane.Doctor;

/// <summary>What is found out about a datastore.</summary>
public class ClusterReadingTests
{
    private DirectoryInfo _folder = null!;
    private FakeApiServer _server = null!;

    [SetUp]
    public async Task Start()
    {
        _folder = Directory.CreateTempSubdirectory("overlay-doctor-");
        _server = await FakeApiServer.StartAsync();
    }

    [TearDown]
    public async Task Stop()
    {
        await _server.DisposeAsync();
        _folder.Delete(recursive: true);
    }

    [Test]
    public async Task All_nodes_of_an_API_server_are_read_page_by_page()
    {
        for (var i = 1; i <= 120; i++)
            _server.PutYaml($$"""{ apiVersion: v1, kind: Node, metadata: { name: node-{{i}} }, spec: { podCIDRs: ["10.42.{{i}}.0/24"] }, status: { addresses: [{ type: InternalIP, address: "192.0.2.{{i}}" }] } }""");
        var view = await ReadAsync();
        Assert.That(view.Problems, Is.Empty);
        Assert.That(view.Nodes, Has.Count.EqualTo(120));
        Assert.That(view.Nodes!.Single(node => node.Name == "node-7").ToString(), Does.Contain("node-7"));
        Assert.That(Judge(view, "node-120").Select(finding => finding.Severity), Is.All.EqualTo(Severity.Pass));
        Assert.That(Judge(view, "node-121").Last().Severity, Is.EqualTo(Severity.Fail));
    }

    [Test]
    public async Task Credentials_that_are_refused_fail()
    {
        _server.RejectToken(_server.Token);
        Assert.That(Only(await ReadAsync()), Does.Match("Fail the API server https://127.0.0.1:[0-9]+ refuses our credentials: .*401"));
    }

    [Test]
    public async Task A_right_that_is_missing_fails_by_its_name_and_the_rest_is_read()
    {
        _server.Inject(request => request.Resource == "networkpolicies", new FakeFault.Answer(403), times: 9);
        var view = await ReadAsync();
        Assert.That(Only(view), Does.Match("Fail the API server .* refuses to list networkpolicies: GET /apis/networking.k8s.io/v1/networkpolicies: 403"));
        Assert.That(view.Nodes, Is.Not.Null);
    }

    [Test]
    public async Task A_cluster_without_ClusterNetworkPolicies_is_as_good_as_any()
    {
        if (_server.Has("clusternetworkpolicies"))
            _server.RemoveKind("clusternetworkpolicies");
        Assert.That((await ReadAsync()).Problems, Is.Empty);
    }

    [Test]
    public async Task A_server_that_is_not_there_fails_with_the_reason()
    {
        await _server.StopListeningAsync();
        Assert.That(Only(await ReadAsync()), Does.Contain("cannot be asked").And.Contain("refused"));
        Assert.That((await ReadAsync()).Nodes, Is.Null);
    }

    [Test]
    public async Task A_kubeconfig_that_is_not_there_fails() =>
        Assert.That(Only(await ClusterReading.ReadAsync(new() { Kubeconfig = Path.Combine(_folder.FullName, "none") }, default)), Does.Contain("none does not exist"));

    [Test]
    public async Task A_folder_is_read_with_what_cannot_be_understood()
    {
        File.WriteAllText(Path.Combine(_folder.FullName, "node.yaml"), """{ apiVersion: v1, kind: Node, metadata: { name: node-1 }, spec: { podCIDRs: ["10.42.1.0/24"] } }""");
        File.WriteAllText(Path.Combine(_folder.FullName, "broken.yaml"), "a: [");
        var view = await ClusterReading.ReadAsync(new() { DatastoreDirectory = _folder.FullName }, default);
        var findings = Judge(view, "node-1");
        Assert.That(findings.Select(finding => finding.Severity), Is.EqualTo(new[] { Severity.Pass, Severity.Warn, Severity.Pass }));
        Assert.That(findings[1].What, Does.Contain("broken.yaml"));
    }

    private Task<ClusterView> ReadAsync() => ClusterReading.ReadAsync(new() { Kubeconfig = _server.WriteKubeconfig(_folder.FullName) }, default);

    private static List<Finding> Judge(ClusterView view, string node) => [.. DatastoreCheck.Judge(view, new OverlayConfiguration { NodeName = node })];

    private static string Only(ClusterView view) => $"{view.Problems.Single().Severity} {view.Problems.Single().What}";
}
