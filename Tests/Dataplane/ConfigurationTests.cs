using Overlay.Dataplane.Desired;

namespace Overlay.Tests.Dataplane;

public class ConfigurationTests
{
    private static readonly Dictionary<string, string> None = [];

    // For each key: its environment variable, its flag, and two texts other than the default with what they make of the configuration.
    internal static readonly object[][] Keys =
    [
        ["nodeName", "OVERLAY_NODE_NAME", "--node-name", "n1", "n2"],
        ["datastore", "OVERLAY_DATASTORE", "--datastore", "directory:/a", "directory:/b"],
        ["kubeconfig", "OVERLAY_KUBECONFIG", "--kubeconfig", "/a", "/b"],
        ["apiServer", "OVERLAY_API_SERVER", "--api-server", "https://a:6443", "https://b:6443"],
        ["encapsulation", "OVERLAY_ENCAPSULATION", "--encapsulation", "ipip", "none"],
        ["crossSubnet", "OVERLAY_CROSS_SUBNET", "--cross-subnet", "true", "false"],
        ["vxlan.vni", "OVERLAY_VXLAN_VNI", "--vxlan-vni", "1", "16777215"],
        ["vxlan.port", "OVERLAY_VXLAN_PORT", "--vxlan-port", "1", "65535"],
        ["mtu", "OVERLAY_MTU", "--mtu", "1280", "9000"],
        ["nodeAddress", "OVERLAY_NODE_ADDRESS", "--node-address", "192.0.2.1", "192.0.2.1,2001:db8::1"],
        ["podCIDRs", "OVERLAY_POD_CIDRS", "--pod-cidrs", "10.42.0.0/24", "10.42.0.0/24,fd00::/64"],
        ["masquerade", "OVERLAY_MASQUERADE", "--masquerade", "false", "true"],
        ["policy.default", "OVERLAY_POLICY_DEFAULT", "--policy-default", "deny", "allow"],
        ["policy.revokeEstablished", "OVERLAY_POLICY_REVOKE_ESTABLISHED", "--policy-revoke-established", "false", "true"],
        ["flowOffload", "OVERLAY_FLOW_OFFLOAD", "--flow-offload", "false", "true"],
        ["cni.confDir", "OVERLAY_CNI_CONF_DIR", "--cni-conf-dir", "/a", "/b"],
        ["cni.binDir", "OVERLAY_CNI_BIN_DIR", "--cni-bin-dir", "/a", "/b"],
        ["cni.ipamDir", "OVERLAY_CNI_IPAM_DIR", "--cni-ipam-dir", "/a", "/b"],
        ["cni.confName", "OVERLAY_CNI_CONF_NAME", "--cni-conf-name", "a.conflist", "b.conflist"],
        ["socket", "OVERLAY_SOCKET", "--socket", "/a", "/b"],
        ["stateDir", "OVERLAY_STATE_DIR", "--state-dir", "/a", "/b"],
        ["metrics.address", "OVERLAY_METRICS_ADDRESS", "--metrics-address", ":9091", "[::1]:9091"],
        ["health.address", "OVERLAY_HEALTH_ADDRESS", "--health-address", ":9099", "127.0.0.1:9099"],
        ["log.level", "OVERLAY_LOG_LEVEL", "--log-level", "debug", "warning"],
        ["log.format", "OVERLAY_LOG_FORMAT", "--log-format", "json", "text"],
        ["resyncInterval", "OVERLAY_RESYNC_INTERVAL", "--resync-interval", "30s", "1h"],
    ];

    [Test]
    public void The_table_of_these_tests_is_complete() =>
        Assert.That(Keys.Select(key => key[0]), Is.EqualTo(ConfigurationKey.All.Select(key => key.Name)));

