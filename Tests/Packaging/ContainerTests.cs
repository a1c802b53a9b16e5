using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using k8s;
using k8s.Models;
using Overlay.Tests.Chart;
using Overlay.Tests.Kernel;

namespace Overlay.Tests.Packaging;

/// <summary>The real image under a real containerd and runc, in exactly the containers that the chart's DaemonSet asks for: no privilege is needed that it does not name.</summary>
public class ContainerTests
{
    private const string Cluster = """
        apiVersion: v1
        kind: Node
        metadata: {name: node-1}
        spec: {podCIDRs: [10.42.1.0/24, "fd00:42:1::/64"]}
        status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}
        ---
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata: {name: none, namespace: shop}
        spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
        """;

    private DirectoryInfo _folder = null!;

    [SetUp]
    public void MakeFolder() => _folder = Directory.CreateTempSubdirectory("overlay-ctr-");

    [TearDown]
    public void RemoveFolder() => _folder.Delete(recursive: true);

    [TestCase(true)]
    [TestCase(false)]
    public void The_agent_wires_and_protects_a_pod_with_the_rights_that_the_chart_gives_it(bool health)
    {
        var archive = OciArchiveTests.RealImage();
        using var node = NetnsFixture.Create();
        node.Run("ip link set lo up");
        File.WriteAllText(Path.Combine(_folder.CreateSubdirectory("datastore").FullName, "cluster.yaml"), Cluster);
        var manifests = Helm.Template(["--set", "config.datastore=directory:/cluster,config.kubeconfig=/etc/overlay/kubeconfig", .. health ? (string[])[] : ["--set", "config.health.address=,config.socket=/run/other/agent.sock"]]);
        var pod = KubernetesYaml.Deserialize<V1DaemonSet>(manifests["daemonset.yaml"], strict: true).Spec.Template.Spec;
        File.WriteAllText(
            Path.Combine(_folder.CreateSubdirectory("config").FullName, "overlay.yaml"),
            KubernetesYaml.Deserialize<V1ConfigMap>(manifests["configmap.yaml"], strict: true).Data["overlay.yaml"]);
        using var containerd = new Containerd(_folder.FullName);
        containerd.Run("images", "import", archive);

        containerd.Run(Containerd.Arguments(pod.InitContainers.Single(), Volume, node.Path, "node-1"));
        var agent = pod.Containers.Single();
        using var running = containerd.Start(Containerd.Arguments(agent, Volume, node.Path, "node-1"));
        try
        {
            WaitUntilItServes(running);
            RenameKubeconfig(containerd);
            using var sandbox = NetnsFixture.Create(); // later than the agent: it must show inside of its container
            foreach (var path in new[] { sandbox.Path, $"/var{sandbox.Path}" })
            {
                Assert.That(Plugin(node, path, "ADD"), Does.Contain("10.42.1."));
                foreach (var probe in new[] { agent.ReadinessProbe, agent.LivenessProbe })
                    Probe(containerd, node, health ? probe.HttpGet : null, probe.Exec);
                Assert.That(containerd.Run("task", "exec", "--exec-id", "verify", agent.Name, "/overlay", "verify", "--policies"), Does.Contain("Nothing differs").And.Contain("agree"));
                Plugin(node, path, "DEL");
            }
        }
        finally
        {
            containerd.Run("task", "kill", "--signal", "SIGTERM", agent.Name);
            running.WaitForExit();
        }

        Assert.That(running.ExitCode, Is.Zero);
    }

    [Test]
    public void Of_an_archive_of_all_architectures_a_node_runs_its_own()
    {
        var archive = OciArchiveTests.RealImages();
        using var containerd = new Containerd(_folder.FullName);
        containerd.Run("images", "import", archive);
        var version = Overlay.Dataplane.Cli.Version.Text;
        Assert.That(containerd.Run("run", "--rm", $"localhost/overlay:{version}", "version", "/overlay", "--version").Trim(), Is.EqualTo(version));
    }

    private static void WaitUntilItServes(Process agent)
    {
        var lines = new List<string>();
        while (agent.StandardOutput.ReadLine() is { } line)
        {
            lines.Add(line);
            if (line.Contains("this node forwards and enforces", StringComparison.Ordinal))
                return;
        }

        Assert.Fail($"The agent ended: {string.Join('\n', lines)}\n{agent.StandardError.ReadToEnd()}");
    }

    // What kubelet does: it asks from the node's network itself, or runs a command in the container.
    private static void Probe(Containerd containerd, NetnsFixture node, V1HTTPGetAction? question, V1ExecAction? command)
    {
        if (question is null)
            containerd.Run(["task", "exec", "--exec-id", "probe", "agent", .. command!.Command]);
        else
            Assert.That(HttpQuestion.Ask(node, question.Host, int.Parse(question.Port.Value, CultureInfo.InvariantCulture), $"GET {question.Path} HTTP/1.1"), Does.StartWith("HTTP/1.1 200 "));
    }

    // Who renews a kubeconfig renames another into its place: the agent must see that one, and what it names beside it.
    private void RenameKubeconfig(Containerd containerd)
    {
        var (folder, pid) = (Volume("kubeconfig"), containerd.Run("task", "ls").Split('\n').Single(line => line.StartsWith("agent ", StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[1]);
        foreach (var text in new[] { "first", "second" })
        {
            File.WriteAllText(Path.Combine(folder, "new"), text);
            File.Move(Path.Combine(folder, "new"), Path.Combine(folder, "kubeconfig"), overwrite: true);
            File.WriteAllText(Path.Combine(folder, "ca.crt"), text);
            foreach (var name in new[] { "kubeconfig", "ca.crt" })
                Assert.That(File.ReadAllText($"/proc/{pid}/root/etc/overlay/{name}"), Is.EqualTo(text));
        }
    }

    // The plugin runs on the node itself, where the socket is at another path than in the container; in a cluster they are the same.
    private string Plugin(NetnsFixture node, string netns, string command)
    {
        var list = JsonNode.Parse(File.ReadAllText(Path.Combine(_folder.FullName, "cni-conf", "05-overlay.conflist")))!;
        var configuration = list["plugins"]![0]!;
        (configuration["name"], configuration["cniVersion"]) = ("overlay", "1.0.0");
        configuration["socket"] = Path.Combine(_folder.FullName, "run", "agent.sock");
        configuration["ipam"]!["dataDir"] = Path.Combine(_folder.FullName, "addresses");
        var output = node.TryRun(
            $"env CNI_COMMAND={command} CNI_CONTAINERID=c1 CNI_NETNS={netns} CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin CNI_ARGS=K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web {_folder.FullName}/cni-bin/overlay-cni",
            configuration.ToJsonString());
        Assert.That(output.ExitCode, Is.Zero, output.Output + output.Error);
        return output.Output;
    }

    private string Volume(string name) => name switch
    {
        "netns" => "/run/netns",
        "sysctl" => "/proc/sys/net",
        _ => _folder.CreateSubdirectory(name).FullName,
    };
}
