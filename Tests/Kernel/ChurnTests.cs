using System.Diagnostics;
using System.Globalization;

namespace Overlay.Tests.Kernel;

/// <summary>
/// A node whose pods come and go, 16 at a time: nothing of them stays, in the kernel, on the disk or in the agent. Most of them the test asks of the agent itself, in the plugin's words: the
/// plugin has nothing that could grow, and as it is built for tests it takes a quarter of a second to start.
/// </summary>
public class ChurnTests
{
    private const int AtATime = 16;
    private const int Pods = 1_000;
    private const int NamespacesEach = 4;

    // The agent as it is built for tests has a collector that takes its time, and goes on compiling. A thousand pods whose attachments alone stayed would be more than this.
    private const long MostGrowth = 4L << 20;

    [Test]
    public void Of_a_thousand_pods_that_come_and_go_nothing_stays()
    {
        using var cluster = TestCluster.CreateEmpty();
        var node = cluster.AddNode("node-1", ["192.168.7.1"], ["10.42.0.0/20", "fd00:42::/64"]);
        var before = node.State;
        var namespaces = Enumerable.Range(0, AtATime * NamespacesEach).Select(_ => NetnsFixture.Create()).ToArray();
        try
        {
            var clock = Stopwatch.StartNew();
            var memory = new List<long>();
            var descriptors = new List<int>();
            for (var cycle = 0; cycle < 3; cycle++)
            {
                Parallel.For(0, AtATime, new ParallelOptions { MaxDegreeOfParallelism = AtATime }, slot => ComeAndGo(node, cycle, slot, namespaces));
                AssertNothingIsLeft(node, before);
                if (cycle > 0)
                    TestCluster.Eventually(() => Descriptors(node) <= descriptors[0], $"the agent has {descriptors[0]} descriptors again", () => $"it has {Descriptors(node)}");
                descriptors.Add(Descriptors(node));
                memory.Add(Resident(node));
            }

            TestContext.Out.WriteLine(FormattableString.Invariant($"3 times {Pods} pods in {clock.Elapsed.TotalSeconds:0} s; resident {string.Join(", ", memory.Select(bytes => $"{bytes >> 20} MiB"))}; descriptors {string.Join(", ", descriptors)}"));
            Assert.That(memory[2] - memory[1], Is.LessThan(MostGrowth), "bytes more after the third thousand than after the second");
        }
        finally
        {
            foreach (var net in namespaces)
                net.Dispose();
        }
    }

    // All of the way, and what stands in between is what is computed anew from nothing.
    [Test]
    public void Pods_that_the_plugin_wires_sixteen_at_a_time_are_wired_and_unwired_whole()
    {
        using var cluster = TestCluster.Create(1);
        var node = cluster.Nodes[0];
        var before = node.State;
        var pods = Enumerable.Range(0, AtATime).Select(i => node.MakePod($"shop/pod-{i}")).ToArray();
        Parallel.ForEach(pods, new ParallelOptions { MaxDegreeOfParallelism = AtATime }, pod => pod.Add([]));
        Assert.That(pods.Select(pod => pod.IPv4).Distinct().Count(), Is.EqualTo(AtATime));
        var verified = node.Overlay("verify");
        Assert.That(verified.ExitCode, Is.Zero, verified.Output + verified.Error);
        Parallel.ForEach(pods, new ParallelOptions { MaxDegreeOfParallelism = AtATime }, pod => Assert.That(pod.Remove().ExitCode, Is.Zero));
        AssertNothingIsLeft(node, before);
    }

    private static void ComeAndGo(TestNode node, int cycle, int slot, NetnsFixture[] namespaces)
    {
        for (var pod = slot; pod < Pods; pod += AtATime)
        {
            var container = $"\"containerId\":\"{cycle}-{pod}\",\"ifName\":\"eth0\",\"network\":\"overlay\"";
            var net = namespaces[(slot * NamespacesEach) + (pod / AtATime % NamespacesEach)];
            var added = node.Ask("ADD", string.Create(CultureInfo.InvariantCulture, $$"""
                {{container}},"netns":"{{net.Path}}","podNamespace":"shop","podName":"pod-{{pod}}","addresses":[{"address":"10.42.{{1 + (pod / 250)}}.{{1 + (pod % 250)}}/20"},{"address":"fd00:42::{{pod:x}}:1/64"}]
                """));
            Assert.That(added, Does.Contain("\"wired\""), node.Log);
            var deleted = node.Ask("DEL", container);
            Assert.That(deleted, Is.Not.Null.And.Not.Contain("\"error\":{"), node.Log);
        }
    }

    private static void AssertNothingIsLeft(TestNode node, string before)
    {
        TestCluster.Eventually(() => node.State == before, "the kernel is as it was", () => node.State);
        node.AssertNoPod();
    }

    private static int Descriptors(TestNode node) => Directory.GetFiles($"/proc/{node.AgentId}/fd").Length;

    private static long Resident(TestNode node) =>
        1024 * long.Parse(File.ReadLines($"/proc/{node.AgentId}/status").Single(line => line.StartsWith("VmRSS", StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
}
