namespace Overlay.PolicyEngine.Model;

/// <summary>Direction seen from the selected pod.</summary>
public enum Direction : byte
{
    /// <summary>Towards the pod.</summary>
    Ingress,

    /// <summary>From the pod.</summary>
    Egress,
}

/// <summary>
/// networking.k8s.io/v1 NetworkPolicy in one normal form, in which absence carries no meaning: policyTypes are resolved,
/// an absent or empty <c>from</c>/<c>to</c> is <see cref="Peer.Any"/>, absent or empty <c>ports</c> is <see cref="PortMatch.Any"/>.
/// </summary>
/// <param name="Name">Namespace and name.</param>
/// <param name="PodSelector">Pods of the namespace it applies to.</param>
/// <param name="Ingress">Rules for traffic to the pods; null when the policy does not isolate for ingress; empty isolates and allows nothing.</param>
/// <param name="Egress">Rules for traffic from the pods; null when the policy does not isolate for egress; empty isolates and allows nothing.</param>
public sealed record NetworkPolicy(
    NamespacedName Name,
    LabelSelector PodSelector,
    EquatableArray<PolicyRule>? Ingress,
    EquatableArray<PolicyRule>? Egress)
{
    /// <summary>The rules of one direction, or null when the policy does not isolate for it.</summary>
    public EquatableArray<PolicyRule>? Rules(Direction direction) => direction == Direction.Ingress ? Ingress : Egress;
}

/// <summary>One rule: allows traffic that matches one of the peers and one of the ports. An empty list matches nothing.</summary>
/// <param name="Peers">Alternatives for the other end.</param>
/// <param name="Ports">Alternatives for the destination port.</param>
public sealed record PolicyRule(EquatableArray<Peer> Peers, EquatableArray<PortMatch> Ports);

/// <summary>The other end of a rule (NetworkPolicyPeer). A closed family.</summary>
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
