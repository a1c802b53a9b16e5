using k8s;
using k8s.Models;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Yaml;

namespace Overlay.Tests.Chart;

/// <summary>What a user of the Helm chart, and of the manifests that are made from it, gets.</summary>
public class ChartTests
{
    /// <summary>The Node whose agent a configuration is read as.</summary>
    internal const string Node = "node-1";

    /// <summary>They differ from node to node: nodeName comes from the pod (OVERLAY_NODE_NAME), podCIDRs from the Node.</summary>
    internal static readonly string[] PerNode = ["nodeName", "podCIDRs"];

    private static readonly string Everything = Values("everything");

    // Everything, and with Windows nodes; they do not go together, since a folder is no datastore for both.
    private static readonly string[][] All = [[], ["--values", Everything], ["--values", Values("windows")]];

    private static readonly Dictionary<string, Type> Types = new[]
    {
        typeof(V1ServiceAccount), typeof(V1ClusterRole), typeof(V1ClusterRoleBinding), typeof(V1ConfigMap), typeof(V1DaemonSet), typeof(V1Service),
    }.ToDictionary(type => $"{(KindOf(type).Group is { Length: > 0 } group ? group + "/" : "")}{KindOf(type).ApiVersion}/{KindOf(type).Kind}");

    [Test]
    public void Helm_has_nothing_to_criticise() => Assert.That(Helm.Run("lint", "--strict", Helm.Chart), Does.Contain("1 chart(s) linted, 0 chart(s) failed"));

    [Test]
    public void Its_version_is_that_of_the_project()
    {
        var chart = File.ReadAllText(Path.Combine(Helm.Chart, "Chart.yaml"));
        var version = Overlay.Dataplane.Cli.Version.Text;
        Assert.That(chart, Does.Contain($"\nversion: {version}\n").And.Contain($"\nappVersion: {version}\n"));
    }

    // The plain manifests, for kubectl apply and for k0s, are what the chart gives without any values.
    [Test]
    public void Plain_manifests_are_those_of_the_chart()
    {
        var folder = Path.Combine(Helm.Chart, "manifests");
        var rendered = Helm.Template();
        foreach (var (name, text) in rendered)
            Assert.That(text, Is.EqualTo(Golden(Path.Combine(folder, name), text)), $"{name}: OVERLAY_ACCEPT=1 takes the new text over; read its difference before you commit it.");
        Assert.That(Directory.EnumerateFileSystemEntries(folder).Select(Path.GetFileName), Is.EquivalentTo(rendered.Keys), "k0s takes *.yaml of one folder, and nothing below it");
    }

    [TestCase("everything")]
    [TestCase("windows")]
    public void Changed_values_give_what_is_in_the_golden_file(string name)
    {
        var text = string.Concat(Helm.Template("--values", Values(name)).Select(file => $"---\n# {file.Key}\n{file.Value}"));
        Assert.That(text, Is.EqualTo(Golden(Values(name).Replace(".values.yaml", ".yaml", StringComparison.Ordinal), text)), "OVERLAY_ACCEPT=1 takes the new text over; read its difference before you commit it.");
    }

    // A field that the API does not have would be dropped there in silence.
    [Test]
    public void Every_manifest_is_an_object_of_the_API_and_has_no_other_fields()
    {
        foreach (var text in All.SelectMany(values => Helm.Template(values).Values))
        {
            foreach (var document in text.Split("\n---\n").Where(document => !document.Contains("kind: ServiceMonitor")))
                Assert.That(KubernetesYaml.LoadAllFromString(document, Types, strict: true), Has.Count.EqualTo(1), document);
        }
    }

    [Test]
    public void Every_object_that_has_a_namespace_names_it()
    {
        foreach (var text in All.SelectMany(values => Helm.Template(values).Values).SelectMany(text => text.Split("\n---\n")))
            Assert.That(text.Contains("kind: ClusterRole"), Is.Not.EqualTo(text.Contains("\n  namespace: kube-system\n")), text);
    }

    [Test]
    public void Its_values_have_every_key_of_the_configuration()
    {
        var values = (YamlNode.Mapping)YamlText.Read(File.ReadAllText(Path.Combine(Helm.Chart, "values.yaml"))).Single().Root!;
        var config = (YamlNode.Mapping)values.Entries.Single(entry => entry.Key.Text == "config").Value;
        Assert.That(Keys(config, ""), Is.EquivalentTo(ConfigurationKey.All.Select(key => key.Name).Except(PerNode)));
    }

