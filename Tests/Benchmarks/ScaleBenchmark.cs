using System.Diagnostics;
using System.Globalization;
using Overlay.Dataplane;
using Overlay.Dataplane.Kernel;
using Overlay.Dataplane.Store;
using Overlay.Tests.Kernel;

namespace Overlay.Tests.Benchmarks;

/// <summary>
/// What one change costs in a cluster of many nodes, pods and policies, from the datastore's change to the kernel's commit: the real store, projections and tables over a real kernel, without the loop
/// around them. Sizes are stepped, to show what grows. <c>./build.ps1 bench scale</c>; the suite runs it small, to keep it working, and asserts counts, no times.
/// </summary>
public class ScaleBenchmark
{
    private static readonly bool IsBench = Environment.GetEnvironmentVariable("OVERLAY_BENCH") == "1";
    private static readonly (int Nodes, int Policies)[] Sizes = IsBench ? [(50, 100), (500, 1_000), (5_000, 10_000)] : [(20, 40)];
    private static readonly int Repeats = IsBench ? 1_000 : 3;

    [TestCaseSource(nameof(Sizes))]
    public void Changes_of_a_large_cluster((int Nodes, int Policies) size)
    {
        using var net = NetnsFixture.Create();
        net.Run("ip link set lo up");
        net.Run("ip link add uplink type veth peer name far");
        net.Run("ip address add 172.16.0.1/12 dev uplink");
        net.Run("ip link set uplink up");
        net.Run("ip link set far up");
        var cluster = new LargeCluster(size.Nodes, size.Policies);
        net.Run("ip -batch -", string.Concat(cluster.Attachments().Select(pod => $"link add {pod.HostInterface} up type veth peer name {pod.HostInterface.Replace("ovl", "pod", StringComparison.Ordinal)}\n")));
        net.Netns.Run(() => Measure(cluster, size));
    }

    private static void Measure(LargeCluster cluster, (int Nodes, int Policies) size)
    {
        Print($"{size.Nodes} nodes, {cluster.Pods} pods, {size.Policies} policies, 50 of the pods here");
        using var kernel = NodeKernel.Open();
        Once("making the changes, which the start includes", () => _ = cluster.Changes().Count());
        var dataplane = new NodeDataplane(new() { NodeName = "node-0" }, kernel, Serilog.Core.Logger.None);
        var before = GC.GetTotalMemory(forceFullCollection: true);
        long Heap() => GC.GetTotalMemory(forceFullCollection: true) - before;
        Once("the store is filled", () =>
        {
            foreach (var change in cluster.Changes())
                dataplane.Apply(change);
        });
        Print($"  managed heap {Heap() / 1e6:0} MB");
        foreach (var attachment in cluster.Attachments())
            dataplane.Attach(attachment);
        Once("the kernel has it", () => Assert.That(dataplane.Resync(), "nothing is left to do"));
        Print($"  managed heap {Heap() / 1e6:0} MB");
        var committed = dataplane.Status().RulesetsCommitted;

        // The app after that of a pod here, which a policy of its lets in: elements of a set in the kernel.
        var peer = LargeCluster.AppOf(0) + 1;
        var remote = Enumerable.Range(1, Math.Min(9, cluster.Pods - 1)).ToArray();
        Many("a pod gets another label", i => dataplane.Apply(cluster.PodOf(remote[i % remote.Length], i / remote.Length % 2 == 0 ? peer : null)), dataplane);
        Many("a pod gets another address", i => dataplane.Apply(cluster.PodOf(remote[i % remote.Length], peer, 1 + (i / remote.Length % 2))), dataplane);
        Assert.That(dataplane.Status().RulesetsCommitted, Is.GreaterThanOrEqualTo(committed + (2 * Repeats) - remote.Length), "each change is a transaction");
        Many("a policy changes its port", i => dataplane.Apply(cluster.PolicyOf(0, (ushort)(9_000 + (i % 2)))), dataplane);
        Many("a namespace of 500 pods gets another label", i => dataplane.Apply(LargeCluster.NamespaceOf(1, i % 50)), dataplane, IsBench ? 100 : 3);
        Many("a node joins", i => dataplane.Apply(new ClusterChange.NodeSet(LargeCluster.NodeOf(size.Nodes + i))), dataplane, IsBench ? 100 : 3);
        Once("resync, with every row and element read and compared", () => _ = dataplane.Resync());
    }

    private static void Once(string what, Action action)
    {
        var (clock, cpu) = (Stopwatch.StartNew(), Environment.CpuUsage.TotalTime);
        action();
        Print($"  {what}: {clock.Elapsed.TotalMilliseconds:0} ms, {(Environment.CpuUsage.TotalTime - cpu).TotalMilliseconds:0} ms of CPU");
    }

    private static void Many(string what, Action<int> change, NodeDataplane dataplane, int? repeats = null)
    {
        var times = new double[repeats ?? Repeats];
        var isComplete = true;
        var allocated = GC.GetAllocatedBytesForCurrentThread();
        var cpu = Environment.CpuUsage.TotalTime;
        for (var i = 0; i < times.Length; i++)
        {
            var start = Stopwatch.GetTimestamp();
            change(i);
            isComplete &= dataplane.Commit();
            times[i] = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        }

        var each = (Environment.CpuUsage.TotalTime - cpu).TotalMilliseconds / times.Length;
        allocated = (GC.GetAllocatedBytesForCurrentThread() - allocated) / times.Length;
        Assert.That(isComplete, "nothing is left to do");
        Array.Sort(times);
        Print($"  {what}: CPU {each:0.000} ms, p50 {times[times.Length / 2]:0.000} ms, p99 {times[times.Length * 99 / 100]:0.000} ms, {allocated / 1e3:0.0} kB allocated");
    }

    private static void Print(FormattableString line) => TestContext.Progress.WriteLine(line.ToString(CultureInfo.InvariantCulture));
}
