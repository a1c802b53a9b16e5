using System.Net;
using k8s.Models;
using Overlay.Dataplane.Datastore.Manifests;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Explain;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Tests.Oracles;

/// <summary>One node's part in carrying a packet.</summary>
public sealed record Hop(string Node, Packet Packet, Trace Trace)
{
    public override string ToString() => $"on {Node}: {Packet}: {Trace}";
}

/// <summary>A cluster as the product sees it: manifests through its own reader and store, compiled to a ruleset for each node. Walks flows from node to node.</summary>
public sealed class CompiledCluster
{
    private const string TunnelDevice = "overlay-vxlan";
    private const string UnderlayDevice = "eth0";

    private readonly ClusterObjects _objects;
    private readonly Dictionary<string, CompiledNode> _nodes;

    private CompiledCluster(ClusterObjects objects, Dictionary<string, CompiledNode> nodes, ManifestFile manifests) =>
        (_objects, _nodes, Manifests) = (objects, nodes, manifests);

    /// <summary>What the product's reader made of the manifests.</summary>
    public ManifestFile Manifests { get; }

    /// <summary>Reads and compiles manifests.</summary>
    /// <param name="yaml">Nodes, namespaces, pods with addresses, policies.</param>
    /// <param name="objects">The same as the oracle reads it: where things are, for routing packets.</param>
    /// <param name="configuration">Options of every agent; its node name is not used.</param>
    public static CompiledCluster Compile(string yaml, ClusterObjects objects, OverlayConfiguration configuration)
    {
        var manifests = FromManifest.Read("cluster.yaml", yaml);
        var nodes = objects.Nodes.Select(node => node.Name()).ToDictionary(name => name, name => CompiledNode.Compile(name, manifests, configuration));
        return new(objects, nodes, manifests);
    }

    /// <summary>podCIDRs of all nodes.</summary>
    public IEnumerable<Cidr> PodNetwork => _nodes.Values.First().Projected.Network.All;

    /// <summary>The state of one node.</summary>
    public CompiledNode Node(string name) => _nodes[name];

    /// <summary>The packet on every node of its way, each judged as if the nodes before had let it pass. It arrives when all accept.</summary>
    public IReadOnlyList<Hop> Walk(Flow flow, CtState state = CtState.New) => [.. Route(flow).Select(step =>
    {
        var packet = new Packet(flow.SourceAddress, flow.DestinationAddress, flow.ProtocolNumber, (ushort)flow.Port, step.Input, step.Output) { IcmpType = flow.IcmpType, State = state };
        return new Hop(step.Node, packet, _nodes[step.Node].Tracer.Walk(packet));
    })];

    private IEnumerable<(string Node, string? Input, string? Output)> Route(Flow flow)
    {
        var (from, to) = (Locate(flow.Source), Locate(flow.Destination));
        if (from.Node is not null && from.Node == to.Node)
        {
            // What a node sends to itself passes no hook of ours.
            if (from.Device is not null || to.Device is not null)
                yield return (from.Node, from.Device, to.Device);
            yield break;
        }

        if (from.Node is not null)
            yield return (from.Node, from.Device, to is { Node: not null, Device: not null } ? TunnelDevice : UnderlayDevice);
        if (to.Node is not null)
            yield return (to.Node, from is { Node: not null, Device: not null } && to.Device is not null ? TunnelDevice : UnderlayDevice, to.Device);
    }

    // A pod is behind its device on its node; a node's own addresses have no device; the rest of the world, with it a node's address that another machine translates, has no node.
    private (string? Node, string? Device) Locate(IPAddress address)
    {
        if (_objects.PodAt(address) is { } pod)
            return (pod.Spec.NodeName, CompiledNode.Device(new(pod.Namespace(), pod.Name())));
        return (_objects.Nodes.FirstOrDefault(node => ClusterObjects.Addresses(node).Contains(address) || ClusterObjects.TunnelAddresses(node).Contains(address))?.Name(), null);
    }
}

/// <summary>What one node of a cluster computes.</summary>
public sealed record CompiledNode(ProjectedNode Projected, ClusterState State, Ruleset Ruleset)
{
    public PacketTracer Tracer { get; } = new(new RulesetView(Ruleset));

    /// <summary>Name of the host's end of a pod's interface pair in tests: <c>ovl</c> and what fits of the pod's name.</summary>
    public static string Device(NamespacedName pod)
    {
        var name = $"{RulesetOptions.PodInterfacePrefix}{pod.Namespace}-{pod.Name}";
        return name.Length > 15 ? name[..15] : name;
    }

    // 02:00 and the low bytes of an address: 10.42.1.10 is 02:00:0a:2a:01:0a.
    private static MacAddress Mac(InetAddress address) => new(0x0200_0000_0000 | (ulong)(address.Value & uint.MaxValue));

    /// <summary>Computes the node's rows and ruleset: every pod with spec.nodeName of this node counts as wired.</summary>
    public static CompiledNode Compile(string name, ManifestFile manifests, OverlayConfiguration configuration)
    {
        var store = new ClusterStore();
        foreach (var change in manifests.Objects)
            store.Apply(change);
        foreach (var pod in store.Pods.Where(pod => pod.NodeName == name && !pod.HostNetwork && pod.Addresses.Count > 0).ToList())
            store.Attach(new($"{pod.Name.Namespace}-{pod.Name.Name}", "eth0", pod.Name, "", "", Device(pod.Name), Mac(pod.Addresses[0]), pod.Addresses, "overlay"));
        return Compile(name, store, configuration);
    }

    /// <summary>Computes the node's rows and ruleset from what is known, from scratch.</summary>
    public static CompiledNode Compile(string name, ClusterStore store, OverlayConfiguration configuration)
    {
        var underlay = Underlay.Assumed(configuration.NodeAddress, store.Nodes.FirstOrDefault(node => node.Name == name)?.Underlay ?? []);
        var projected = NodeProjection.Project(name, store.Nodes, configuration, store.Attachments, underlay);
        var state = store.ToClusterState(configuration.Ruleset, projected.Network);
        return new(projected, state, RulesetProjection.FromScratch(state));
    }
}