    // But for the address of kubelet's probes, which a node without kubelet has no use for.
    [Test]
    public void Without_values_the_agent_has_its_defaults() =>
        Assert.That(Configuration(Helm.Template()), Is.EqualTo(new OverlayConfiguration { NodeName = Node, HealthAddress = "127.0.0.1:14789" }));

    // kubelet asks from the node's own network. An address that stands for all of the node's is none that can be asked for.
    [TestCase("127.0.0.1:14789", "127.0.0.1", "14789")]
    [TestCase(":9099", "127.0.0.1", "9099")]
    [TestCase("0.0.0.0:9099", "127.0.0.1", "9099")]
    [TestCase("[::]:9099", "::1", "9099")]
    [TestCase("[2001:db8::1]:9099", "2001:db8::1", "9099")]
    public void Probes_ask_where_health_is_served(string address, string host, string port)
    {
        var agent = DaemonSet("daemonset.yaml", "--set", $"config.health.address={address}").Spec.Template.Spec.Containers.Single();
        var (ready, live) = (agent.ReadinessProbe.HttpGet, agent.LivenessProbe.HttpGet);
        Assert.That((ready.Host, ready.Port.Value, ready.Path), Is.EqualTo((host, port, "/readyz")));
        Assert.That((live.Host, live.Port.Value, live.Path), Is.EqualTo((host, port, "/livez")));
    }

    // It has no file where it looks for one, and finds the agent by the container's environment; so does whoever runs a verb in there by hand.
    [Test]
    public void Without_an_address_for_health_probes_run_a_verb_of_the_agent()
    {
        var agent = DaemonSet("daemonset.yaml", "--set", "config.health.address=,config.socket=/run/other/other.sock").Spec.Template.Spec.Containers.Single();
        Assert.That(ConfigurationReader.Read("", null, EnvironmentOf(agent), new Dictionary<string, string>()).Configuration!.Socket, Is.EqualTo("/run/other/other.sock"));
        foreach (var probe in new[] { agent.ReadinessProbe, agent.LivenessProbe })
        {
            Assert.That(probe.HttpGet, Is.Null);
            Assert.That(probe.Exec.Command, Is.EqualTo(new[] { "/overlay", "status" }));
        }
    }

    // Every node has an agent, whatever its taints; it comes before other pods, and nodes are updated one after the other.
    [TestCase("daemonset.yaml", "linux")]
    [TestCase("windows.yaml", "windows")]
    public void It_runs_on_every_node_of_its_system_and_is_replaced_one_node_at_a_time(string file, string system)
    {
        var set = DaemonSet(file, "--set", "windows.enabled=true").Spec;
        var pod = set.Template.Spec;
        Assert.That((set.UpdateStrategy.Type, set.UpdateStrategy.RollingUpdate.MaxUnavailable.Value), Is.EqualTo(("RollingUpdate", "1")));
        Assert.That((pod.HostNetwork, pod.PriorityClassName), Is.EqualTo(((bool?)true, "system-node-critical")));
        Assert.That(pod.NodeSelector, Is.EqualTo(new Dictionary<string, string> { ["kubernetes.io/os"] = system }));
        var toleration = pod.Tolerations.Single();
        Assert.That((toleration.OperatorProperty, toleration.Key, toleration.Effect), Is.EqualTo(("Exists", (string?)null, (string?)null)), "any taint");
        Assert.That(set.Selector.MatchLabels, Is.SubsetOf(set.Template.Metadata.Labels));
    }

