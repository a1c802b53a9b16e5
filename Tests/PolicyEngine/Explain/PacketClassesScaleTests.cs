using System.Diagnostics;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Explain;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Tests.PolicyEngine.Explain;

/// <summary>What the proof costs on a big cluster. The number of classes is asserted; the times are printed.</summary>
public class PacketClassesScaleTests
{
    private const int Namespaces = 50;

    [Test]
    public void Five_thousand_pods_and_five_hundred_policies_are_few_classes()
    {
        var state = Cluster(pods: 5000, policies: 500, local: 110);
        var watch = Stopwatch.StartNew();
        var ruleset = new RulesetView(RulesetProjection.FromScratch(state));
        TestContext.Out.WriteLine($"ruleset from scratch: {watch.ElapsedMilliseconds} ms");
        watch.Restart();
        var verdicts = PolicyProof.Run(state, "node-0", ruleset, new(new Dictionary<NamespacedName, string>(), ["overlay-vxlan"]));
        var (classes, wrong) = (0, 0);
        foreach (var verdict in verdicts)
        {
            classes++;
            wrong += verdict.Agrees ? 0 : 1;
        }

        TestContext.Out.WriteLine($"{classes} classes in {watch.ElapsedMilliseconds} ms");
        Assert.That(wrong, Is.Zero);
        Assert.That(classes, Is.LessThan(1_000_000), "of about 5000 * 110 * 2 * 65536 * 4 packets and their replies");

        watch.Restart();
        var walk = new PacketTracer(ruleset);
        var packet = new Packet(InetAddress.Parse("10.42.1.9"), state.Pods.First(pod => state.LocalPods.Contains(pod.Name)).Addresses[0], 6, 5432, "overlay-vxlan", "ovl1");
        for (var i = 0; i < 100_000; i++)
            walk.Walk(packet);
        TestContext.Out.WriteLine($"one walk: {watch.Elapsed.TotalMicroseconds / 100_000:F2} us, {walk.Walk(packet).Path.Count} rules matched");
    }

    private static ClusterState Cluster(int pods, int policies, int local)
    {
        var all = Enumerable.Range(0, pods).Select(i =>
        {
            var node = i < local ? 0 : 1 + (i % 45);
            return new Pod(
                new($"space-{i % Namespaces}", $"pod-{i}"),
                Labels.Of(new Label("app", $"app-{i % 20}"), new Label("version", $"v{i % 3}"), new Label("pod-name", $"pod-{i}")),
                [new(Family.IPv4, 0x0a2a0000 + (uint)(node << 8) + 2 + (uint)(i % 250)), new(Family.IPv6, InetAddress.Parse("fd00:42::").Value + ((UInt128)node << 64) + 2 + (uint)i)],
                [new("http", IpProtocol.Tcp, (ushort)(8000 + (i % 7)))],
                false,
                $"node-{node}");
        }).DistinctBy(pod => pod.Addresses[0]).ToList();
        return new(
            new(),
            new([Cidr.Parse("10.42.0.0/24"), Cidr.Parse("fd00:42::/64")], [Cidr.Parse("10.42.0.0/16"), Cidr.Parse("fd00:42::/48")]),
            [.. Enumerable.Range(0, 46).Select(i => new ClusterNode($"node-{i}", Labels.Empty, [new(Family.IPv4, 0xc0000200 + (uint)i)], [new(Family.IPv4, 0x0a2a0000 + (uint)(i << 8))]))],
            [.. Enumerable.Range(0, Namespaces).Select(i => new Namespace($"space-{i}", Labels.Of(new Label("team", $"team-{i % 5}"))))],
            all,
            all.Where(pod => pod.NodeName == "node-0").Select(pod => pod.Name).ToHashSet(),
            [.. Enumerable.Range(0, policies).Select(NetworkPolicy)]);
    }

    // Ten in each namespace, each for a few of its apps.
    private static Policy NetworkPolicy(int i)
    {
        PolicyRule fromApp = new([new Peer.Pods(null, Selecting("app", $"app-{(i + 1) % 20}")), new Peer.Pods(Selecting("team", $"team-{i % 5}"), LabelSelector.Everything)], [new PortMatch.Numeric(IpProtocol.Tcp, 5432, 5432), new PortMatch.Named(IpProtocol.Tcp, "http")]);
        PolicyRule fromBlock = new([new Peer.IPBlock(new(new(Family.IPv4, 0xc6336400u + (uint)(i % 8 * 16)), 28), [])], [new PortMatch.Numeric(IpProtocol.Udp, (ushort)(9000 + i), (ushort)(9100 + i))]);
        return Policy.Namespaced(
            new($"space-{i % Namespaces}", $"policy-{i}"),
            i % 10 == 0 ? LabelSelector.Everything : Selecting("app", $"app-{i / Namespaces * 2}"),
            [fromApp, fromBlock],
            i % 3 == 0 ? [fromApp] : null);
    }

    private static LabelSelector Selecting(string key, string value) => LabelSelector.Of(new LabelSelectorRequirement(key, LabelSelectorOperator.In, [value]));
}
