using Overlay.PolicyEngine.Model;

namespace Overlay.PolicyEngine.Compile;

/// <summary>What a node's ruleset depends on, and nothing else: the argument of <c>RulesetProjection.FromScratch</c>.</summary>
/// <param name="Options">Fixed for the life of an agent.</param>
/// <param name="Network">The pod network.</param>
/// <param name="Nodes">All nodes.</param>
/// <param name="Namespaces">All namespaces.</param>
/// <param name="Pods">All pods of the cluster, with the addresses known.</param>
/// <param name="LocalPods">The pods wired on this node; each is also in <paramref name="Pods"/>.</param>
/// <param name="Policies">All policies.</param>
public sealed record ClusterState(
    RulesetOptions Options,
    PodNetwork Network,
    IReadOnlyCollection<ClusterNode> Nodes,
    IReadOnlyCollection<Namespace> Namespaces,
    IReadOnlyCollection<Pod> Pods,
    IReadOnlySet<NamespacedName> LocalPods,
    IReadOnlyCollection<Policy> Policies);

/// <summary>What the packets of a tunnel are from outside.</summary>
/// <param name="Protocol">IP protocol number.</param>
/// <param name="Port">UDP destination port; null: the protocol has none.</param>
/// <param name="Name">For people.</param>
public readonly record struct OuterPacket(byte Protocol, ushort? Port, string Name)
{
    /// <summary>RFC 7348.</summary>
    public static EquatableArray<OuterPacket> Vxlan(ushort port) => [new((byte)IpProtocol.Udp, port, "VXLAN")];

    /// <summary>IPv4 in either family (protocol 4, RFC 2003 and 2473), and IPv6 in either (41, RFC 4213 and 2473).</summary>
    public static EquatableArray<OuterPacket> IpInIp { get; } = [new(4, null, "IP-in-IP"), new(41, null, "IP-in-IP")];
}

/// <summary>What does not change in the life of a projection.</summary>
/// <param name="Masquerade">Traffic from pods to addresses outside the pod network takes the node's address.</param>
/// <param name="IsolateByDefault"><c>policy.default: deny</c>: a pod that no policy selects accepts and sends nothing.</param>
/// <param name="RevokeEstablished">Packets of connections with <see cref="RevokedMark"/> are dropped.</param>
public sealed record RulesetOptions(bool Masquerade = true, bool IsolateByDefault = false, bool RevokeEstablished = true)
{
    /// <summary>What packets of the nodes' tunnels are from outside: taken only from nodes' addresses, and never sent to nodes by pods. Empty: there are no tunnels.</summary>
    public EquatableArray<OuterPacket> Tunnels { get; init; } = OuterPacket.Vxlan(4789);

    /// <summary>First characters of the host's end of every pod's interface pair: rules match <c>ovl*</c>.</summary>
    public const string PodInterfacePrefix = "ovl";

    /// <summary>The one bit of <c>ct mark</c> that is ours: policy allowed the connection once and forbids it now. Other bits are whoever's, and stay as they are.</summary>
    public const uint RevokedMark = 0x20000000;
}

/// <summary>Prefixes of the pod network.</summary>
/// <param name="Local">This node's podCIDRs.</param>
/// <param name="All">Every node's podCIDRs, this node's included.</param>
public sealed record PodNetwork(EquatableArray<Cidr> Local, EquatableArray<Cidr> All);
