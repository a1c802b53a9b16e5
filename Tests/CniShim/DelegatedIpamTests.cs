using System.Diagnostics;
using Overlay.CniShim.Protocol;

namespace Overlay.Tests.CniShim;

/// <summary>IPAM by another plugin: the real host-local and static, and some that misbehave.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class DelegatedIpamTests : IAsyncDisposable
{
    private const string Plugins = "/usr/lib/cni";
    private const string Answer = """{"ips":[{"address":"10.42.1.77/24"}]}""";

    private readonly AgentFixture agent = new();

    private PluginCall Add => new() { Stdin = agent.Configuration() };

    private string HostLocalConfiguration => Delegated("host-local", "1.0.0");

    public ValueTask DisposeAsync() => agent.DisposeAsync();

    [Test]
    public void A_delegated_plugin_gives_and_takes_the_addresses()
    {
        Require("host-local");
        agent.Start();
        var call = Add with { Stdin = HostLocalConfiguration.Replace("\"n\"", "\"n\",\"args\":{\"cni\":{\"ips\":[\"10.42.1.40\"]}}") };
        Assert.That(call.Run().Msg, Does.StartWith("the IPAM plugin \"host-local\" (ipam.type) is in none of CNI_PATH"));
        call = call.With("CNI_PATH", $"/nowhere:{Plugins}");
        Assert.That(call.Run().Addresses, Is.EqualTo(new[] { "10.42.1.40/32", "fd00:42:1::2/128" }));
        Assert.That(agent.Reserved, Has.Length.EqualTo(2));
        Assert.That(call.Run().Msg, Does.StartWith("host-local: ").And.Contains("10.42.1.40 is not available"));
        Assert.That((call with { Command = "DEL" }).Run().Verdict, Is.EqualTo("0"));
        Assert.That(agent.Reserved, Is.Empty);
    }

    [Test]
    public void A_delegated_plugin_takes_its_addresses_back_when_the_agent_refuses()
    {
        Require("host-local");
        agent.Start(_ => AgentError.Answer(100, "no"));
        Assert.That((Add with { Stdin = HostLocalConfiguration }).With("CNI_PATH", Plugins).Run().Verdict, Is.EqualTo("100 no"));
        Assert.That(agent.Reserved, Is.Empty);
    }

    [Test]
    public void A_delegated_plugin_that_hangs_is_ended()
    {
        var call = Script("[ $CNI_COMMAND = DEL ] || exec sleep 1000") with { Deadlines = new() { Add = TimeSpan.FromSeconds(1) } };
        Assert.That(call.Run().Verdict, Is.EqualTo("11 the IPAM plugin script did not finish ADD in time and was ended"));
        Assert.That(Called, Is.EqualTo(new[] { "ADD", "DEL" }), "it may have given an address");
    }

    [TestCase("1.1.0")]
    [TestCase("0.4.0")]
    public void The_real_host_local_does_every_verb_of_every_version(string version)
    {
        Require("host-local");
        agent.Start();
        var add = (Add with { Stdin = Delegated("host-local", version) }).With("CNI_PATH", Plugins);
        var result = add.Run();
        Assert.That(result.Verdict, Is.EqualTo("0"));
        var after = add with { Stdin = Delegated("host-local", version, $",\"prevResult\":{result.Stdout},\"cni.dev/valid-attachments\":[]") };
        foreach (var command in version == "1.1.0" ? new[] { "CHECK", "STATUS", "GC", "DEL", "DEL" } : ["CHECK", "DEL", "DEL"])
            Assert.That(AsRuntimesDo(after, command).Run().Verdict, Is.EqualTo("0"), command);
        Assert.That(agent.Reserved, Is.Empty);
        Assert.That((after with { Command = "CHECK" }).Run().Msg, Does.StartWith("host-local: "));
    }

    // libcni sets all variables, and those of the container empty for verbs that are about none.
    private static PluginCall AsRuntimesDo(PluginCall call, string command) => command is "STATUS" or "GC"
        ? (call with { Command = command }).With("CNI_CONTAINERID", "").With("CNI_NETNS", "").With("CNI_IFNAME", "").With("CNI_ARGS", "")
        : call with { Command = command };

    [TestCase("1.1.0")]
    [TestCase("1.0.0")]
    public void The_real_static_gives_what_it_is_told_and_finds_it_again(string version)
    {
        Require("static");
        agent.Start();
        string Configuration(string more) => $$"""{"cniVersion":"{{version}}","name":"n","socket":"{{agent.SocketPath}}","ipam":{"type":"static","addresses":[{"address":"10.42.1.40/24","gateway":"10.42.1.1"},{"address":"fd00:42:1::40/64"}]}{{more}}}""";
        var add = (Add with { Stdin = Configuration("") }).With("CNI_PATH", Plugins);
        var result = add.Run();
        Assert.That(result.Addresses, Is.EqualTo(new[] { "10.42.1.40/32", "fd00:42:1::40/128" }));
        var after = add with { Stdin = Configuration($",\"prevResult\":{result.Stdout}") };
        foreach (var command in version == "1.1.0" ? new[] { "CHECK", "STATUS", "GC", "DEL" } : ["CHECK", "DEL"])
            Assert.That(AsRuntimesDo(after, command).Run().Verdict, Is.EqualTo("0"), command);
    }

    [TestCase("echo nonsense", 6)]
    [TestCase("echo '{}'", 6)]
    [TestCase("echo '{\"ips\":[{\"address\":\"web\"}]}'", 6)]
    public void What_an_answer_that_nobody_understands_gave_is_taken_back(string script, int code)
    {
        agent.Start();
        Assert.That(Script($"[ $CNI_COMMAND = DEL ] || {script}").Run().Code, Is.EqualTo(code));
        Assert.That(Called, Is.EqualTo(new[] { "ADD", "DEL" }));
        Assert.That(agent.Asked, Is.Empty);
    }

    [Test]
    public void A_plugin_that_says_no_has_undone_its_work_itself()
    {
        agent.Start();
        Assert.That(Script("""echo '{"code":100,"msg":"full","details":"really"}'; exit 1""").Run().Verdict, Is.EqualTo("100 script: full"));
        Assert.That(Called, Is.EqualTo(new[] { "ADD" }));
    }

    [TestCase("DEL")]
    [TestCase("CHECK")]
    [TestCase("STATUS")]
    [TestCase("GC")]
    public void Its_failure_is_the_verbs(string command)
    {
        agent.Start();
        var call = Script("""[ $CNI_COMMAND = ADD ] && echo '{"ips":[{"address":"10.42.1.77/24"}]}' && exit; echo not today >&2; exit 3""");
        var result = call.Run().Stdout;
        Assert.That(result, Does.Contain("10.42.1.77/32"));
        var outcome = (call with { Command = command, Stdin = Delegated("script", "1.1.0", $",\"prevResult\":{result},\"cni.dev/valid-attachments\":[]") }).Run();
        Assert.That(outcome.Verdict, Is.EqualTo($"999 the IPAM plugin script failed {command} with exit code 3"));
        Assert.That(outcome.Json.GetProperty("details").GetString(), Is.EqualTo("not today"));
        Assert.That(Called, Is.EqualTo(command is "STATUS" or "GC" ? new[] { "ADD", command, "VERSION" } : ["ADD", command]), "whether it knows the verb");
    }

    [Test]
    public void A_child_of_it_that_keeps_its_pipes_open_holds_nobody_up()
    {
        agent.Start();
        var pid = Path.Combine(agent.Folder, "pid");
        try
        {
            Assert.That(Script($"sleep 1000 & echo $! > {pid}; echo '{Answer}'").Run().Addresses, Is.EqualTo(new[] { "10.42.1.77/32" }));
            using var child = Process.GetProcessById(int.Parse(File.ReadAllText(pid), System.Globalization.CultureInfo.InvariantCulture));
            Assert.That(child.HasExited, Is.False, "it still holds them");
        }
        finally
        {
            Process.GetProcessById(int.Parse(File.ReadAllText(pid), System.Globalization.CultureInfo.InvariantCulture)).Kill();
        }
    }

    // More than a pipe holds, in all directions.
    [TestCase("head -c 200000 /dev/zero >&2; cat > /dev/null")]
    [TestCase("exec < /dev/null")]
    public void A_plugin_that_writes_before_it_reads_or_does_not_read_at_all_is_heard(string body)
    {
        agent.Start();
        var call = Script("", reading: $"{body}; echo '{Answer}'");
        Assert.That((call with { Stdin = Delegated("script", "1.1.0", $",\"comment\":\"{new string('x', 200_000)}\"") }).Run().Addresses, Is.EqualTo(new[] { "10.42.1.77/32" }));
    }

    [Test]
    public void A_plugin_has_the_environment_and_the_signals_that_a_program_expects()
    {
        agent.Start();
        var call = Script($"env > {agent.Folder}/env; grep SigIgn /proc/self/status > {agent.Folder}/signals; echo '{Answer}'").With("CNI_ARGS", "K8S_POD_NAME=web;IgnoreUnknown=1");
        Assert.That(call.Run().Verdict, Is.EqualTo("0"));
        Assert.That(File.ReadAllLines(Path.Combine(agent.Folder, "env")), Is.SupersetOf(new[]
        {
            "CNI_COMMAND=ADD", "CNI_CONTAINERID=c1", "CNI_IFNAME=eth0", "CNI_ARGS=K8S_POD_NAME=web;IgnoreUnknown=1", $"CNI_PATH={agent.Folder}", $"PATH={Environment.GetEnvironmentVariable("PATH")}",
        }));
        const int sigpipe = 1 << 12;
        Assert.That(Convert.ToInt64(File.ReadAllText(Path.Combine(agent.Folder, "signals")).Split()[^2], 16) & sigpipe, Is.Zero, "else a shell's pipes never end");
    }

    [Test]
    public void A_plugin_that_cannot_be_run_is_told()
    {
        File.WriteAllText(Path.Combine(agent.Folder, "script"), "not for a shell");
        var call = (Add with { Stdin = Delegated("script", "1.1.0") }).With("CNI_PATH", agent.Folder);
        Assert.That(call.Run().Verdict, Is.EqualTo($"5 cannot run the IPAM plugin {agent.Folder}/script: Permission denied"));
    }

    // The commands that a script was called with.
    private string[] Called => File.ReadAllLines(Path.Combine(agent.Folder, "called"));

    private string Delegated(string type, string version, string more = "") => agent.Configuration(version, more).Replace("\"ipam\":{", $"\"ipam\":{{\"type\":\"{type}\",");

    // An ADD with an IPAM plugin that notes its command and then does this.
    private PluginCall Script(string body, string reading = "cat > /dev/null")
    {
        var plugin = Path.Combine(agent.Folder, "script");
        File.WriteAllText(plugin, $"#!/bin/sh\necho $CNI_COMMAND >> {agent.Folder}/called\n{reading}\n{body}\n");
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(plugin, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        return (Add with { Stdin = Delegated("script", "1.1.0") }).With("CNI_PATH", agent.Folder);
    }

    private static void Require(string plugin)
    {
        if (!File.Exists(Path.Combine(Plugins, plugin)))
            Assert.Ignore($"{Plugins}/{plugin} is not installed (Debian: containernetworking-plugins)");
    }
}
