using System.Diagnostics;
using System.Text.Json;
using Overlay.Dataplane.Cli.Demo;

namespace Overlay.Tests.Kernel;

/// <summary>
/// <c>overlay demo</c> as a user runs it: the built programs, real agents, the real plugin, real packets. A fresh namespace stands for the host,
/// with objects in it that must still be there, and nothing else, when the demo has ended.
/// </summary>
public class DemoTests
{
    private static readonly string Overlay = Programs.Usual.Overlay;
    private NetnsFixture _host = null!;
    private string _before = "";

    [SetUp]
    public void A_host_that_has_things_of_its_own()
    {
        _host = NetnsFixture.Create();
        _host.Run("ip link set lo up");
        _host.Run("ip link add eth0 type veth peer name elsewhere");
        _host.Run("ip link set eth0 up");
        _host.Run("ip address add 192.0.2.1/24 dev eth0");
        _host.Run("ip route add 10.42.0.0/16 via 192.0.2.7 proto 79");
        _host.Run("nft -f -", "table inet overlay { chain forward { type filter hook forward priority 0; counter drop; }; }");
        _before = State();
    }

    [TearDown]
    public void End() => _host?.Dispose();

    [TestCase("ipv4")]
    [TestCase("ipv6")]
    public void Every_cell_comes_out_as_the_policies_ask_and_the_host_is_as_it_was(string underlay)
    {
        var demo = _host.TryRun($"{Overlay} demo -o json --underlay {underlay}");
        Assert.That((demo.ExitCode, demo.Error), Is.EqualTo((0, "")), demo.Output);
        using var json = JsonDocument.Parse(demo.Output);
        foreach (var (matrix, answered) in new[] { ("before", 216), ("after", DemoScenario.AskedAfter.Answers) })
        {
            var probes = json.RootElement.GetProperty(matrix).EnumerateArray().ToList();
            Assert.That(probes, Has.Count.EqualTo(216));
            Assert.That(probes.Where(probe => probe.GetProperty("answered").GetBoolean() != probe.GetProperty("asked").GetBoolean()), Is.Empty);
            Assert.That(probes.Count(probe => probe.GetProperty("answered").GetBoolean()), Is.EqualTo(answered));
        }

        Assert.That(json.RootElement.GetProperty("differingCells").GetInt32(), Is.Zero);
        Assert.That(State(), Is.EqualTo(_before));
    }

    [TestCase("INT", "namespaces")]
    [TestCase("TERM", "agent")]
    [TestCase("HUP", "ADD")]
    [TestCase("INT", "policies")]
    public void Interrupted_at_any_point_it_still_leaves_nothing(string signal, string when)
    {
        using var demo = StartUntil(when);
        _host.Run($"kill -s {signal} {demo.Id}");
        demo.StandardOutput.ReadToEnd();
        Assert.That(demo.WaitForExit(TimeSpan.FromSeconds(30)), Is.True);
        Assert.That((demo.ExitCode, demo.StandardError.ReadToEnd()), Is.EqualTo((130, "overlay demo: interrupted; everything was removed again.\n")));
        Assert.That(LeftBy(demo.Id), Is.Empty);
        Assert.That(State(), Is.EqualTo(_before));
    }

    [Test]
    public void What_a_killed_demo_leaves_the_next_one_removes_while_a_running_one_is_left_alone()
    {
        using var running = StartUntil("ADD");
        _host.Run($"kill -s STOP {running.Id}"); // So that it is still running, however long the rest takes.
        try
        {
            using var killed = StartUntil("ADD");
            killed.Kill();
            killed.WaitForExit();
            Assert.That(LeftBy(killed.Id), Is.Not.Empty, "else there is nothing to test");
            var next = _host.TryRun($"{Overlay} demo");
            Assert.That((next.ExitCode, next.Error), Is.EqualTo((0, "")), next.Output);
            Assert.That(LeftBy(killed.Id), Is.Empty);
        }
        finally
        {
            _host.Run($"kill -s CONT {running.Id}");
            running.StandardOutput.ReadToEnd();
            running.WaitForExit();
        }

        Assert.That((running.ExitCode, running.StandardError.ReadToEnd()), Is.EqualTo((0, "")));
        Assert.That(LeftBy(running.Id), Is.Empty);
        Assert.That(State(), Is.EqualTo(_before));
    }

    // Starts a demo and reads what it prints up to the step that has the word.
    private Process StartUntil(string step)
    {
        // A suite that runs in the background of a shell has SIGINT ignored, and so would its children.
        var demo = _host.Start("env", "--default-signal=INT,TERM,HUP", Overlay, "demo");
        while (demo.StandardOutput.ReadLine() is { } line)
            if (line.StartsWith('+') && line.Contains(step))
                return demo;
        throw new AssertionException($"The demo ended before the step '{step}': {demo.StandardError.ReadToEnd()}");
    }

    private string State() => string.Join('\n', new[] { "ip -d -j link", "ip -j address", "ip -j route show table all", "ip -6 -j route show table all", "ip -j neighbour", "nft list ruleset" }.Select(command => _host.Run(command)));

    // Processes and folders that name a demo by its process id.
    private static IEnumerable<string> LeftBy(int id) =>
    [
        .. new[] { "/run", "/run/netns", Path.GetTempPath() }.Where(Directory.Exists).SelectMany(folder => Directory.GetFileSystemEntries(folder, $"overlay-demo-{id}*")),
        .. Process.GetProcesses().Where(process => CommandLine(process.Id).Contains($"/overlay-demo-{id}/")).Select(process => $"process {process.Id}"),
    ];

    private static string CommandLine(int id)
    {
        try
        {
            return File.ReadAllText($"/proc/{id}/cmdline");
        }
        catch (IOException)
        {
            return ""; // It has ended.
        }
    }
}