    [TestCaseSource(nameof(Keys))]
    public void Every_key_is_read_from_file_environment_and_flag_and_the_stronger_source_wins(string name, string variable, string flag, string first, string second)
    {
        var key = ConfigurationKey.All.Single(key => key.Name == name);
        Assert.That(key.EnvironmentVariable, Is.EqualTo(variable));
        Assert.That(key.Flag, Is.EqualTo(flag));
        var base0 = new OverlayConfiguration { DatastoreDirectory = "/d" };
        var (one, other) = (key.With(base0, first)!, key.With(base0, second)!);
        Assert.That(one, Is.Not.EqualTo(other));
        Assert.That(Read($"{name}: \"{first}\"").Configuration, Is.EqualTo(one));
        Assert.That(Read("", new() { [variable] = first }).Configuration, Is.EqualTo(one));
        Assert.That(Read("", None, new() { [name] = first }).Configuration, Is.EqualTo(one));
        Assert.That(Read($"{name}: \"{second}\"", new() { [variable] = first }).Configuration, Is.EqualTo(one));
        Assert.That(Read("", new() { [variable] = second }, new() { [name] = first }).Configuration, Is.EqualTo(one));
    }

    [Test]
    public void Defaults_in_the_table_are_those_of_the_record()
    {
        var defaults = new OverlayConfiguration();
        foreach (var key in ConfigurationKey.All.Where(key => key.Name != "nodeName"))
            Assert.That(key.With(defaults, key.Default), Is.EqualTo(defaults), key.Name);
    }

    [Test]
    public void Nested_and_dotted_keys_and_lists_are_read()
    {
        var configuration = Read("""
            vxlan:
              port: 8472
            log.level: debug
            podCIDRs: [10.42.1.7/24, "fd00:42:1::/64"]
            nodeAddress:
            - 192.0.2.1
            mtu:
            """).Configuration!;
        Assert.That(configuration.VxlanPort, Is.EqualTo(8472));
        Assert.That(configuration.LogLevel, Is.EqualTo("debug"));
        Assert.That(string.Join(' ', configuration.PodCidrs), Is.EqualTo("10.42.1.0/24 fd00:42:1::/64"));
        Assert.That(configuration.NodeAddress.ToString(), Is.EqualTo("192.0.2.1"));
        Assert.That(configuration.Mtu, Is.Null);
    }

    [TestCaseSource(nameof(Keys))]
    public void A_running_agent_takes_over_exactly_the_keys_that_are_live(string name, string variable, string flag, string first, string second)
    {
        var key = ConfigurationKey.All.Single(key => key.Name == name);
        var (one, other) = (key.With(new(), first)!, key.With(new(), second)!);
        Assert.That(one.WithLiveKeysOf(other), Is.EqualTo(key.IsLive ? other : one), $"{variable} {flag}");
    }

    [TestCase("vxlan:\n  prot: 1", "overlay.yaml:2: there is no key vxlan.prot; is vxlan.port meant?")]
    [TestCase("\nnodename: a", "overlay.yaml:2: there is no key nodename; is nodeName meant?")]
    [TestCase("vxlan: {colour: red}", "overlay.yaml:1: there is no key vxlan.colour; accepted: vxlan.vni, vxlan.port.")]
    [TestCase("mtu: 1500\nvxlan.port: 70000", "overlay.yaml:2: \"70000\" is no value of vxlan.port; accepted: a number from 1 to 65535.")]
    [TestCase("encapsulation: geneve", "overlay.yaml:1: \"geneve\" is no value of encapsulation; accepted: vxlan, ipip or none.")]
    [TestCase("mtu: {a: b}", "overlay.yaml:1: a mapping is no value of mtu; accepted: auto, or a number from 1280 to 65535.")]
    [TestCase("vxlan: 5", "overlay.yaml:1: the number 5 stands where the keys of vxlan are expected: vxlan.vni, vxlan.port.")]
    [TestCase("vxlan: {port: 1}\nvxlan.port: 2", "overlay.yaml:2: vxlan.port is there twice; keep one.")]
    [TestCase("mtu: 1500\nmtu: 1400", "overlay.yaml:2: mtu: the key is there twice; keep one.")]
    [TestCase("- a", "overlay.yaml:1: a list stands where keys are expected, such as \"encapsulation: vxlan\".")]
    [TestCase("mtu: 1500\n---\nmtu: 1400", "overlay.yaml:3: a second document begins here; the configuration is one.")]
    [TestCase("podCIDRs: 10.42.0.0", "overlay.yaml:1: \"10.42.0.0\" is no value of podCIDRs; accepted: prefixes separated by commas, or empty for the Node's.")]
    [TestCase("crossSubnet: yes", "overlay.yaml:1: \"yes\" is no value of crossSubnet; accepted: true or false.")]
    [TestCase("resyncInterval: 0s", "overlay.yaml:1: \"0s\" is no value of resyncInterval; accepted: a time such as 30s, 10m or 1h, at least 1s.")]
    [TestCase("socket: agent.sock", "overlay.yaml:1: \"agent.sock\" is no value of socket; accepted: an absolute path.")]
    [TestCase("nodeAddress: device=eth0", "overlay.yaml:1: \"device=eth0\" is no value of nodeAddress; accepted: auto, address(es) separated by commas, interface=NAMES, cidr=PREFIXES or can-reach=ADDRESS.")]
    public void Bad_input_is_refused_with_its_place_and_what_is_accepted(string text, string error) =>
        Assert.That(Read(text).Errors, Is.EqualTo(new[] { error }));

