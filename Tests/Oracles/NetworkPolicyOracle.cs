using System.Net;
using k8s.Models;

namespace Overlay.Tests.Oracles;

/// <summary>What one direction of a flow gets, and why, in words for a failure message.</summary>
public sealed record Judgement(bool Allowed, string Reason)
{
    public override string ToString() => $"{(Allowed ? "allowed" : "denied")}: {Reason}";
}

/// <summary>What a flow gets. Only a flow allowed at both ends passes.</summary>
public sealed record FlowJudgement(Judgement Egress, Judgement Ingress)
{
    public bool Allowed => Egress.Allowed && Ingress.Allowed;

    public override string ToString() => $"egress {Egress}; ingress {Ingress}";
}

/// <summary>
/// Judges the first packet of a flow as the API text of networking.k8s.io/v1 NetworkPolicy says (the quotations below), and as DESIGN section 3 says where
/// the API leaves it open. It reads KubernetesClient's typed objects and shares nothing with the PolicyEngine, neither parser nor model: that is its point.
/// It is slow and plain on purpose: every question is answered by walking all objects.
/// </summary>
public sealed class NetworkPolicyOracle(ClusterObjects cluster, bool isolateByDefault = false)
{
    /// <summary>Judges a flow by the addresses and the port on the wire.</summary>
    public FlowJudgement Judge(Flow flow)
    {
        var (source, destination) = (flow.Source, flow.Destination);
        var (from, to) = (cluster.PodAt(source), cluster.PodAt(destination));
        if (from is not null && ReferenceEquals(from, to))
            return Both(new(true, "a pod may always reach itself"));
        if ((from is not null && cluster.IsOwnNode(from, destination)) || (to is not null && cluster.IsOwnNode(to, source)))
            return Both(new(true, "traffic between a pod and its own node is always allowed"));
        return new(
            from is null ? NotOurs(source) : Direction(from, "Egress", destination, to, new(flow, to)),
            to is null ? NotOurs(destination) : Direction(to, "Ingress", source, from, new(flow, to)));

        static FlowJudgement Both(Judgement judgement) => new(judgement, judgement);
        static Judgement NotOurs(IPAddress address) => new(true, $"{address} is no pod's, or a host-network pod's, so no policy selects it");
    }

    /// <summary>The policies that select <paramref name="pod"/> and have the given policy type.</summary>
    public IEnumerable<V1NetworkPolicy> Selecting(V1Pod pod, string direction) => cluster.Policies.Where(policy =>
        policy.Namespace() == pod.Namespace()
        && Types(policy).Contains(direction)
        && (NetworkPolicyRules.SelectorViolation(policy) is not null || Matches(policy.Spec.PodSelector, pod.Labels())));

    private Judgement Direction(V1Pod pod, string direction, IPAddress otherAddress, V1Pod? otherPod, Target target)
    {
        var selecting = Selecting(pod, direction).ToList();
        if (selecting.Count == 0)
        {
            return isolateByDefault
                ? new(false, $"no policy selects {pod.Namespace()}/{pod.Name()} for {direction}, and policy.default is deny")
                : new(true, $"no policy selects {pod.Namespace()}/{pod.Name()} for {direction}");
        }

        // "Network policies do not conflict; they are additive."
        foreach (var policy in selecting.Where(policy => !Rejected(policy)))
        {
            var rules = Rules(policy, direction);
            for (var i = 0; i < rules.Count; i++)
            {
                if (target.MatchesPorts(rules[i].Ports) && MatchesPeers(policy, rules[i].Peers, otherAddress, otherPod))
                    return new(true, $"{policy.Namespace()}/{policy.Name()} {direction.ToLowerInvariant()}[{i}]");
            }
        }

        return new(false, $"{pod.Namespace()}/{pod.Name()} is isolated for {direction} by {string.Join(", ", selecting.Select(p => p.Name()))}, and none of their rules matches");
    }

    private static List<(IList<V1NetworkPolicyPeer>? Peers, IList<V1NetworkPolicyPort>? Ports)> Rules(V1NetworkPolicy policy, string direction) => direction == "Ingress"
        ? [.. (policy.Spec.Ingress ?? []).Select(rule => (rule.FromProperty, rule.Ports))]
        : [.. (policy.Spec.Egress ?? []).Select(rule => (rule.To, rule.Ports))];

