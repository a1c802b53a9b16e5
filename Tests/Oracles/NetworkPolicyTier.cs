using System.Net;
using k8s.Models;

namespace Overlay.Tests.Oracles;

/// <summary>networking.k8s.io/v1 NetworkPolicy, as its API text says: the quotations below.</summary>
public sealed class NetworkPolicyTier(ClusterObjects cluster)
{
    /// <summary>Whether some policy isolates the end's pod in its direction.</summary>
    public bool Isolates(FlowEnd end) => Selecting(end).Any();

    /// <summary>What becomes of the flow, or null when no policy isolates the pod in this direction: "v1.NetworkPolicy always makes a final decision for selected pods."</summary>
    public Judgement? Judge(FlowEnd end)
    {
        var selecting = Selecting(end).ToList();
        if (selecting.Count == 0)
            return null;

        // "Network policies do not conflict; they are additive."
        foreach (var policy in selecting.Where(policy => !Rejected(policy)))
        {
            var rules = Rules(policy, end.Direction);
            for (var i = 0; i < rules.Count; i++)
            {
                if (MatchesPorts(rules[i].Ports, end) && MatchesPeers(policy, rules[i].Peers, end))
                    return new(true, $"{policy.Namespace()}/{policy.Name()} {end.Direction.ToLowerInvariant()}[{i}]");
            }
        }

        return new(false, $"{end} is isolated by {string.Join(", ", selecting.Select(policy => policy.Name()))}, and none of their rules matches");
    }

    // The policies that select the pod and have the direction among their policy types.
    private IEnumerable<V1NetworkPolicy> Selecting(FlowEnd end) => cluster.Policies.Where(policy =>
        policy.Namespace() == end.Pod.Namespace()
        && Types(policy).Contains(end.Direction)
        && (NetworkPolicyRules.SelectorViolation(policy) is not null || Matches(policy.Spec.PodSelector, end.Pod.Labels())));

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
    private bool MatchesPeers(V1NetworkPolicy policy, IList<V1NetworkPolicyPeer>? peers, FlowEnd end) =>
        peers is not { Count: > 0 } || peers.Any(peer => peer.IpBlock is null && MatchesSelectors(policy, peer, end)) || MatchesBlocks(peers, end.OtherAddress);

    private bool MatchesSelectors(V1NetworkPolicy policy, V1NetworkPolicyPeer peer, FlowEnd end)
    {
        if (end.OtherPod is not { } pod)
            return false;

        // "namespaceSelector selects namespaces using cluster-scoped labels. This field follows standard label selector semantics; if present but empty, it
        //  selects all namespaces. If podSelector is also set, then the NetworkPolicyPeer as a whole selects the pods matching podSelector in the namespaces
        //  selected by namespaceSelector. Otherwise it selects all pods in the namespaces selected by namespaceSelector."
        // "podSelector ... Otherwise it selects the pods matching podSelector in the policy's own namespace."
        var inNamespace = peer.NamespaceSelector is { } selector
            ? cluster.IsInNamespace(LabelRequirement.Of(selector), pod)
            : pod.Namespace() == policy.Namespace();
        return inNamespace && (peer.PodSelector is null || Matches(peer.PodSelector, pod.Labels()));
    }

    // "ipBlock defines policy on a particular IPBlock. If this field is set then neither of the other fields can be." A node's address on the tunnel is in when it
    // or another address of the node is, and out when one of these is excepted, and not let back in by another block.
    private bool MatchesBlocks(IList<V1NetworkPolicyPeer> peers, IPAddress address)
    {
        var blocks = peers.Select(peer => peer.IpBlock).OfType<V1IPBlock>().ToList();
        var others = cluster.BehindTunnel(address).ToList();
        return others.Prepend(address).Any(Contained)
            && !others.Any(other => !Contained(other) && blocks.SelectMany(block => block.Except ?? []).Any(except => Prefix.Contains(except, other)));

        bool Contained(IPAddress one) => blocks.Any(block => Prefix.Contains(block.Cidr, one) && !(block.Except ?? []).Any(except => Prefix.Contains(except, one)));
    }

    private static bool Matches(V1LabelSelector? selector, IDictionary<string, string>? labels) => LabelRequirement.Of(selector).All(requirement => requirement.Holds(labels));

    // "ports ... If this field is empty or missing, this rule matches all ports (traffic not restricted by port)." ICMP has no port: only such a rule lets it pass.
    private static bool MatchesPorts(IList<V1NetworkPolicyPort>? ports, FlowEnd end) => ports is not { Count: > 0 } || (end.Flow.Protocol != "ICMP" && ports.Any(port => MatchesPort(port, end)));

    private static bool MatchesPort(V1NetworkPolicyPort rule, FlowEnd end)
    {
        // "protocol represents the protocol (TCP, UDP, or SCTP) which traffic must match. If not specified, this field defaults to TCP."
        if ((rule.Protocol ?? "TCP") != end.Flow.Protocol)
            return false;

        // "port ... If this field is not provided, this matches all port names and numbers."
        if (rule.Port?.Value is not { } port)
            return true;

        // "endPort indicates that the range of ports from port to endPort if set, inclusive, should be allowed by the policy."
        return int.TryParse(port, out var first) ? end.Flow.Port >= first && end.Flow.Port <= (rule.EndPort ?? first) : end.ReachesNamedPort(port);
    }
}
