namespace Overlay.Tests.CniShim;

/// <summary>The protocol itself: variables, versions, documents. Nothing here reaches IPAM or the agent.</summary>
public class CniSpecTests
{
    private const string Minimal = """{"cniVersion":"1.1.0","name":"n"}""";
    private static readonly string[] Commands = ["ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION"];

    // cni.md section 2: which verb needs which variable
    private static readonly (string Variable, string[] RequiredBy)[] Required =
    [
        ("CNI_CONTAINERID", ["ADD", "CHECK", "DEL"]),
        ("CNI_NETNS", ["ADD", "CHECK"]),
        ("CNI_IFNAME", ["ADD", "CHECK", "DEL"]),
        ("CNI_PATH", ["ADD", "CHECK", "DEL", "GC", "STATUS"]),
        ("CNI_ARGS", []),
    ];

    private static IEnumerable<TestCaseData> VariablesTimesCommands() =>
        from row in Required
        from command in Commands
        from value in new[] { null, "" }
        select new TestCaseData(command, row.Variable, value, row.RequiredBy.Contains(command))
            .SetArgDisplayNames(command, row.Variable, value is null ? "absent" : "empty");

    [TestCaseSource(nameof(VariablesTimesCommands))]
    public void A_verb_needs_its_variables_and_no_other(string command, string variable, string? value, bool required)
    {
        var outcome = new PluginCall { Stdin = "{", Command = command }.With(variable, value).Run();
        if (required)
            Assert.That(outcome.Verdict, Is.EqualTo($"4 required env variables [{variable}] missing"));
        else if (command == "VERSION")
            Assert.That(outcome.ExitCode, Is.Zero);
        else
            Assert.That(outcome.Code, Is.EqualTo(6), "it should have come as far as the broken configuration");
    }

    [Test]
    public void All_missing_variables_are_named_at_once()
    {
        var outcome = (new PluginCall { Stdin = Minimal } with { Variables = [] }).Run();
        Assert.That(outcome.Msg, Is.EqualTo("required env variables [CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH] missing"));
    }

    [Test]
    public void Without_a_command_it_tells_a_person_what_it_is()
    {
        var outcome = new PluginCall { Stdin = "", Command = "" }.Run();
        Assert.That(outcome.ExitCode, Is.Zero);
        Assert.That(outcome.Stdout, Is.Empty);
        Assert.That(outcome.Stderr, Does.Match("^CNI plugin overlay-cni [0-9.]+\nCNI protocol versions supported: 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0\n$"));
    }

    [Test]
    public void VERSION_answers_whatever_is_on_stdin() => Assert.That(
        new PluginCall { Stdin = "", Command = "VERSION" }.Run(),
        Is.EqualTo(new PluginOutcome(0, """{"cniVersion":"1.1.0","supportedVersions":["0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}""" + "\n", "")));

    [TestCase("FOO", "4 unknown CNI_COMMAND: FOO")]
    [TestCase("add", "4 unknown CNI_COMMAND: add")]
    public void An_unknown_command_is_refused(string command, string verdict) =>
        Assert.That(new PluginCall { Stdin = Minimal, Command = command }.Run().Verdict, Is.EqualTo(verdict));

    [TestCase("CNI_CONTAINERID", "a/b", "4 invalid characters in containerID")]
    [TestCase("CNI_CONTAINERID", "..", "4 invalid characters in containerID")]
    [TestCase("CNI_CONTAINERID", "-a", "4 invalid characters in containerID")]
    [TestCase("CNI_CONTAINERID", "é", "4 invalid characters in containerID")]
    [TestCase("CNI_IFNAME", "sixteen-letters0", "4 interface name is too long")]
    [TestCase("CNI_IFNAME", "éééééééé", "4 interface name is too long")]
    [TestCase("CNI_IFNAME", ".", "4 interface name is . or ..")]
    [TestCase("CNI_IFNAME", "..", "4 interface name is . or ..")]
    [TestCase("CNI_IFNAME", "a/b", "4 interface name contains / or : or whitespace characters")]
    [TestCase("CNI_IFNAME", "a:b", "4 interface name contains / or : or whitespace characters")]
    [TestCase("CNI_IFNAME", "a b", "4 interface name contains / or : or whitespace characters")]
    public void A_wrong_name_is_refused(string variable, string value, string verdict) =>
        Assert.That(new PluginCall { Stdin = Minimal }.With(variable, value).Run().Verdict, Is.EqualTo(verdict));

