using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using k8s;
using k8s.Models;
using Overlay.Dataplane.Desired;
using Overlay.Tests.Dataplane;

namespace Overlay.Tests.Chart;

/// <summary>Which values the chart takes: what the agent would start with, as far as a pod can be made of it. Whatever it refuses, it refuses in one sentence that names the value.</summary>
public partial class ChartValuesTests
{
    // For each key: values that the agent starts with, and values that it does not start with.
    private static readonly object[][] Values =
    [
        ["datastore", """["kubernetes", "directory:/a", "directory:/a/b c/"]""", """["", "etcd", "directory:"]"""],
        ["kubeconfig", """["", "/a/b"]""", "[]"],
        ["apiServer",
            """["", "https://10.0.0.1:6443", "http://a", "HTTPS://a-1.example.:65535/b?c", "https://a_b:1", "https://[2001:db8::1]:6443", "https://[::ffff:192.0.2.1]"]""",
            """["10.0.0.1:6443", "ftp://a", "https://", "https:///a", "https://:6443", "https://a:65536", "https://a:6443b", "https://a b", "https://a..b", "https://::1:6443", "https://[::1", "https://[::g]", "https://[192.0.2.1]"]"""],
        ["encapsulation", """["vxlan", "ipip", "none"]""", """["", "geneve"]"""],
        ["crossSubnet", "[true, false]", """["perhaps"]"""],
        ["vxlan.vni", "[1, 16777215]", "[0, -1, 16777216, 1.5]"],
        ["vxlan.port", "[1, 65535]", "[0, 65536]"],
        ["mtu", """["auto", 1280, 65535]""", """["", "automatic", 1279, 65536]"""],
        ["nodeAddress",
            """["auto", ["auto"], "192.0.2.1", "192.0.2.1, 2001:db8::1", ["192.0.2.1", "2001:db8::1"], "0.0.0.0", "::", "1:2:3:4:5:6:7::", "1:2:3:4:5:6:192.0.2.1", "::ffff:192.0.2.1", "FE80::", "interface=eth0", "interface=eth*, bond0", "cidr=192.0.2.0/24", "cidr=192.0.2.0/24,2001:db8::/32", "can-reach=192.0.2.1", "can-reach=2001:db8::1"]""",
            """["interface=", "interface=eth0,", "interface=sixteen-bytes-16", "cidr=", "cidr=192.0.2.0", "cidr=192.0.2.0/33", "cidr=2001:db8::/129", "can-reach=", "can-reach=eth0", "can-reach=192.0.2.1,192.0.2.2", "device=eth0", "eth0", "", [], "192.0.2.1,", "192.0.2.01", "192.0.2.256", "192.0.2", "[::1]", "fe80::1%eth0", "12345::", "1::2::3", ":1::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7::8"]"""],
        ["masquerade", "[true, false]", """["perhaps", 1]"""],
        ["policy.default", """["allow", "deny"]""", """["", "Deny"]"""],
        ["policy.revokeEstablished", "[true, false]", """["perhaps", 1]"""],
        ["flowOffload", "[true, false]", """["perhaps", 1]"""],
        ["cni.confDir", """["/a", "/a/b c/"]""", """["", "a"]"""],
        ["cni.binDir", """["/a", "/a/b c/"]""", """["", "a"]"""],
        ["cni.ipamDir", """["/a", "/a/b c/"]""", """["", "a"]"""],
        ["cni.confName", """[".conflist", "a b.conflist"]""", """["", "a.conf", "a/b.conflist"]"""],
        ["socket", """["/a/b", "/a//b/c"]""", """["", "a"]"""],
        ["stateDir", """["/a", "/a/b c/"]""", """["", "a"]"""],
        ["metrics.address",
            """["", ":1", "0.0.0.0:65535", "192.0.2.1:9091", "[::]:9091", "::1:9091", "[2001:db8::1]:9091"]""",
            """["9091", ":", ":0", ":65536", ":a", "a:9091", "192.0.2.256:9091", "192.0.2.1", "[]:9091", "[::12345]:9091", "[::1]"]"""],
        ["health.address", """["", ":1", "192.0.2.1:65535", "[::1]:9099"]""", """["9099", ":0", ":65536", "a:9099", "[::g]:9099"]"""],
        ["log.level", """["trace", "debug", "information", "warning", "error", "critical"]""", """["", "Debug"]"""],
        ["log.format", """["text", "json"]""", """["", "xml"]"""],
        ["resyncInterval", """["1s", "0010m", "1000000h"]""", """["", "0s", "10", "1d", "1m30s", "1000001s", "99999999999s"]"""],
    ];

