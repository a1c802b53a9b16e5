using k8s.Models;

namespace Overlay.Tests.Oracles;

/// <summary>One tier of policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy, as its API text says: the quotations below.</summary>
/// <param name="cluster">The cluster.</param>
/// <param name="tier"><c>Admin</c> or <c>Baseline</c>.</param>
public sealed class ClusterNetworkPolicyTier(ClusterObjects cluster, string tier)
{
    /// <summary>What becomes of the flow, or null when the tier leaves it to the next one.</summary>
    public Judgement? Judge(FlowEnd end)
    {
        // "Policies with lower priority values have higher precedence"; at the same priority "the implementation can apply any": here, the first by name.
        var policies = cluster.ClusterPolicies
            .Where(policy => ClusterNetworkPolicyRules.Tier(policy) == tier && ClusterNetworkPolicyRules.Affects(policy, end.Direction) && IsSubject(policy, end.Pod))
            .OrderBy(ClusterNetworkPolicyRules.Priority).ThenBy(policy => policy.Name(), StringComparer.Ordinal).ToList();

        // Whether a peer's namespace has the labels that some rule asks for is not known: nothing is opened to it until it is.
        if (end.OtherPod is { } other && cluster.NamespaceLabels(other.Namespace()) is null && policies.Any(policy => PeersAskForLabels(policy, end.Direction)))
            return new(false, $"the namespace of {other.Namespace()}/{other.Name()} is not known, and peers of {tier} policies of {end} ask for its labels");
        foreach (var policy in policies)
        {
            if (ClusterNetworkPolicyRules.Violation(policy) is { } violation)
                return new(false, $"{policy.Name()} denies everything: {violation}");
            foreach (var (i, rule) in ClusterNetworkPolicyRules.Rules(policy, end.Direction).Index())
            {
                var name = $"{policy.Name()} {end.Direction.ToLowerInvariant()}[{i}]";
                if (ClusterNetworkPolicyRules.Violation(rule) is { } wrong)
                {
                    // "For "Accept" rules, "fail closed" means: "treat the rule as matching no traffic". For "Deny" and "Pass" rules, "fail closed" means: "treat the rule as a 'Deny all' rule"."
                    if (rule.Action == "Accept")
                        continue;
                    return new(false, $"{name} denies everything: {wrong}");
                }

                // "If any element matches the source of incoming traffic then the specified action is applied." "Thus, a rule that appears at the top ... would take the highest precedence."
                if (!MatchesProtocols(rule, end) || !rule.Peers!.Any(peer => MatchesPeer(peer, end)))
                    continue;

                // Pass: "Skips all further ClusterNetworkPolicy rules in the current tier for the selected traffic, and passes evaluation to the next tier."
                return rule.Action == "Pass" ? null : new(rule.Action == "Accept", $"{name}: {rule.Action}");
            }
        }

        return null;
    }

    /// <summary>Denied: the pod's namespace is not known, and whether it is the subject of some policy depends on the labels of that namespace. Else null.</summary>
    public Judgement? DependsOnUnknown(FlowEnd end) =>
        cluster.NamespaceLabels(end.Pod.Namespace()) is null
        && cluster.ClusterPolicies.FirstOrDefault(policy =>
            ClusterNetworkPolicyRules.Tier(policy) == tier && ClusterNetworkPolicyRules.Affects(policy, end.Direction) && AskForLabels(ClusterNetworkPolicyRules.Subject(policy).Namespaces)
            && ClusterNetworkPolicyRules.Subject(policy).Pods.All(requirement => requirement.Holds(end.Pod.Labels()))) is { } policy
            ? new(false, $"the namespace of {end} is not known, and the subject of {policy.Name()} asks for its labels")
            : null;

    private bool IsSubject(ClusterNetworkPolicy policy, V1Pod pod)
    {
        var (namespaces, pods) = ClusterNetworkPolicyRules.Subject(policy);
        return cluster.IsInNamespace(namespaces, pod) && pods.All(requirement => requirement.Holds(pod.Labels()));
    }

    private static bool PeersAskForLabels(ClusterNetworkPolicy policy, string direction) =>
        ClusterNetworkPolicyRules.Violation(policy) is null
        && ClusterNetworkPolicyRules.Rules(policy, direction).Where(rule => ClusterNetworkPolicyRules.Violation(rule) is null).SelectMany(rule => rule.Peers!)
            .Any(peer => AskForLabels(LabelRequirement.Of(peer.Namespaces ?? peer.Pods?.NamespaceSelector)));

    private static bool AskForLabels(IEnumerable<LabelRequirement> requirements) => requirements.Any(requirement => requirement.Key != LabelRequirement.NamespaceName);

    private bool MatchesPeer(ClusterNetworkPolicyPeer peer, FlowEnd end)
    {
        // "Namespaces defines a way to select all pods within a set of Namespaces." "Pods defines a way to select a set of pods in a set of namespaces."
        // "Note that host-networked pods are not included in this type of peer."
        if (peer.Namespaces is not null || peer.Pods is not null)
        {
            return end.OtherPod is { } pod
                && cluster.IsInNamespace(LabelRequirement.Of(peer.Namespaces ?? peer.Pods!.NamespaceSelector), pod)
                && LabelRequirement.Of(peer.Pods?.PodSelector).All(requirement => requirement.Holds(pod.Labels()));
        }

        var egress = (ClusterNetworkPolicyEgressPeer)peer;

        // "Networks defines a way to select peers via CIDR blocks. ... note that cluster-internal traffic will be checked against the rule as well."
        if (egress.Networks is { } networks)
            return cluster.BehindTunnel(end.OtherAddress).Prepend(end.OtherAddress).Any(address => networks.Any(network => Prefix.Contains(network, address)));

        // "It selects the nodeIPs as the peer type by matching on the IPs present in the node.Status.Addresses field of the node. ... if present but empty, it selects all Nodes."
        // A node's address on the tunnel is as much its own.
        return cluster.Nodes.Any(node =>
            (ClusterObjects.AllAddresses(node).Contains(end.OtherAddress) || ClusterObjects.TunnelAddresses(node).Contains(end.OtherAddress))
            && LabelRequirement.Of(egress.Nodes).All(requirement => requirement.Holds(node.Labels())));
    }

    // "If unspecified, protocol-specific attributes will not be used to match traffic": so ICMP too.
    private static bool MatchesProtocols(ClusterNetworkPolicyRule rule, FlowEnd end) => rule.Protocols is null || rule.Protocols.Any(protocol => Matches(protocol, end));

    private static bool Matches(ClusterNetworkPolicyProtocol protocol, FlowEnd end)
    {
        // "DestinationNamedPort selects a destination port on a pod based on the ContainerPort name." It names no protocol, so any of the three.
        if (protocol.DestinationNamedPort is { } name)
            return end.ReachesNamedPort(name);
        var ports = end.Flow.Protocol switch
        {
            "TCP" => protocol.Tcp,
            "UDP" => protocol.Udp,
            "SCTP" => protocol.Sctp,
            _ => null,
        };
        return ports?.DestinationPort switch
        {
            null => ports is not null,
            { Range: { } range } => end.Flow.Port >= range.Start && end.Flow.Port <= range.End,
            var port => end.Flow.Port == port.Number,
        };
    }
}