    [TestCase("", 6, "error unmarshall network config: ")]
    [TestCase("{", 6, "error unmarshall network config: ")]
    [TestCase("[]", 6, "error unmarshall network config: an object is expected, not Array")]
    [TestCase("""{"cniVersion":1}""", 6, "error unmarshall network config: \"cniVersion\" has to be a string, not Number")]
    [TestCase("""{"cniVersion":"1.1.0"}""", 7, "missing network name")]
    [TestCase("""{"cniVersion":"1.1.0","name":null}""", 7, "missing network name")]
    [TestCase("""{"cniVersion":"1.1.0","name":"../etc"}""", 7, "invalid characters found in network name")]
    [TestCase("""{"name":"n"}""", 1, "incompatible CNI versions")]
    [TestCase("""{"cniVersion":"0.2.0","name":"n"}""", 1, "incompatible CNI versions")]
    [TestCase("""{"cniVersion":"9.9.9","name":"n"}""", 1, "incompatible CNI versions")]
    [TestCase("""{"cniVersion":"1.1.0","name":"n","ipam":{"ranges":[[{"subnet":"10.42.1.0/24"}]]},"runtimeConfig":{"PortMappings":[{"HostPort":80}]}}""", 7, "runtimeConfig.portMappings: containerPort 0 of hostPort 80 is not from 1 to 65535")]
    [TestCase("""{"cniVersion":"1.1.0","name":"n","ipam":{"ranges":[[{"subnet":"10.42.1.0/24"}]]},"runtimeConfig":{"portMappings":[{"hostPort":80,"containerPort":80},{"hostPort":99999,"containerPort":80}]}}""", 7, "runtimeConfig.portMappings: hostPort 99999 is not from 1 to 65535")]
    [TestCase("""{"cniVersion":"1.1.0","name":"n","ipam":{"ranges":[[{"subnet":"10.42.1.0/24"}]]},"runtimeConfig":{"portMappings":[{"hostPort":"80","containerPort":80}]}}""", 6, "error unmarshall network config: \"hostPort\" has to be a whole number, not String")]
    [TestCase("""{"cniVersion":"1.1.0","name":"n","runtimeConfig":{"Bandwidth":{"IngressRate":-1}}}""", 7, "runtimeConfig.bandwidth: rates and bursts may not be negative")]
    [TestCase("""{"cniVersion":"1.1.0","name":"n","runtimeConfig":{"bandwidth":{"egressBurst":1}}}""", 7, "runtimeConfig.bandwidth: egressBurst needs an egressRate")]
    [TestCase("""{"cniVersion":"1.1.0","name":"n","runtimeConfig":{"bandwidth":7}}""", 6, "error unmarshall network config: \"bandwidth\" has to be an object, not Number")]
    [TestCase("""{"cniVersion":"1.1.0","name":"n","runtimeConfig":{"mac":"02:00:00:00:00"}}""", 7, "the Ethernet address asked for, \"02:00:00:00:00\", is not six octets such as 02:00:5e:10:00:01")]
    [TestCase("""{"cniVersion":"1.1.0","name":"n","runtimeConfig":{"mac":"01:00:00:00:00:01"}}""", 7, "the Ethernet address asked for, 01:00:00:00:00:01, is a group's or zero")]
    [TestCase("""{"cniVersion":"1.1.0","name":"n"}""", 7, "invalid ipam configuration: no IP ranges specified")]
    public void A_wrong_configuration_is_refused(string stdin, int code, string msg)
    {
        var outcome = new PluginCall { Stdin = stdin }.Run();
        Assert.That(outcome.ExitCode, Is.EqualTo(1));
        Assert.That(outcome.Code, Is.EqualTo(code));
        Assert.That(outcome.Msg, Does.StartWith(msg));
    }