    private static IEnumerable<TestCaseData> Keys => Values.Select(row => new TestCaseData(row).SetArgDisplayNames((string)row[0]));

    [Test]
    public void The_table_of_these_tests_is_complete() =>
        Assert.That(Values.Select(row => row[0]), Is.EqualTo(ConfigurationKey.All.Select(key => key.Name).Except(ChartTests.PerNode)));

    // What it takes the agent then reads from the manifests just as it would from a file of its own.
    [TestCaseSource(nameof(Keys))]
    public void It_takes_what_the_agent_takes_and_refuses_what_the_agent_refuses(string key, string taken, string refused)
    {
        foreach (var value in JsonNode.Parse(taken)!.AsArray())
        {
            var (config, expected) = (Config(key, value!), Agent(key, value!).Configuration);
            Assert.That(expected, Is.Not.Null, $"the agent, {key} {value}");
            if (key != "health.address")
                expected = expected! with { HealthAddress = "127.0.0.1:14789" };
            Assert.That(ChartTests.Configuration(WithConfig(config, Helm.Template)), Is.EqualTo(expected), $"{key} {value}");
        }

        foreach (var value in JsonNode.Parse(refused)!.AsArray())
        {
            Assert.That(Agent(key, value!).Configuration, Is.Null, $"the agent, {key} {value}");
            Assert.That(Complaint(WithConfig(Config(key, value!), Try)), Does.Contain($"config.{key}:").Or.Contain($"'/config/{key.Replace('.', '/')}"), value!.ToJsonString());
        }
    }

    // The agent takes these; but nothing can be mounted, or kubelet cannot ask.
    [TestCase("datastore", "directory:a", "at '/config/datastore': 'directory:a' does not match pattern '^kubernetes$|^directory:/'")]
    [TestCase("datastore", "directory:/", "config.datastore: the folder / cannot be mounted in place of the container's own; choose a path in another folder.")]
    [TestCase("datastore", "directory:/var/lib/overlay/", "config.stateDir and config.datastore would both be mounted at /var/lib/overlay; choose another folder for one.")]
    [TestCase("datastore", "directory:/overlay", "config.datastore: the container has its own /overlay, so that /overlay cannot be mounted; choose another folder.")]
    [TestCase("kubeconfig", "a", "at '/config/kubeconfig': 'a' does not match pattern '^$|^/'")]
    [TestCase("kubeconfig", "/overlay.conf", "config.kubeconfig: the folder / cannot be mounted in place of the container's own; choose a path in another folder.")]
    [TestCase("kubeconfig", "/etc/kubernetes/", "config.kubeconfig: /etc/kubernetes/ names a folder; name a file in it.")]
    [TestCase("kubeconfig", "/etc/cni/net.d/overlay.conf", "config.kubeconfig and config.cni.confDir would both be mounted at /etc/cni/net.d; choose another folder for one.")]
    [TestCase("kubeconfig", "/config/kubeconfig", "config.kubeconfig: the container has its own /config, so that /config cannot be mounted; choose another folder.")]
    [TestCase("socket", "/agent.sock", "config.socket: the folder / cannot be mounted in place of the container's own; choose a path in another folder.")]
    [TestCase("socket", "//agent.sock", "config.socket: the folder / cannot be mounted in place of the container's own; choose a path in another folder.")]
    [TestCase("socket", "/run/overlay/", "config.socket: /run/overlay/ names a folder; name a file in it.")]
    [TestCase("socket", "/run/overlay/..", "config.socket: /run/overlay/.. names a folder; name a file in it.")]
    [TestCase("socket", "/var/lib/overlay/agent.sock", "config.stateDir and config.socket would both be mounted at /var/lib/overlay; choose another folder for one.")]
    [TestCase("stateDir", "/", "config.stateDir: the folder / cannot be mounted in place of the container's own; choose a path in another folder.")]
    [TestCase("stateDir", "/run//netns/", "config.stateDir and the network namespaces of pods would both be mounted at /run/netns; choose another folder for one.")]
    [TestCase("stateDir", "/var/run/netns", "config.stateDir and the network namespaces of pods would both be mounted at /var/run/netns; choose another folder for one.")]
    [TestCase("stateDir", "/host/state", "config.stateDir: the container has its own /host, so that /host/state cannot be mounted; choose another folder.")]
    [TestCase("stateDir", "/a/../run/overlay", "config.stateDir and config.socket would both be mounted at /run/overlay; choose another folder for one.")]
    [TestCase("cni.ipamDir", "/", "config.cni.ipamDir: the folder / cannot be mounted in place of the container's own; choose a path in another folder.")]
    [TestCase("cni.confDir", "/a:b", "config.cni.confDir: Kubernetes mounts no path with a colon, as /a:b is; choose another.")]
    [TestCase("cni.binDir", "/overlay-cni", "config.cni.binDir: the container has its own /overlay-cni, so that /overlay-cni cannot be mounted; choose another folder.")]
    [TestCase("apiServer", "https://a:0", "config.apiServer: \"https://a:0\" is no address of an API server; set one such as https://10.0.0.1:6443, its port from 1 to 65535.")]
    [TestCase("metrics.address", ":09091", "config.metrics.address: \":09091\" is no ADDRESS:PORT; set an IP address, or none for all of the node's, and a port from 1 to 65535, such as 127.0.0.1:9091.")]
    [TestCase("health.address", "127.1:9099", "config.health.address: \"127.1:9099\" is no ADDRESS:PORT; set an IP address, or none for all of the node's, and a port from 1 to 65535, such as 127.0.0.1:9091.")]
    public void What_no_pod_can_be_made_of_is_refused_by_the_chart_alone(string key, string value, string complaint)
    {
        Assert.That(Agent(key, value).Configuration, Is.Not.Null);
        Assert.That(Complaint(WithConfig(Config(key, value), Try)), Is.EqualTo(complaint));
    }

