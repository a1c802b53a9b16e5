namespace Overlay.PolicyEngine.Model;

/// <summary>Direction seen from the selected pod.</summary>
public enum Direction : byte
{
    /// <summary>Towards the pod.</summary>
    Ingress,

    /// <summary>From the pod.</summary>
    Egress,
}

/// <summary>The levels at which policies are evaluated, in this order.</summary>
public enum Tier : byte
{
    /// <summary>ClusterNetworkPolicy of <c>tier: Admin</c>: before everything else.</summary>
    Admin,

    /// <summary>NetworkPolicy: decides finally for the pods that it isolates.</summary>
    NetworkPolicy,

    /// <summary>ClusterNetworkPolicy of <c>tier: Baseline</c>: for pods that no NetworkPolicy isolates.</summary>
    Baseline,
}

/// <summary>What a rule does with the traffic that it matches.</summary>
public enum RuleAction : byte
{
    /// <summary>Allowed; nothing further is asked in this direction.</summary>
    Accept,

    /// <summary>Denied; nothing further is asked.</summary>
    Deny,

    /// <summary>The rest of the tier is skipped; the next tier decides.</summary>
    Pass,
}

/// <summary>
/// networking.k8s.io/v1 NetworkPolicy and policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy in one normal form, in which absence carries no meaning:
/// policyTypes are resolved, an absent or empty <c>from</c>/<c>to</c> of a NetworkPolicy is <see cref="Peer.Any"/>, absent ports are <see cref="PortMatch.Any"/>.
/// A NetworkPolicy is of <see cref="Tier.NetworkPolicy"/>, its rules all accept, and what none of them matches is denied. A ClusterNetworkPolicy is of one of the
/// other tiers, and its first rule that matches decides.
/// </summary>
/// <param name="Name">Namespace and name; the namespace of a ClusterNetworkPolicy is empty.</param>
/// <param name="Tier">When it is asked.</param>
/// <param name="Priority">0 to 1000, lower first within a tier, then by name; 0 for a NetworkPolicy.</param>
/// <param name="Subject">The pods it applies to.</param>
/// <param name="Ingress">Rules for traffic to the pods; null when it has no say in that. An empty NetworkPolicy isolates and allows nothing.</param>
/// <param name="Egress">Rules for traffic from the pods; null when it has no say in that.</param>
public sealed record Policy(
    NamespacedName Name,
    Tier Tier,
    int Priority,
    Selector Subject,
    EquatableArray<PolicyRule>? Ingress,
    EquatableArray<PolicyRule>? Egress)
{
    /// <summary>The order in which policies are asked: by tier, priority and name.</summary>
    public static Comparer<Policy> AsEvaluated { get; } = Comparer<Policy>.Create((left, right) =>
        left.Tier != right.Tier ? left.Tier.CompareTo(right.Tier)
        : left.Priority != right.Priority ? left.Priority.CompareTo(right.Priority)
        : left.Name.CompareTo(right.Name));

    /// <summary>A rule that denies everything.</summary>
    public static PolicyRule DenyAll { get; } = new([new Peer.Any()], [new PortMatch.Any()], RuleAction.Deny);

    /// <summary>A NetworkPolicy: arguments as those of the record.</summary>
    public static Policy Namespaced(NamespacedName name, LabelSelector podSelector, EquatableArray<PolicyRule>? ingress, EquatableArray<PolicyRule>? egress) =>
        new(name, Tier.NetworkPolicy, 0, Selector.Within(name.Namespace, podSelector), ingress, egress);

    /// <summary>The rules of one direction, or null when the policy has no say in it.</summary>
    public EquatableArray<PolicyRule>? Rules(Direction direction) => direction == Direction.Ingress ? Ingress : Egress;

    /// <summary>Whether a namespace's labels must be known to tell if the policy selects its pods, in a direction that it has a say in.</summary>
    public bool AsksForNamespaceLabels(Direction direction) => Rules(direction) is not null && Subject.Namespace is null && Subject.AsksForNamespaceLabels;

    /// <summary>What stands in for the policy when it cannot be enforced: in the directions it has a say in, the pods it selects are isolated and nothing is allowed.</summary>
    public Policy Isolating()
    {
        EquatableArray<PolicyRule> nothing = Tier == Tier.NetworkPolicy ? [] : [DenyAll];
        return this with { Ingress = Ingress is null ? null : nothing, Egress = Egress is null ? null : nothing };
    }
}

/// <summary>One rule: for traffic that matches one of the peers and one of the ports. An empty list matches nothing.</summary>
/// <param name="Peers">Alternatives for the other end.</param>
/// <param name="Ports">Alternatives for the destination port.</param>
/// <param name="Action">What it does with it.</param>
/// <param name="Name">How its author calls it; empty for none.</param>
public sealed record PolicyRule(EquatableArray<Peer> Peers, EquatableArray<PortMatch> Ports, RuleAction Action = RuleAction.Accept, string Name = "");

/// <summary>The other end of a rule (NetworkPolicyPeer, ClusterNetworkPolicyEgressPeer). A closed family.</summary>
public abstract record Peer
{
    private Peer()
    {
    }

    /// <summary>Every address, inside or outside the cluster.</summary>
    public sealed record Any : Peer;

    /// <summary>Pods by labels, never host-network pods.</summary>
    /// <param name="NamespaceSelector">Namespaces of the pods; null means the policy's own namespace.</param>
    /// <param name="PodSelector">Pods within them.</param>
    public sealed record Pods(LabelSelector? NamespaceSelector, LabelSelector PodSelector) : Peer;

    /// <summary>Addresses, wherever they live; also pods' addresses.</summary>
    /// <param name="Cidr">Allowed prefix, host bits cleared.</param>
    /// <param name="Except">Prefixes within it that are not allowed, host bits cleared.</param>
    public sealed record IPBlock(Cidr Cidr, EquatableArray<Cidr> Except) : Peer;

    /// <summary>The addresses of nodes, by the nodes' labels.</summary>
    /// <param name="Selector">Selects nodes.</param>
    public sealed record Nodes(LabelSelector Selector) : Peer;
}

/// <summary>A destination port of a rule (NetworkPolicyPort). A closed family.</summary>
public abstract record PortMatch
{
    private PortMatch()
    {
    }

    /// <summary>Every protocol and port, ICMP included.</summary>
    public sealed record Any : PortMatch;

    /// <summary>Ports by number; 0 to 65535 stands for every port of the protocol.</summary>
    /// <param name="Protocol">Only this protocol.</param>
    /// <param name="First">First port, inclusive.</param>
    /// <param name="Last">Last port, inclusive, at least <paramref name="First"/>.</param>
    public sealed record Numeric(IpProtocol Protocol, ushort First, ushort Last) : PortMatch;

    /// <summary>A port by name, resolved at each destination pod for itself; addresses that are no pod's have none.</summary>
    /// <param name="Protocol">Only this protocol.</param>
    /// <param name="Name">Name of the container port.</param>
    public sealed record Named(IpProtocol Protocol, string Name) : PortMatch;
}
