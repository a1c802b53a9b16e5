using Overlay.CniShim.Protocol;

using Overlay.Tests.CniShim;

namespace Overlay.Tests.Kernel;

/// <summary>A DEL that comes late, by whichever way, means the pod that was there when it began: never the one that is there now.</summary>
[Property("Issue", 5)]
public class StaleDeleteTests
{
    private TestCluster _cluster = null!;

    [SetUp]
    public void MakeCluster() => _cluster = TestCluster.Create(1);

    [TearDown]
    public void EndCluster() => _cluster?.Dispose();

    [Test]
    public void A_pod_outlives_the_DEL_of_its_predecessor_that_a_hanging_agent_did_not_answer()
    {
        var node = _cluster.Nodes[0];
        var (web, db) = (node.AddPod("shop/web"), node.AddPod("shop/db"));
        db.Serve(5432);
        _ = Libc.Suspend(node.AgentId);
        var gaveUp = web.Remove();
        var queued = Path.Combine(node.Queue, PendingDelete.FileNameOf(web.ContainerId, "eth0"));
        Assert.That((gaveUp.ExitCode, File.Exists(queued)), Is.EqualTo((0, true)), "the plugin gives up and leaves its DEL as a file");
        var late = File.ReadAllBytes(queued);
        _ = Libc.Resume(node.AgentId);

        // The agent may come to the DEL only now: an ADD that is under way then is told to try again.
        TestCluster.Eventually(() => web.AddAs(node.Configuration([])).ExitCode == 0, "ADD works", () => node.Log);
        Assert.That(File.Exists(queued), Is.False, "ADD has settled what was left to do");
        Assert.That(web.Connects(db.IPv4, 5432), node.Log);

        // As if the file had only now come to light.
        File.WriteAllBytes(queued, late);
        node.StopAgent();
        node.StartAgent();
        TestCluster.Eventually(() => !File.Exists(queued), "the file is dealt with", () => node.Log);
        Assert.That(web.Connects(db.IPv4, 5432), node.Log);
        Assert.That(web.Check().ExitCode, Is.Zero);
        Assert.That(node.Log, Does.Contain("is passed over"));
    }

    [Test]
    public void A_DEL_that_waits_is_done_while_the_agent_runs()
    {
        var node = _cluster.Nodes[0];
        var web = node.AddPod("shop/web");
        Directory.CreateDirectory(node.Queue);
        File.WriteAllBytes(Path.Combine(node.Queue, PendingDelete.FileNameOf(web.ContainerId, "eth0")), AgentLine.Of(Request(web, "DEL", BootClock.Now)));
        TestCluster.Eventually(() => !Directory.EnumerateFiles(node.Queue).Any(), "it is done", () => node.Log);
        TestCluster.Eventually(() => web.Net.TryRun("ip link show eth0").ExitCode != 0, "the pod's interface is gone");
    }

    // The plugin gives the addresses back at the end of DEL; an ADD that took its own before must not be wired with them.
    [Test]
    public void An_ADD_that_began_before_the_DEL_was_done_is_to_be_tried_again()
    {
        var node = _cluster.Nodes[0];
        var pod = node.MakePod("shop/web");
        var began = BootClock.Now;
        Assert.That(node.Ask(Request(pod, "DEL", BootClock.Now)).Error, Is.Null);
        var add = Request(pod, "ADD", began) with { Addresses = [new() { Address = "10.42.1.9/24" }] };
        Assert.That(node.Ask(add).Error?.Code, Is.EqualTo(CniErrorCode.TryAgainLater));
        Assert.That(node.Ask(add with { Began = BootClock.Now }).Wired, Is.Not.Null);
        Assert.That(node.Ask(Request(pod, "DEL", BootClock.Now)).Error, Is.Null);
    }

    [TestCase(true)]
    [TestCase(false)]
    public void A_DEL_counts_from_when_it_began(bool before)
    {
        var node = _cluster.Nodes[0];
        var pod = node.MakePod("shop/web");
        var began = BootClock.Now;
        pod.Add([]);
        Assert.That(node.Ask(Request(pod, "DEL", before ? began : BootClock.Now)).Error, Is.Null);
        Assert.That(pod.Net.TryRun("ip link show eth0").Output.Contains("LOWER_UP", StringComparison.Ordinal), Is.EqualTo(before), "DEL sets the pair down at once");
    }

    // The plugin as a process would have to be held up between its start and its question.
    [Test]
    public void A_plugin_whose_DEL_is_passed_over_leaves_the_addresses_of_the_pod_that_is_there()
    {
        var node = _cluster.Nodes[0];
        var pod = node.MakePod("shop/web");
        var began = BootClock.Now;
        pod.Add([]);
        var delete = new PluginCall { Command = "DEL", Stdin = node.Configuration([]), Began = began }.With("CNI_CONTAINERID", pod.ContainerId).With("CNI_NETNS", pod.Net.Path);
        Assert.That(delete.Run(), Is.EqualTo(new PluginOutcome(0, "", "")));
        Assert.That(pod.Check() is { ExitCode: 0, Output: "" }, "interface and addresses are the pod's");
        Assert.That((delete with { Began = BootClock.Now }).Run().ExitCode, Is.Zero);
        node.AssertNoPod();
    }

    private static AgentRequest Request(TestPod pod, string command, long began) => new()
    {
        Command = command,
        ContainerId = pod.ContainerId,
        IfName = "eth0",
        Netns = pod.Net.Path,
        Network = "overlay",
        Began = began,
    };
}
