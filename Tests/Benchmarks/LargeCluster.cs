using System.Globalization;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Benchmarks;

/// <summary>
/// A cluster of any size, the same for the same numbers: namespaces of 500 pods, in each apps of 10 pods, spread over all nodes; twenty policies a namespace, each of which lets one app be reached by the
/// next, every tenth also from the namespaces of a team. The first node has 50 pods. As from a reader, no text is shared by two objects.
/// </summary>
/// <param name="nodes">Number of nodes; 50 pods each.</param>
/// <param name="policies">Number of policies, 20 for each 500 pods or fewer.</param>
internal sealed class LargeCluster(int nodes, int policies)
{
    private const int PodsPerNode = 50;
    private const int PodsPerNamespace = 500;
    private const int PodsPerApp = 10;
    private const int Teams = 50;

    public int Pods => nodes * PodsPerNode;

    public int Namespaces => Math.Max(1, Pods / PodsPerNamespace);

    /// <summary>Everything, in the order of a start.</summary>
    public IEnumerable<ClusterChange> Changes()
    {
        for (var i = 0; i < nodes; i++)
            yield return new ClusterChange.NodeSet(NodeOf(i));
        for (var i = 0; i < Namespaces; i++)
            yield return NamespaceOf(i, i % Teams);
        for (var i = 0; i < policies; i++)
            yield return PolicyOf(i, 8080);
        for (var i = 0; i < Pods; i++)
            yield return PodOf(i);
        yield return new ClusterChange.Synced();
    }

    public static Node NodeOf(int i) => new(
        Name("node", i),
        [Cidr.Parse($"10.{64 + (i >> 8)}.{i & 255}.0/24"), Cidr.Parse($"fd00:42:0:{i:x}::/64")],
        [InetAddress.Parse($"172.16.{i / 250}.{1 + (i % 250)}")]);

    public static ClusterChange.NamespaceSet NamespaceOf(int i, int team) => new(new(Name("ns", i), Labels.Of(new Label(Fresh("team"), Name("team", team)))));

    /// <summary>A policy; another port makes it another.</summary>
    public ClusterChange.PolicySet PolicyOf(int i, ushort port)
    {
        var (ns, app) = (i % Namespaces, i / Namespaces % (PodsPerNamespace / PodsPerApp));
        List<Peer> peers = [new Peer.Pods(null, App(app + 1))];
        if (i / 10 % 10 == 1)
            peers.Add(new Peer.Pods(LabelSelector.Of(new LabelSelectorRequirement(Fresh("team"), LabelSelectorOperator.In, [Name("team", i % Teams)])), LabelSelector.Everything));
        return new(Policy.Namespaced(new(Name("ns", ns), Name("policy", i)), App(app), [new PolicyRule(peers.ToEquatableArray(), [new PortMatch.Numeric(IpProtocol.Tcp, port, port)])], null));
    }

    /// <summary>A pod; the node that it is on is its number's rest, so that each app is everywhere.</summary>
    /// <param name="i">Its number.</param>
    /// <param name="app">Of another app than it was.</param>
    /// <param name="generation">With another address than it had.</param>
    public ClusterChange.PodSet PodOf(int i, int? app = null, int generation = 0)
    {
        var (node, slot) = (i % nodes, (i / nodes) + 2 + (generation * PodsPerNode));
        var (ns, number) = (i / PodsPerNamespace % Namespaces, i % PodsPerNamespace);
        return new(new(
            new(Name("ns", ns), Name("pod", i)),
            Labels.Of(new Label(Fresh("app"), Name("app", app ?? AppOf(i))), new Label(Fresh("tier"), Fresh((number % 3) switch { 0 => "web", 1 => "db", _ => "cache" }))),
            [InetAddress.Parse($"10.{64 + (node >> 8)}.{node & 255}.{slot}"), InetAddress.Parse($"fd00:42:0:{node:x}::{slot:x}")],
            [new NamedPort(Fresh("http"), IpProtocol.Tcp, 8080)],
            false,
            Name("node", node)));
    }

    public static int AppOf(int i) => i % PodsPerNamespace / PodsPerApp;

    /// <summary>The interfaces of the first node's pods.</summary>
    public IEnumerable<Attachment> Attachments() => Enumerable.Range(0, PodsPerNode).Select(i => i * nodes).Where(i => i < Pods).Select(i =>
    {
        var pod = PodOf(i).Pod;
        return new Attachment($"container-{i}", "eth0", pod.Name, "", $"/run/netns/none-{i}", $"ovl{i}", new(0x020000000000UL + (ulong)i), pod.Addresses, "overlay");
    });

    private static LabelSelector App(int app) => LabelSelector.Of(new LabelSelectorRequirement(Fresh("app"), LabelSelectorOperator.In, [Name("app", app)]));

    private static string Fresh(string text) => new(text.AsSpan());

    private static string Name(string kind, int i) => string.Create(CultureInfo.InvariantCulture, $"{kind}-{i}");
}