    [Test]
    public void The_versions_are_named_when_none_fits() => Assert.That(
        new PluginCall { Stdin = """{"cniVersion":"9.9.9","name":"n"}""" }.Run().Stdout,
        Is.EqualTo("""{"cniVersion":"1.1.0","code":1,"msg":"incompatible CNI versions","details":"config is \"9.9.9\", plugin supports [\"0.3.0\" \"0.3.1\" \"0.4.0\" \"1.0.0\" \"1.1.0\"]"}""" + "\n"));

    [TestCase("CHECK", "0.3.1", "1 config version does not allow CHECK")]
    [TestCase("GC", "1.0.0", "1 config version does not allow GC")]
    [TestCase("STATUS", "1.0.0", "1 config version does not allow STATUS")]
    public void A_verb_is_refused_before_its_version(string command, string version, string verdict)
    {
        var outcome = new PluginCall { Stdin = $$"""{"cniVersion":"{{version}}","name":"n"}""", Command = command }.Run();
        Assert.That(outcome.Verdict, Is.EqualTo(verdict));
    }

    [Test]
    public void An_error_is_printed_in_the_version_of_the_configuration()
    {
        var outcome = new PluginCall { Stdin = """{"cniVersion":"0.3.1","name":""}""" }.Run();
        Assert.That(outcome.Stdout, Is.EqualTo("""{"cniVersion":"0.3.1","code":7,"msg":"missing network name"}""" + "\n"));
    }

    [TestCase("ADD")]
    [TestCase("CHECK")]
    public void A_netns_that_is_gone_a_file_or_the_hosts_own_is_refused(string command)
    {
        var call = new PluginCall { Stdin = """{"cniVersion":"1.1.0","name":"n","prevResult":{}}""", Command = command };
        Assert.That(call.With("CNI_NETNS", "/run/netns/none").Run().Verdict, Is.EqualTo("8 failed to open netns \"/run/netns/none\": No such file or directory"));
        Assert.That(call.With("CNI_NETNS", "/etc/passwd").Run().Verdict, Is.EqualTo("8 CNI_NETNS \"/etc/passwd\" is no network namespace"));
        Assert.That(call.With("CNI_NETNS", "/proc/self/ns/mnt").Run().Verdict, Is.EqualTo("8 CNI_NETNS \"/proc/self/ns/mnt\" is no network namespace"));
        Assert.That((call with { OwnNetns = PluginCall.SomeNetns }).Run().Verdict, Is.EqualTo("8 plugin's netns and netns from CNI_NETNS should not be the same (\"/proc/self/ns/net\")"));
    }

    [Test]
    public void The_hosts_own_netns_is_accepted_when_the_runtime_insists()
    {
        var call = new PluginCall { Stdin = Minimal, OwnNetns = PluginCall.SomeNetns }.With("CNI_NETNS_OVERRIDE", "true");
        Assert.That(call.Run().Msg, Does.StartWith("invalid ipam configuration"), "it should have come as far as IPAM");
    }

    [TestCase("K8S_POD_NAME=web", "0")]
    [TestCase("FOO=1", "4 CNI_ARGS: unknown args [\"FOO=1\"]")]
    [TestCase("FOO=1;IgnoreUnknown=1", "0")]
    [TestCase("IgnoreUnknown=true;FOO=1;BAR=a=b", "0")]
    [TestCase("FOO", "4 CNI_ARGS: invalid pair \"FOO\"")]
    public void Unknown_arguments_are_refused_unless_they_are_to_be_ignored(string args, string verdict)
    {
        var outcome = new PluginCall { Stdin = Minimal }.With("CNI_ARGS", args).Run();
        if (verdict == "0")
            Assert.That(outcome.Msg, Does.StartWith("invalid ipam configuration"), "it should have come as far as IPAM");
        else
            Assert.That(outcome.Verdict, Is.EqualTo(verdict));
    }

    [Test]
    public void GC_without_a_list_does_nothing()
    {
        var outcome = new PluginCall { Stdin = """{"cniVersion":"1.1.0","name":"n","ipam":{"type":"none"}}""", Command = "GC" }.Run();
        Assert.That(outcome, Is.EqualTo(new PluginOutcome(0, "", "")));
    }
}