    [Test]
    public void Broken_YAML_is_refused_with_its_line() =>
        Assert.That(Read("mtu: 1500\nvxlan: [").Errors.Single(), Does.StartWith("overlay.yaml:2: not valid YAML"));

    [Test]
    public void Bad_environment_and_flags_are_refused_by_name()
    {
        var reading = Read("", new() { ["OVERLAY_VXLAN_PROT"] = "1", ["OVERLAY_MTU"] = "big", ["OVERLAY_SERVICE_HOST"] = "10.0.0.1" }, new() { ["log.format"] = "xml" });
        Assert.That(reading.Errors, Is.EqualTo(new[]
        {
            "environment variable OVERLAY_VXLAN_PROT: there is no such key; is OVERLAY_VXLAN_PORT meant?",
            "environment variable OVERLAY_MTU: \"big\" is no value of mtu; accepted: auto, or a number from 1280 to 65535.",
            "--log-format: \"xml\" is no value of log.format; accepted: text or json.",
        }));
    }

    [Test]
    public void A_value_overruled_by_a_stronger_source_is_checked_all_the_same() =>
        Assert.That(Read("mtu: big", None, new() { ["mtu"] = "1500" }).Errors, Has.Count.EqualTo(1));

    [Test]
    public void The_default_file_may_be_absent_and_a_named_one_may_not()
    {
        var missing = Path.Combine(TestContext.CurrentContext.WorkDirectory, "no-such-overlay.yaml");
        Assert.That(ConfigurationReader.Read(missing, None, None).Errors.Single(), Does.StartWith($"{missing}: the configuration cannot be read"));
        if (File.Exists(ConfigurationReader.DefaultPath))
            Assert.Ignore($"{ConfigurationReader.DefaultPath} exists on this machine.");
        Assert.That(ConfigurationReader.Read(null, None, new Dictionary<string, string> { ["datastore"] = "directory:/d" }).Errors, Is.Empty);
    }

    [Test]
    public void Without_a_datastore_it_is_the_API_server() =>
        Assert.That(ConfigurationReader.Read("overlay.yaml", "", None, None).Configuration, Has.Property("DatastoreDirectory").Null);

    // Every text is read with a directory datastore unless it names one itself.
    private static ConfigurationReading Read(string text, Dictionary<string, string>? environment = null, Dictionary<string, string>? flags = null)
    {
        environment ??= [];
        flags ??= [];
        var named = text.Contains("datastore:", StringComparison.Ordinal) || environment.ContainsKey("OVERLAY_DATASTORE") || flags.ContainsKey("datastore");
        var withDatastore = named ? environment : new Dictionary<string, string>(environment) { ["OVERLAY_DATASTORE"] = "directory:/d" };
        return ConfigurationReader.Read("overlay.yaml", text, withDatastore, flags);
    }
}