    // sun_path of unix(7) holds 108 bytes, the last is NUL; the agent finds out when it begins to listen.
    [TestCase(107, true)]
    [TestCase(108, false)]
    public void A_socket_s_path_is_no_longer_than_the_kernel_takes(int length, bool isTaken)
    {
        var result = WithConfig(Config("socket", "/a/".PadRight(length, 'b')), Try);
        Assert.That(result.ExitCode == 0, Is.EqualTo(isTaken), result.Error);
        if (!isTaken)
            Assert.That(Complaint(result), Is.EqualTo("at '/config/socket': maxLength: got 108, want 107"));
    }

    [TestCase(3)]
    [TestCase(4)]
    public void Every_key_can_be_set_by_values_and_reaches_the_agent(int text)
    {
        var (expected, config) = (new OverlayConfiguration { NodeName = ChartTests.Node, HealthAddress = "127.0.0.1:14789" }, new JsonObject());
        foreach (var key in ConfigurationKey.All.ExceptBy(ChartTests.PerNode, key => key.Name))
        {
            var value = (string)ConfigurationTests.Keys.Single(row => (string)row[0] == key.Name)[text];
            if (value is "/a" or "/b")
                value = $"{value}/{key.Name}/c"; // each in a folder of its own
            JsonNode node = bool.TryParse(value, out var truth) ? truth : int.TryParse(value, out var number) ? number : value;
            if (Agent(key.Name, node).Configuration is null)
                continue; // a value that this version does not have
            expected = key.With(expected, value)!;
            Set(config, key.Name, node);
        }

        Assert.That(ChartTests.Configuration(WithConfig(config, Helm.Template)), Is.EqualTo(expected));
    }

    [Test]
    public void Wrong_values_of_every_key_are_refused_and_named()
    {
        var config = new JsonObject();
        foreach (var key in ConfigurationKey.All)
            Set(config, key.Name, new JsonArray());
        var (exitCode, error) = WithConfig(config, Try);
        Assert.That(exitCode, Is.Not.Zero);
        foreach (var key in ConfigurationKey.All.ExceptBy(ChartTests.PerNode, key => key.Name))
            Assert.That(error, Does.Contain($"'/config/{key.Name.Replace('.', '/')}'"));
        Assert.That(error, Does.Match("'/config': additional properties .*'nodeName'").And.Match("'/config': additional properties .*'podCIDRs'"));
    }