    // "If this field is not specified, it will default based on the existence of ingress or egress rules; policies that contain an egress section are
    //  assumed to affect egress, and all policies (whether or not they contain an ingress section) are assumed to affect ingress."
    // A default is made from the rules, so an empty egress list does not turn egress on (SetDefaults_NetworkPolicy: len(Egress) != 0).
    private static IReadOnlyCollection<string> Types(V1NetworkPolicy policy)
    {
        var types = policy.Spec?.PolicyTypes ?? [];

        // A rejected policy isolates for everything it may have meant (DESIGN section 3: "it never opens them").
        if (policy.Spec is null || types.Any(type => type is not ("Ingress" or "Egress")))
            return ["Ingress", "Egress"];
        if (types.Count > 0)
            return [.. types];
        var isAboutEgress = Rejected(policy) ? policy.Spec.Egress is not null : policy.Spec.Egress is { Count: > 0 };
        return isAboutEgress ? ["Ingress", "Egress"] : ["Ingress"];
    }

    private static bool Rejected(V1NetworkPolicy policy) => NetworkPolicyRules.Violation(policy) is not null;

    // "from ... Items in this list are combined using a logical OR operation. If this field is empty or missing, this rule matches all sources."
    private bool MatchesPeers(V1NetworkPolicy policy, IList<V1NetworkPolicyPeer>? peers, IPAddress address, V1Pod? pod) =>
        peers is not { Count: > 0 } || peers.Any(peer => MatchesPeer(policy, peer, address, pod));

    private bool MatchesPeer(V1NetworkPolicy policy, V1NetworkPolicyPeer peer, IPAddress address, V1Pod? pod)
    {
        // "ipBlock defines policy on a particular IPBlock. If this field is set then neither of the other fields can be."
        if (peer.IpBlock is { } block)
            return Prefix.Contains(block.Cidr, address) && !(block.Except ?? []).Any(except => Prefix.Contains(except, address));
        if (pod is null)
            return false;

        // "namespaceSelector selects namespaces using cluster-scoped labels. This field follows standard label selector semantics; if present but empty, it
        //  selects all namespaces. If podSelector is also set, then the NetworkPolicyPeer as a whole selects the pods matching podSelector in the namespaces
        //  selected by namespaceSelector. Otherwise it selects all pods in the namespaces selected by namespaceSelector."
        // "podSelector ... Otherwise it selects the pods matching podSelector in the policy's own namespace."
        var inNamespace = peer.NamespaceSelector is { } selector
            ? cluster.NamespaceLabels(pod.Namespace()) is { } labels && Matches(selector, labels)
            : pod.Namespace() == policy.Namespace();
        return inNamespace && (peer.PodSelector is null || Matches(peer.PodSelector, pod.Labels()));
    }

    // metav1 LabelSelector: "The result of matchLabels and matchExpressions are ANDed. An empty label selector matches all objects."
    private static bool Matches(V1LabelSelector? selector, IDictionary<string, string>? labels)
    {
        labels ??= new Dictionary<string, string>();
        return (selector?.MatchLabels ?? new Dictionary<string, string>()).All(pair => labels.TryGetValue(pair.Key, out var value) && value == pair.Value)
            && (selector?.MatchExpressions ?? []).All(expression => expression.OperatorProperty switch
            {
                "In" => labels.TryGetValue(expression.Key, out var value) && expression.Values.Contains(value),
                "NotIn" => !labels.TryGetValue(expression.Key, out var value) || !expression.Values.Contains(value),
                "Exists" => labels.ContainsKey(expression.Key),
                "DoesNotExist" => !labels.ContainsKey(expression.Key),
                _ => throw new InvalidOperationException($"Operator {expression.OperatorProperty} should have been rejected."),
            });
    }

    /// <summary>A flow and the pod that it reaches: what port names are resolved at.</summary>
    private sealed record Target(Flow Flow, V1Pod? Pod)
    {
        // "ports ... If this field is empty or missing, this rule matches all ports (traffic not restricted by port)." ICMP has no port: only such a rule lets it pass.
        public bool MatchesPorts(IList<V1NetworkPolicyPort>? ports) => ports is not { Count: > 0 } || (Flow.Protocol != "ICMP" && ports.Any(Matches));

        private bool Matches(V1NetworkPolicyPort rule)
        {
            // "protocol represents the protocol (TCP, UDP, or SCTP) which traffic must match. If not specified, this field defaults to TCP."
            if ((rule.Protocol ?? "TCP") != Flow.Protocol)
                return false;

            // "port ... If this field is not provided, this matches all port names and numbers."
            if (rule.Port?.Value is not { } port)
                return true;

            // "endPort indicates that the range of ports from port to endPort if set, inclusive, should be allowed by the policy."
            if (int.TryParse(port, out var first))
                return Flow.Port >= first && Flow.Port <= (rule.EndPort ?? first);

            // A name means that port of the destination pod, whatever its number there, with the same protocol.
            return Pod is not null && ClusterObjects.ContainerPorts(Pod).Any(named =>
                named.Name == port && (named.Protocol ?? "TCP") == Flow.Protocol && named.ContainerPort == Flow.Port);
        }
    }
}
