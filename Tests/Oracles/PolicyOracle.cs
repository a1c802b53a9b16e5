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

/// <summary>A flow as the policies of one of its ends see it.</summary>
/// <param name="Flow">The flow.</param>
/// <param name="Direction"><c>Ingress</c> or <c>Egress</c>.</param>
/// <param name="Pod">The end whose policies are asked.</param>
/// <param name="OtherPod">The pod at the other end; null when there is none.</param>
public sealed record FlowEnd(Flow Flow, string Direction, V1Pod Pod, V1Pod? OtherPod)
{
    /// <summary>Address of the other end.</summary>
    public IPAddress OtherAddress => Direction == "Ingress" ? Flow.Source : Flow.Destination;

    /// <summary>The pod that it reaches: what port names are resolved at.</summary>
    public V1Pod? Target => Direction == "Ingress" ? Pod : OtherPod;

    /// <summary>Whether the flow reaches the port that its target pod has under this name, with the same protocol, whatever its number there.</summary>
    public bool ReachesNamedPort(string name) => Target is not null && ClusterObjects.ContainerPorts(Target).Any(named =>
        named.Name == name && (named.Protocol ?? "TCP") == Flow.Protocol && named.ContainerPort == Flow.Port);

    public override string ToString() => $"{Pod.Namespace()}/{Pod.Name()} {Direction.ToLowerInvariant()}";
}

/// <summary>
/// Judges the first packet of a flow as the texts of the two APIs say (quoted at <see cref="NetworkPolicyTier"/> and <see cref="ClusterNetworkPolicyTier"/>), and as
/// DESIGN section 3 says where they leave it open. It reads typed objects and shares nothing with the PolicyEngine, neither parser nor model: that is its point.
/// It is slow and plain on purpose: every question is answered by walking all objects.
/// </summary>
public sealed class PolicyOracle(ClusterObjects cluster, bool isolateByDefault = false)
{
    private readonly NetworkPolicyTier _networkPolicies = new(cluster);
    private readonly ClusterNetworkPolicyTier _admin = new(cluster, "Admin");
    private readonly ClusterNetworkPolicyTier _baseline = new(cluster, "Baseline");

    /// <summary>Judges a flow by the addresses and the port on the wire.</summary>
    public FlowJudgement Judge(Flow flow)
    {
        var (source, destination) = (flow.Source, flow.Destination);
        var (from, to) = (cluster.PodAt(source), cluster.PodAt(destination));
        if (from is not null && ReferenceEquals(from, to))
            return new(WithinTheNode(new(flow, "Egress", from, to)), WithinTheNode(new(flow, "Ingress", from, to)));
        if (to is not null && cluster.IsOwnNode(to, source))
            return Both(new(true, "what its own node sends to a pod is always allowed"));
        return new(
            from is null ? NotOurs(source) : cluster.IsOwnNode(from, destination) ? WithinTheNode(new(flow, "Egress", from, null)) : Direction(new(flow, "Egress", from, to)),
            to is null ? NotOurs(destination) : Direction(new(flow, "Ingress", to, from)));

        static FlowJudgement Both(Judgement judgement) => new(judgement, judgement);
        static Judgement NotOurs(IPAddress address) => new(true, $"{address} is no pod's, or a host-network pod's, so no policy selects it");
    }

    // "Policy tiers are evaluated in the following order: Admin tier, NetworkPolicy tier, Baseline tier." "If a given connection wasn't allowed or denied by any of the
    //  tiers, the default kubernetes policy is applied, which says that all pods can communicate with each other."
    private Judgement Direction(FlowEnd end) =>
        OfUnknownNamespace(end)
        ?? _admin.Judge(end)
        ?? _networkPolicies.Judge(end)
        ?? _baseline.Judge(end)
        ?? (isolateByDefault ? new(false, $"no policy decides for {end}, and policy.default is deny") : new(true, $"no policy decides for {end}"));

    // NetworkPolicy: "Traffic to and from the node where a Pod is running is always allowed." ClusterNetworkPolicy says no such thing. Where a NetworkPolicy isolates,
    // it "always makes a final decision for selected pods", so what it allows here is out of Baseline's reach.
    //  A pod that reaches itself: NetworkPolicy allows that always; to ClusterNetworkPolicy "A Pod connecting to a Service IP that the service proxy load-balances back to the same
    //  Pod is subject"; by its own address it is not, but such packets never leave the pod.
    private Judgement WithinTheNode(FlowEnd end) =>
        OfUnknownNamespace(end)
        ?? _admin.Judge(end)
        ?? (_networkPolicies.Isolates(end) ? new Judgement(true, "to a NetworkPolicy, a pod's own node and the pod itself are always allowed") : null)
        ?? _baseline.Judge(end)
        ?? new(true, $"no cluster policy decides for {end} to its own node or itself");

    // Whether a policy means a pod is not known while the labels that it asks for are not: nothing is opened until they are.
    private Judgement? OfUnknownNamespace(FlowEnd end) => _admin.DependsOnUnknown(end) ?? _baseline.DependsOnUnknown(end);
}