    [TestCase("config.vxlan.prot=4789", "at '/config/vxlan': additional properties 'prot' not allowed")]
    [TestCase("metrics.address=:9091", "at '': additional properties 'metrics' not allowed")]
    [TestCase("image.tagg=1", "at '/image': additional properties 'tagg' not allowed")]
    [TestCase("maxUnavailable=0", "at '/maxUnavailable': minimum: got 0, want 1")]
    [TestCase("maxUnavailable=101%", "at '/maxUnavailable': '101%' does not match pattern '^([1-9][0-9]?|100)%$'")]
    [TestCase("tolerations[0].efect=NoExecute", "at '/tolerations/0': additional properties 'efect' not allowed")]
    [TestCase("resources.limits.memroy=1Gi", "at '/resources/limits': additional properties 'memroy' not allowed")]
    [TestCase("serviceMonitor.enabled=true", "serviceMonitor.enabled needs config.metrics.address, such as :9091")]
    [TestCase(@"serviceMonitor.labels.app\.kubernetes\.io/name=other", "serviceMonitor.labels: the chart itself sets app.kubernetes.io/name; leave it out.")]
    [TestCase(@"nodeSelector.kubernetes\.io/os=linux", "nodeSelector: the chart itself sets kubernetes.io/os; leave it out.")]
    [TestCase(@"windows.nodeSelector.kubernetes\.io/os=windows", "windows.nodeSelector: the chart itself sets kubernetes.io/os; leave it out.")]
    [TestCase("windows.config.socket=/run/overlay/agent.sock", "at '/windows/config/socket': '/run/overlay/agent.sock' does not match pattern")]
    [TestCase("windows.config.cni.binDir=/opt/cni/bin", "at '/windows/config/cni/binDir': '/opt/cni/bin' does not match pattern")]
    [TestCase("windows.config.mtu=1450", "at '/windows/config': additional properties 'mtu' not allowed")]
    [TestCase("windows.enabled=true,config.datastore=directory:/cluster", "windows.enabled needs config.datastore: kubernetes; a folder's path is another one on Windows nodes")]
    [TestCase("config=null", "at '': missing property 'config'")]
    [TestCase("config.vxlan=null", "at '/config': missing property 'vxlan'")]
    [TestCase("config.socket=null", "at '/config': missing property 'socket'")]
    [TestCase("config.cni.binDir=null", "at '/config/cni': missing property 'binDir'")]
    [TestCase("image=null", "at '': missing property 'image'")]
    [TestCase("image.repository=null", "at '/image': missing property 'repository'")]
    [TestCase("windows=null", "at '': missing property 'windows'")]
    [TestCase("windows.config.stateDir=null", "at '/windows/config': missing property 'stateDir'")]
    [TestCase("serviceMonitor=null", "at '': missing property 'serviceMonitor'")]
    public void What_cannot_be_meant_is_refused(string setting, string complaint) => Assert.That(Complaint(Try(["--set", setting])), Does.StartWith(complaint));

    // null takes a default away; Kubernetes has its own for these.
    [Test]
    public void What_Kubernetes_can_do_without_may_be_null()
    {
        string[] without = ["image.tag", "image.pullPolicy", "imagePullSecrets", "resources", "priorityClassName", "tolerations", "nodeSelector", "maxUnavailable", "privileged", "serviceMonitor.labels"];
        var set = KubernetesYaml.Deserialize<V1DaemonSet>(Helm.Template("--set", string.Join(',', without.Select(name => $"{name}=null")))["daemonset.yaml"], strict: true).Spec;
        Assert.That((set.UpdateStrategy.RollingUpdate.MaxUnavailable, set.Template.Spec.Tolerations, set.Template.Spec.PriorityClassName), Is.EqualTo(((IntOrString?)null, (IList<V1Toleration>?)null, (string?)null)));
    }

    /// <summary>What the agent makes of a file with this key alone.</summary>
    private static ConfigurationReading Agent(string key, JsonNode value) =>
        ConfigurationReader.Read("overlay.yaml", Config(key, value).ToJsonString(), new Dictionary<string, string> { ["OVERLAY_NODE_NAME"] = ChartTests.Node }, new Dictionary<string, string>());

    private static (int ExitCode, string Error) Try(string[] values)
    {
        var (exitCode, _, error) = Helm.TryRun(["template", Helm.Chart, .. values]);
        return (exitCode, error);
    }

    // The one sentence among what helm says around it.
    private static string Complaint((int ExitCode, string Error) result)
    {
        Assert.That(result.ExitCode, Is.Not.Zero, "it was taken");
        var sentences = Sentence().Matches(result.Error);
        Assert.That(sentences, Has.Count.EqualTo(1), result.Error);
        return sentences[0].Groups[1].Value;
    }

    [GeneratedRegex(@"^(?:\s*- (?=at ')|Error: execution error at \([^)]+\): )(.+)$", RegexOptions.Multiline)]
    private static partial Regex Sentence();

    private static T WithConfig<T>(JsonObject config, Func<string[], T> run)
    {
        var file = Path.GetTempFileName();
        try
        {
            File.WriteAllText(file, new JsonObject { ["config"] = config }.ToJsonString());
            return run(["--values", file]);
        }
        finally
        {
            File.Delete(file);
        }
    }

    private static JsonObject Config(string key, JsonNode value)
    {
        var config = new JsonObject();
        Set(config, key, value.DeepClone());
        return config;
    }

    private static void Set(JsonObject config, string key, JsonNode value)
    {
        if (key.Split('.') is not [var outer, var inner])
            config[key] = value;
        else if (config[outer] is JsonObject there)
            there[inner] = value;
        else
            config[outer] = new JsonObject { [inner] = value };
    }
}
