using System.Globalization;
using Overlay.PolicyEngine.Model;

namespace Overlay.PolicyEngine.Explain;

/// <summary>Why one direction of a flow is allowed or denied.</summary>
public enum Ground : byte
{
    /// <summary>This end is no pod, or a host-network pod: no policy is about it.</summary>
    NoPod,

    /// <summary>A pod reaches itself, and no policy of the cluster tiers says otherwise.</summary>
    Itself,

    /// <summary>Between a pod and its own node, and no policy of the cluster tiers says otherwise.</summary>
    OwnNode,

    /// <summary>From a pod to the tunnel port of a node: only nodes send there.</summary>
    Tunnel,

    /// <summary>Two pods of this node claim the address: nobody gets its packets until one of them is gone.</summary>
    AddressConflict,

    /// <summary>The pod's manifest is rejected: nothing passes until it is understood.</summary>
    Rejected,

    /// <summary>A namespace is not known, whose labels decide which policies or rules mean a pod: nothing is opened until they are.</summary>
    UnknownNamespace,

    /// <summary>A rule of a policy matches and decides.</summary>
    Rule,

    /// <summary>NetworkPolicies isolate the pod, and none of their rules matches.</summary>
    Isolated,

    /// <summary>No policy decides: <c>policy.default</c> does.</summary>
    Default,
}

/// <summary>A rule of a policy.</summary>
/// <param name="Policy">The policy.</param>
/// <param name="Direction">Which of its two lists.</param>
/// <param name="Index">Place in the list, from 0.</param>
public sealed record RuleReference(Policy Policy, Direction Direction, int Index)
{
    /// <summary>The rule.</summary>
    public PolicyRule Rule => Policy.Rules(Direction)!.Value[Index];

    /// <summary>As the rules in the kernel are commented: <c>shop/db ingress[0]</c>; with the rule's name in quotes if it has one.</summary>
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Policy.Name} {Direction.ToString().ToLowerInvariant()}[{Index}]{(Rule.Name.Length > 0 ? $" \"{Rule.Name}\"" : "")}");
}

/// <summary>What one direction of a flow gets, and why.</summary>
/// <param name="Direction">Ingress: at the destination; egress: at the source.</param>
/// <param name="Allowed">Whether this half lets it pass; a flow needs both.</param>
/// <param name="Ground">Why.</param>
/// <param name="Pod">The pod that was judged for; null when this end is none.</param>
/// <param name="Rule">The rule that decided, for <see cref="Ground.Rule"/>.</param>
/// <param name="Isolating">The NetworkPolicies that isolate the pod in this direction, in order; given with <see cref="Ground.Isolated"/>.</param>
/// <param name="Unknown">The namespace that is not known, for <see cref="Ground.UnknownNamespace"/>.</param>
public sealed record Decision(Direction Direction, bool Allowed, Ground Ground, Pod? Pod = null, RuleReference? Rule = null, EquatableArray<Policy> Isolating = default, string? Unknown = null)
{
    /// <summary>The deciding tier; null when none decided.</summary>
    public Tier? Tier => Ground switch
    {
        Ground.Rule => Rule!.Policy.Tier,
        Ground.Isolated => Model.Tier.NetworkPolicy,
        _ => null,
    };

    /// <summary>In one line, for people: <c>denied: isolated by shop/db, and no rule matches</c>.</summary>
    public override string ToString() => $"{(Allowed ? "allowed" : "denied")}: {Reason}";

    private string Reason => Ground switch
    {
        Ground.NoPod => "no pod, so no policy is about it",
        Ground.Itself => "a pod reaches itself",
        Ground.OwnNode => "between a pod and its own node",
        Ground.Tunnel => "only nodes send into a node's tunnel",
        Ground.AddressConflict => "two pods of this node claim the address",
        Ground.Rejected => $"the manifest of {Pod!.Name} is rejected, so nobody can tell which policies select it",
        Ground.UnknownNamespace => $"the labels of namespace {Unknown} are not known, and a ClusterNetworkPolicy asks for them",
        Ground.Rule => $"{(Tier == Model.Tier.NetworkPolicy ? "NetworkPolicy" : $"{Tier} policy")} {Rule}",
        Ground.Isolated => $"isolated by {string.Join(", ", Isolating.Select(policy => policy.Name))}, and no rule matches",
        _ => $"no policy decides; policy.default is {(Allowed ? "allow" : "deny")}",
    };
}

/// <summary>What a flow gets at both of its ends.</summary>
/// <param name="Egress">At the source.</param>
/// <param name="Ingress">At the destination.</param>
public sealed record FlowDecision(Decision Egress, Decision Ingress)
{
    /// <summary>Whether the flow passes.</summary>
    public bool Allowed => Egress.Allowed && Ingress.Allowed;

    /// <summary>The decision of one direction.</summary>
    public Decision this[Direction direction] => direction == Direction.Ingress ? Ingress : Egress;
}

/// <summary>Why a rule does not match a packet.</summary>
/// <param name="Rule">The rule.</param>
/// <param name="Peer">None of its peers is the other end.</param>
/// <param name="Port">None of its ports is the destination's.</param>
public sealed record RuleMiss(RuleReference Rule, bool Peer, bool Port)
{
    /// <summary><c>shop/db ingress[0]: not the peer</c>.</summary>
    public override string ToString() => $"{Rule}: {(Peer && Port ? "neither peer nor port" : Peer ? "the port, but not the peer" : "the peer, but not the port")}";
}