    [Test]
    public void The_agent_on_Windows_is_a_process_of_the_node_and_differs_in_its_paths_alone()
    {
        Assert.That(Helm.Template().Keys, Has.None.EqualTo("windows.yaml"), "only when it is asked for");
        var files = Helm.Template("--set", "windows.enabled=true");
        var objects = KubernetesYaml.LoadAllFromString(files["windows.yaml"], Types, strict: true);
        var (set, linux) = (objects.OfType<V1DaemonSet>().Single().Spec, DaemonSet("daemonset.yaml").Spec);
        Assert.That(set.Selector.MatchLabels, Is.Not.EqualTo(linux.Selector.MatchLabels), "neither selects the other's pods");
        var options = set.Template.Spec.SecurityContext.WindowsOptions;
        Assert.That((options.HostProcess, options.RunAsUserName), Is.EqualTo(((bool?)true, @"NT AUTHORITY\SYSTEM")));
        foreach (var container in set.Template.Spec.InitContainers.Concat(set.Template.Spec.Containers))
            Assert.That((container.Command[0], container.SecurityContext), Is.EqualTo((@"%CONTAINER_SANDBOX_MOUNT_POINT%\overlay.exe", (V1SecurityContext?)null)));

        var differing = objects.OfType<V1ConfigMap>().Single().Data["overlay.yaml"].Split('\n').Except(KubernetesYaml.Deserialize<V1ConfigMap>(files["configmap.yaml"], strict: true).Data["overlay.yaml"].Split('\n'));
        Assert.That(differing.Select(line => line.Trim()), Is.EquivalentTo(new[]
        {
            @"confDir: c:\etc\cni\net.d", @"binDir: c:\opt\cni\bin", @"ipamDir: c:\var\lib\cni\networks", @"socket: \\.\pipe\overlay", @"stateDir: c:\var\lib\overlay",
        }));
    }

    [Test]
    public void Metrics_are_watched_for_only_when_asked_for()
    {
        Assert.That(Helm.Template("--set", "config.metrics.address=:9091"), Does.Not.ContainKey("servicemonitor.yaml"));
        var text = Helm.Template("--set", "config.metrics.address=:9091,serviceMonitor.enabled=true")["servicemonitor.yaml"];
        var service = KubernetesYaml.Deserialize<V1Service>(text.Split("\n---\n").Single(document => document.Contains("kind: Service\n")), strict: true).Spec;
        Assert.That((service.ClusterIP, service.Ports.Single().Port), Is.EqualTo(("None", 9091)));
        Assert.That(service.Selector, Is.SubsetOf(DaemonSet("daemonset.yaml").Spec.Template.Metadata.Labels));
        Assert.That(text, Does.Contain("kind: ServiceMonitor\n").And.Contain("port: metrics\n"));
    }

    [TestCase("", "UDP 4789 (VXLAN)", "kube-proxy must run before", "!Metrics", "!Windows")]
    [TestCase("config.apiServer=https://192.0.2.1:6443", "!kube-proxy")]
    [TestCase("config.vxlan.port=8472,config.metrics.address=:9091", "UDP 8472", "Metrics are at :9091 of every node, without a password.")]
    [TestCase("windows.enabled=true", "refuses to start on Windows, and no Windows image is built yet")]
    public void Its_notes_say_what_is_to_be_seen_to(string settings, params string[] said)
    {
        var output = Helm.Run(["install", "overlay", Helm.Chart, "--namespace", "kube-system", "--dry-run=client", .. settings.Length > 0 ? (string[])["--set", settings] : []]);
        var notes = output[output.IndexOf("\nNOTES:\n", StringComparison.Ordinal)..];
        foreach (var text in said)
            Assert.That(notes, text[0] == '!' ? Does.Not.Contain(text[1..]) : Does.Contain(text));
    }

    // get of one pod: ADD of a pod that the watch has not shown yet. patch: NetworkUnavailable. create: Events of rejected policies.
    [Test]
    public void Its_role_allows_what_the_agent_does_and_nothing_else()
    {
        var role = KubernetesYaml.LoadAllFromString(Helm.Template()["rbac.yaml"], Types, strict: true).OfType<V1ClusterRole>().Single();
        var allowed = from rule in role.Rules
                      from resource in rule.Resources
                      from verb in rule.Verbs
                      select $"{verb} {rule.ApiGroups.Single()}/{resource}";
        Assert.That(allowed, Is.EquivalentTo(new[]
        {
            "list /nodes", "watch /nodes", "list /namespaces", "watch /namespaces", "get /pods", "list /pods", "watch /pods",
            "list networking.k8s.io/networkpolicies", "watch networking.k8s.io/networkpolicies",
            "list policy.networking.k8s.io/clusternetworkpolicies", "watch policy.networking.k8s.io/clusternetworkpolicies",
            "patch /nodes/status", "create /events",
        }));
        Assert.That(role.Rules.SelectMany(rule => rule.NonResourceURLs ?? []).Concat(role.Rules.SelectMany(rule => rule.ResourceNames ?? [])), Is.Empty);
    }

