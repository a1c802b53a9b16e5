using System.CommandLine;
using System.Text.Json;
using Overlay.Dataplane.Cli;
using Overlay.Dataplane.Datastore.Directory;
using Overlay.Dataplane.Desired;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Dataplane;

[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class RenderTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("overlay-render-").FullName;

    public RenderTests() => File.WriteAllText(Path.Combine(_folder, "cluster.yaml"), """
        {apiVersion: v1, kind: Node, metadata: {name: n1}, spec: {podCIDRs: [10.42.1.0/24]}, status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}}
        ---
        {apiVersion: v1, kind: Node, metadata: {name: n2}, spec: {podCIDRs: [10.42.2.0/24]}, status: {addresses: [{type: InternalIP, address: 192.0.2.2}]}}
        ---
        {apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, labels: {app: web}}, spec: {nodeName: n1}}
        ---
        {apiVersion: v1, kind: Pod, metadata: {name: db, namespace: shop}, spec: {nodeName: n1}, status: {podIP: 10.42.1.9}}
        ---
        {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny, namespace: shop}, spec: {podSelector: {matchLabels: {app: web}}}}
        """);

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Test]
    public void Text_shows_the_ruleset_and_the_rows_of_the_node_named()
    {
        new PodStatusFolder(_folder, "n1").Publish(new("shop", "web"), [new("c1", "eth0", new("shop", "web"), "", "", "", default, [InetAddress.Parse("10.42.1.5")], "")]);
        var (exit, output, error) = Run("--node-name", "n1");
        Assert.That(error, Is.Empty);
        Assert.That(exit, Is.Zero);
        Assert.That(output, Does.StartWith("# Node n1, pods' MTU 1450 over an underlay of 1500 bytes\ntable inet overlay {\n"));
        Assert.That(output, Does.Contain("10.42.1.5").And.Contain("10.42.1.9"));
        Assert.That(output, Does.Contain($"10.42.1.5 dev {Ownership.PodInterface("c1", "eth0")} scope link\n"));
        Assert.That(output, Does.EndWith("10.42.2.0/24 via 10.42.2.0 dev overlay-vxlan onlink\nblackhole 10.42.2.0/24 metric 4294967295\n"));
    }

    [Test]
    public void JSON_says_the_same()
    {
        var (exit, output, _) = Run("--node-name", "n2", "-o", "json");
        Assert.That(exit, Is.Zero);
        var json = JsonDocument.Parse(output).RootElement;
        Assert.That(json.GetProperty("node").GetString(), Is.EqualTo("n2"));
        Assert.That(json.GetProperty("ruleset").GetString(), Does.StartWith("table inet overlay {"));
        Assert.That(json.GetProperty("routes").EnumerateArray().Select(row => row.GetString()), Is.EqualTo(new[] { "10.42.1.0/24 via 10.42.1.0 dev overlay-vxlan onlink", "blackhole 10.42.1.0/24 metric 4294967295", "unreachable 10.42.2.0/24" }));
        Assert.That(json.GetProperty("degraded").GetArrayLength(), Is.Zero);
    }

    [Test]
    public void What_is_rejected_is_told_and_the_rest_is_rendered()
    {
        File.WriteAllText(Path.Combine(_folder, "bad.yaml"), "{apiVersion: v1, kind: Node, metadata: {name: N3}}");
        var (exit, output, error) = Run("--node-name", "n1");
        Assert.That(exit, Is.EqualTo(1));
        Assert.That(output, Does.Contain("via 10.42.2.0 dev overlay-vxlan"));
        Assert.That(error, Does.StartWith($"overlay render: {Path.Combine(_folder, "bad.yaml")}:1: Node N3: metadata.name: \"N3\" is no name"));
    }

    [Test]
    public void A_missing_Node_is_said()
    {
        var (exit, output, error) = Run("--node-name", "n9");
        Assert.That(exit, Is.EqualTo(1));
        Assert.That(error, Does.StartWith("overlay render: Node n9: this node is not in the datastore"));
        Assert.That(output, Does.Contain("# degraded: Node n9: this node is not in the datastore"));
    }

    [Test]
    public void Bad_configuration_and_a_missing_folder_are_one_clear_line()
    {
        Assert.That(Run("--node-name", "n1", "--encapsulation", "geneve"), Is.EqualTo((2, "", "overlay render: --encapsulation: \"geneve\" is no value of encapsulation; accepted: vxlan, ipip or none.\n")));
        Assert.That(RunRaw("--datastore", "directory:/nowhere/at/all"), Is.EqualTo((1, "", "overlay render: The datastore's folder /nowhere/at/all does not exist; create it, or set datastore to another.\n")));
    }

    private (int Exit, string Output, string Error) Run(params string[] arguments) => RunRaw(["--datastore", $"directory:{_folder}", .. arguments]);

    private static (int Exit, string Output, string Error) RunRaw(params string[] arguments)
    {
        var (output, error) = (new StringWriter(), new StringWriter());
        var exit = RenderCommand.Create().Parse(arguments).Invoke(new InvocationConfiguration { Output = output, Error = error });
        return (exit, output.ToString(), error.ToString());
    }
}
