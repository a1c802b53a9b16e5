namespace Overlay.Tests.Oracles;

/// <summary>
/// What the API server refuses in a ClusterNetworkPolicy (the validation rules of its CRD), and what an object that should have been refused means instead. A
/// folder of manifests has no API server in front of it, and a cluster may have a newer CRD than we know.
/// </summary>
public static class ClusterNetworkPolicyRules
{
    private const int MaxItems = 25;

    /// <summary>The tier: Admin when it cannot be read.</summary>
    public static string Tier(ClusterNetworkPolicy policy) => policy.Spec?.Tier == "Baseline" ? "Baseline" : "Admin";

    /// <summary>The priority: 0 when it cannot be read.</summary>
    public static int Priority(ClusterNetworkPolicy policy) => policy.Spec?.Priority is >= 0 and <= 1000 and var priority ? priority : 0;

    /// <summary>Whether the policy has a say in a direction. "CNPs with no ingress rules do not affect ingress traffic"; but one that is wrong affects whatever it may have meant.</summary>
    public static bool Affects(ClusterNetworkPolicy policy, string direction) =>
        Rules(policy, direction).Count > 0
        || (Violation(policy) is not null && (policy.Spec?.Unknown is not null || (Rules(policy, "Ingress").Count == 0 && Rules(policy, "Egress").Count == 0)));

    /// <summary>The rules of a direction, in order.</summary>
    public static IReadOnlyList<ClusterNetworkPolicyRule> Rules(ClusterNetworkPolicy policy, string direction) =>
        direction == "Ingress" ? [.. policy.Spec?.Ingress ?? []] : [.. policy.Spec?.Egress ?? []];

    /// <summary>The requirements on the namespace and on the pod that the subject makes, of which those that cannot be understood are left out.</summary>
    public static (IReadOnlyList<LabelRequirement> Namespaces, IReadOnlyList<LabelRequirement> Pods) Subject(ClusterNetworkPolicy policy)
    {
        var subject = policy.Spec?.Subject;
        return subject is { Namespaces: not null, Pods: not null }
            ? ([], [])
            : (Understood(subject?.Namespaces ?? subject?.Pods?.NamespaceSelector), Understood(subject?.Pods?.PodSelector));
    }

    /// <summary>The first thing wrong outside of the rules, or null. Such a policy denies everything.</summary>
    public static string? Violation(ClusterNetworkPolicy policy)
    {
        if (policy.Spec is not { } spec)
            return "no spec";
        return Unknown(policy) ?? Unknown(spec)
            ?? (spec.Tier is not ("Admin" or "Baseline") ? $"tier {spec.Tier}" : null)
            ?? (spec.Priority is not (>= 0 and <= 1000) ? $"priority {spec.Priority}" : null)
            ?? (spec.Ingress is { Count: > MaxItems } || spec.Egress is { Count: > MaxItems } ? "more than 25 rules" : null)
            ?? (spec.Subject is null ? "no subject" : Unknown(spec.Subject) ?? PodsOrNamespaces(spec.Subject.Namespaces, spec.Subject.Pods));
    }

    /// <summary>The first thing wrong with a rule, or null.</summary>
    public static string? Violation(ClusterNetworkPolicyRule rule)
    {
        if (Unknown(rule) is { } unknown)
            return unknown;
        if (rule.Action is not ("Accept" or "Deny" or "Pass"))
            return $"action {rule.Action}";
        if (rule.Name is { Length: > 100 })
            return "a name of more than 100 characters";
        if (rule.Peers is not { Count: > 0 and <= MaxItems })
            return "no peers, or more than 25";
        if (rule.Protocols is { Count: 0 or > MaxItems })
            return "no protocols, or more than 25";

        // "You can't use this in a rule that targets resources without named ports (e.g. Nodes or Networks)."
        if ((rule.Protocols ?? []).Any(protocol => protocol.DestinationNamedPort is not null) && rule.Peers.Any(peer => peer is ClusterNetworkPolicyEgressPeer { Pods: null, Namespaces: null }))
            return "destinationNamedPort together with networks or nodes";
        return rule.Peers.Select(Peer).Concat((rule.Protocols ?? []).Select(Protocol)).FirstOrDefault(violation => violation is not null);
    }

    private static string? Unknown(ClusterNetworkPolicyPart part) => part.Unknown is { } fields ? $"unknown field {string.Join(", ", fields.Keys)}" : null;

    private static IReadOnlyList<LabelRequirement> Understood(PolicyLabelSelector? selector) => [.. LabelRequirement.Of(selector).Where(requirement => requirement.Violation is null)];

    // "Exactly one of the fields must be set for a given peer"
    private static string? Peer(ClusterNetworkPolicyPeer peer)
    {
        if (Unknown(peer) is { } unknown)
            return unknown;
        if (peer is not ClusterNetworkPolicyEgressPeer egress || egress is { Nodes: null, Networks: null, DomainNames: null })
            return PodsOrNamespaces(peer.Namespaces, peer.Pods);
        if (((object?[])[egress.Namespaces, egress.Pods, egress.Nodes, egress.Networks, egress.DomainNames]).Count(field => field is not null) != 1)
            return "a peer of more than one kind";
        if (egress.DomainNames is not null)
            return "domainNames, which we do not support";
        if (egress.Nodes is not null)
            return Selector(egress.Nodes);
        return egress.Networks is { Count: > 0 and <= MaxItems } networks && networks.All(network => Prefix.TryParse(network, out _)) ? null : $"networks {string.Join(", ", egress.Networks!)}";
    }

    private static string? PodsOrNamespaces(PolicyLabelSelector? namespaces, ClusterNetworkPolicyNamespacedPod? pods)
    {
        if (namespaces is null == pods is null)
            return "neither of namespaces and pods, or both";
        if (namespaces is not null)
            return Selector(namespaces);
        return Unknown(pods!)
            ?? (pods!.PodSelector is null ? "pods without podSelector" : Selector(pods.NamespaceSelector) ?? Selector(pods.PodSelector));
    }

    // namespaceSelector is optional; "if empty, it selects all Namespaces".
    private static string? Selector(PolicyLabelSelector? selector) => selector is null ? null :
        ((IEnumerable<ClusterNetworkPolicyPart>)[selector, .. selector.MatchExpressions ?? []]).Select(Unknown)
            .Concat(LabelRequirement.Of(selector).Select(requirement => requirement.Violation)).FirstOrDefault(violation => violation is not null);

    private static string? Protocol(ClusterNetworkPolicyProtocol protocol)
    {
        if (Unknown(protocol) is { } unknown)
            return unknown;
        if (((object?[])[protocol.Tcp, protocol.Udp, protocol.Sctp, protocol.DestinationNamedPort]).Count(field => field is not null) != 1)
            return "a protocol of no kind, or of more than one";
        return (protocol.Tcp ?? protocol.Udp ?? protocol.Sctp) is { } ports ? Unknown(ports) ?? Port(ports.DestinationPort) : null;
    }

    private static string? Port(ClusterNetworkPolicyPort? port) => port switch
    {
        // +kubebuilder:validation:MinProperties=1 of …TCP, …UDP and …SCTP, of which this is the only field.
        null => "a protocol without destinationPort",
        _ when Unknown(port) is { } unknown => unknown,
        { Number: >= 1 and <= 65535, Range: null } => null,
        { Number: null, Range: { Start: >= 1 and var start, End: <= 65535 and var end } range } when start < end => Unknown(range),
        _ => $"port {port.Number} {port.Range?.Start}-{port.Range?.End}",
    };
}
