using System.Text.Json;
using Overlay.Tests.CniShim;

namespace Overlay.Tests.Kernel;

/// <summary>overlay-cni under the name loopback, as containerd calls it for every pod.</summary>
public class LoopbackTests
{
    private const string Containerd = """{"cniVersion":"1.0.0","name":"cni-loopback","type":"loopback"}""";

    private NetnsFixture _pod = null!;

    [SetUp]
    public void MakePod() => _pod = NetnsFixture.Create();

    [TearDown]
    public void RemovePod() => _pod?.Dispose();

    [Test]
    public void ADD_brings_lo_up_and_tells_what_is_there()
    {
        Assert.That(Flags(), Does.Not.Contain("UP"));
        var outcome = Call("ADD", Containerd);
        Assert.That(outcome.Verdict, Is.EqualTo("0"), outcome.Stdout);
        Assert.That(Flags(), Does.Contain("UP"));
        const string Result = """{"cniVersion":"1.0.0","interfaces":[{"name":"lo","mac":"00:00:00:00:00:00","sandbox":"NETNS"}],"ips":[{"interface":0,"address":"127.0.0.1/8"},{"interface":0,"address":"::1/128"}],"dns":{}}""";
        Assert.That(outcome.Stdout, Is.EqualTo(Result.Replace("NETNS", _pod.Path) + "\n"));
        Assert.That(Call("ADD", Containerd).Verdict, Is.EqualTo("0"), "a second time");
    }

    // What containerd 1.x sends.
    [Test]
    public void A_result_of_0_3_1_names_the_families() =>
        Assert.That(Call("ADD", Containerd.Replace("1.0.0", "0.3.1")).Json.GetProperty("ips")[1].GetProperty("version").GetString(), Is.EqualTo("6"));

    [Test]
    public void Without_IPv6_there_is_no_address_of_it()
    {
        _pod.Run("sysctl -q -w net.ipv6.conf.lo.disable_ipv6=1");
        Assert.That(Call("ADD", Containerd).Addresses, Is.EqualTo(new[] { "127.0.0.1/8" }));
    }

    [Test]
    public void What_a_plugin_before_it_has_made_is_passed_on()
    {
        const string Before = """{"cniVersion":"1.0.0","ips":[{"address":"10.42.0.2/32"}]}""";
        var outcome = Call("ADD", Containerd.Replace("}", ",\"prevResult\":" + Before + "}"));
        Assert.That(outcome.Stdout.Trim(), Is.EqualTo(Before));
    }

    [Test]
    public void CHECK_says_whether_lo_is_up()
    {
        Assert.That(Call("CHECK", Containerd).Msg, Is.EqualTo($"lo in {_pod.Path} is down"));
        Call("ADD", Containerd);
        Assert.That(Call("CHECK", Containerd).Verdict, Is.EqualTo("0"));
    }

    // The namespace may be gone, and no agent is asked.
    [TestCase("DEL")]
    [TestCase("GC")]
    [TestCase("STATUS")]
    public void The_other_verbs_have_nothing_to_do(string command) =>
        Assert.That(new PluginCall { Stdin = Containerd.Replace("1.0.0", "1.1.0"), Command = command }.With("CNI_NETNS", "/run/netns/gone").Run(), Is.EqualTo(new PluginOutcome(0, "", "")));

    [Test]
    public void The_namespace_of_the_host_is_left_alone() =>
        Assert.That((new PluginCall { Stdin = Containerd } with { OwnNetns = PluginCall.SomeNetns }).Run().Verdict, Does.StartWith("8 plugin's netns and netns from CNI_NETNS should not be the same"));

    [Test]
    public void The_thread_that_called_stays_where_it_was()
    {
        var before = File.ResolveLinkTarget("/proc/thread-self/ns/net", returnFinalTarget: false)!.Name;
        Call("ADD", Containerd);
        Assert.That(File.ResolveLinkTarget("/proc/thread-self/ns/net", returnFinalTarget: false)!.Name, Is.EqualTo(before));
    }

    private PluginOutcome Call(string command, string stdin) =>
        (new PluginCall { Stdin = stdin, Command = command } with { OwnNetns = PluginCall.SomeNetns }).With("CNI_NETNS", _pod.Path).With("CNI_IFNAME", "lo").Run();

    private string[] Flags() =>
        [.. JsonDocument.Parse(_pod.Run("ip -j link show lo")).RootElement[0].GetProperty("flags").EnumerateArray().Select(flag => flag.GetString()!)];
}