    // Each mount has a volume, and each program that is started, with its flags, is one that the image has.
    [Test]
    public void Its_containers_start_what_the_image_holds()
    {
        var pod = KubernetesYaml.Deserialize<V1DaemonSet>(Helm.Template("--values", Everything)["daemonset.yaml"], strict: true).Spec.Template.Spec;
        foreach (var container in pod.InitContainers.Concat(pod.Containers))
        {
            Assert.That(container.VolumeMounts.Select(mount => mount.Name).Distinct(), Is.SubsetOf(pod.Volumes.Select(volume => volume.Name)));
            Assert.That(container.Command[0], Is.EqualTo("/overlay"));
        }

        Assert.That(pod.InitContainers.Single().Command.Skip(1), Is.EqualTo(new[] { "install", "--cni-bin-dir", pod.InitContainers[0].VolumeMounts.Single().MountPath }));
        Assert.That(pod.Containers.Single().Command.Skip(1), Is.EqualTo(new[] { "agent", "--config", $"{pod.Containers[0].VolumeMounts.Single(mount => mount.Name == "config").MountPath}/overlay.yaml" }));
    }

    // A file that is mounted by itself stays what it was when another is renamed into its place, and what it names is not there. /etc/overlay is where the project's README has it.
    [TestCase("/etc/kubernetes/overlay.conf", "/etc/kubernetes")]
    [TestCase("/etc/overlay/kubeconfig", "/etc/overlay")]
    public void A_kubeconfig_is_mounted_with_its_folder_at_the_same_path(string file, string folder)
    {
        var pod = DaemonSet("daemonset.yaml", "--set", $"config.kubeconfig={file}").Spec.Template.Spec;
        var mount = pod.Containers.Single().VolumeMounts.Single(mount => mount.MountPath == folder);
        var source = pod.Volumes.Single(volume => volume.Name == mount.Name).HostPath;
        Assert.That((source.Path, source.Type, mount.ReadOnlyProperty, mount.SubPath), Is.EqualTo((folder, "Directory", (bool?)true, (string?)null)));
    }

    private static string Values(string name) => Path.Combine(SourceTree.Root, "Tests", "Golden", "chart", $"{name}.values.yaml");

    private static V1DaemonSet DaemonSet(string file, params string[] values) => KubernetesYaml.LoadAllFromString(Helm.Template(values)[file], Types, strict: true).OfType<V1DaemonSet>().Single();

    /// <summary>What the agent makes of its file and its environment; both must be to its liking.</summary>
    internal static OverlayConfiguration Configuration(SortedDictionary<string, string> files)
    {
        var map = KubernetesYaml.Deserialize<V1ConfigMap>(files["configmap.yaml"], strict: true);
        var agent = KubernetesYaml.Deserialize<V1DaemonSet>(files["daemonset.yaml"], strict: true).Spec.Template.Spec.Containers.Single();
        var reading = ConfigurationReader.Read("overlay.yaml", map.Data["overlay.yaml"], EnvironmentOf(agent), new Dictionary<string, string>());
        Assert.That(reading.Errors, Is.Empty);
        return reading.Configuration!;
    }

    // Of the fields of the pod it names only the node's name.
    private static Dictionary<string, string> EnvironmentOf(V1Container container) =>
        container.Env.ToDictionary(variable => variable.Name, variable => variable.ValueFrom?.FieldRef.FieldPath == "spec.nodeName" ? Node : variable.Value);

    private static IEnumerable<string> Keys(YamlNode.Mapping mapping, string prefix) => mapping.Entries.SelectMany(entry =>
        entry.Value is YamlNode.Mapping inner ? Keys(inner, $"{prefix}{entry.Key.Text}.") : [prefix + entry.Key.Text]);

    private static KubernetesEntityAttribute KindOf(Type type) => (KubernetesEntityAttribute)Attribute.GetCustomAttribute(type, typeof(KubernetesEntityAttribute))!;

    private static string Golden(string path, string actual)
    {
        if (Environment.GetEnvironmentVariable("OVERLAY_ACCEPT") == "1")
        {
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            File.WriteAllText(path, actual);
        }

        return File.Exists(path) ? File.ReadAllText(path) : $"{path} is missing: OVERLAY_ACCEPT=1 writes it.";
    }
}
