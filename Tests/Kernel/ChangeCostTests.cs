using Overlay.Dataplane;
using Overlay.Dataplane.Kernel;
using Overlay.Dataplane.Store;
using Overlay.Tests.Benchmarks;

namespace Overlay.Tests.Kernel;

/// <summary>
/// What one change costs does not depend on the size of the cluster: bytes allocated, and messages and bytes sent to the kernel, from the datastore's change to the commit, in a cluster and in one of eight times
/// its size. These figures hold on any machine and under any load; what grows with the cluster grows eight times, and twice is taken for growth.
/// </summary>
public class ChangeCostTests
{
    private const int Warmups = 60;
    private const int Repeats = 12;
    private const int Small = 20;
    private const int Large = 160;

    private readonly record struct Cost(long Allocated, long Messages, long Bytes);

    [Test]
    public void One_change_costs_the_same_in_a_small_cluster_and_in_a_large_one()
    {
        var small = Measure(Small);
        var large = Measure(Large);
        Assert.Multiple(() =>
        {
            foreach (var (change, cost) in small)
            {
                TestContext.Out.WriteLine($"{change}: {cost} among {Small * 50} pods, {large[change]} among {Large * 50}");
                Assert.That(large[change].Allocated, Is.LessThan(2 * cost.Allocated), change);
                Assert.That(large[change].Messages, Is.LessThan(2 * cost.Messages), change);
                Assert.That(large[change].Bytes, Is.LessThan(2 * cost.Bytes), change);
                Assert.That(cost.Messages, Is.GreaterThan(0).And.LessThan(100), $"{change}: something is sent, and not much");
            }
        });
    }

    private static Dictionary<string, Cost> Measure(int nodes)
    {
        using var net = NetnsFixture.Create();
        net.Run("ip link set lo up");
        net.Run("ip link add uplink type veth peer name far");
        net.Run("ip address add 172.16.0.1/12 dev uplink");
        net.Run("ip link set uplink up");
        net.Run("ip link set far up");
        var cluster = new LargeCluster(nodes, nodes * 2);
        net.Run("ip -batch -", string.Concat(cluster.Attachments().Select(pod => $"link add {pod.HostInterface} up type veth peer name {pod.HostInterface.Replace("ovl", "pod", StringComparison.Ordinal)}\n")));
        return net.Netns.Run(() => Measure(cluster, nodes));
    }

    private static Dictionary<string, Cost> Measure(LargeCluster cluster, int nodes)
    {
        using var kernel = NodeKernel.Open();
        var dataplane = new NodeDataplane(new() { NodeName = "node-0" }, kernel, Serilog.Core.Logger.None);
        foreach (var change in cluster.Changes())
            dataplane.Apply(change);
        foreach (var attachment in cluster.Attachments())
            dataplane.Attach(attachment);
        Assert.That(dataplane.Resync(), "nothing is left to do");

        // Pod 1, on another node, is of the app that a pod here takes packets from, or not.
        var peer = LargeCluster.AppOf(0) + 1;
        return new()
        {
            ["another label"] = Least(i => cluster.PodOf(1, i % 2 == 0 ? peer : null)),
            ["another address"] = Least(i => cluster.PodOf(1, peer, 1 + (i % 2))),
            ["another policy"] = Least(i => cluster.PolicyOf(0, (ushort)(9_000 + (i % 2)))),
            ["one more node"] = Least(i => new ClusterChange.NodeSet(LargeCluster.NodeOf(nodes + i))),
        };

        // The least of several, once everything has been compiled and has grown: what else allocates now and then is not the change's.
        Cost Least(Func<int, ClusterChange> change)
        {
            var least = new Cost(long.MaxValue, long.MaxValue, long.MaxValue);
            for (var i = 0; i < Warmups + Repeats; i++)
            {
                var next = change(i);
                var (allocated, sent) = (GC.GetAllocatedBytesForCurrentThread(), kernel.Sent);
                dataplane.Apply(next);
                Assert.That(dataplane.Commit(), "nothing is left to do");
                if (i >= Warmups)
                    least = new(Math.Min(least.Allocated, GC.GetAllocatedBytesForCurrentThread() - allocated), Math.Min(least.Messages, kernel.Sent.Messages - sent.Messages), Math.Min(least.Bytes, kernel.Sent.Bytes - sent.Bytes));
            }

            return least;
        }
    }
}
