using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Operator;

/// <summary>Whether a flow passes, and why: one answer for each family that both ends have.</summary>
/// <param name="Node">The node that was asked.</param>
/// <param name="Flows">By family, IPv4 first.</param>
/// <param name="Notes">What is worth knowing besides, a sentence each.</param>
internal sealed record Explanation(string Node, IReadOnlyList<ExplainedFlow> Flows, IReadOnlyList<string> Notes)
{
    /// <summary>Whether policies and kernel agree, wherever this node's kernel has a say.</summary>
    public bool Agrees => Flows.All(flow => flow.Egress.Agrees && flow.Ingress.Agrees);

    /// <summary>Whether the policies let all of it pass.</summary>
    public bool Allowed => Flows.All(flow => flow.Allowed);
}

/// <summary>The first packet of a flow.</summary>
/// <param name="Family">Of its addresses.</param>
/// <param name="From">Where it comes from.</param>
/// <param name="To">Where it goes to.</param>
/// <param name="Protocol">tcp, udp, sctp or icmp.</param>
/// <param name="Port">Destination port; 0 for icmp.</param>
/// <param name="Allowed">Whether the policies let it pass: at both ends.</param>
/// <param name="Egress">At the source.</param>
/// <param name="Ingress">At the destination.</param>
internal sealed record ExplainedFlow(Family Family, FlowEnd From, FlowEnd To, string Protocol, int Port, bool Allowed, ExplainedHalf Egress, ExplainedHalf Ingress);

/// <summary>One end of a flow.</summary>
/// <param name="Address">Its address.</param>
/// <param name="Pod">namespace/name, or null.</param>
/// <param name="Node">The node, of a pod or by its own address; null when it is none.</param>
internal sealed record FlowEnd(string Address, string? Pod, string? Node);

/// <summary>What one end of a flow says to it.</summary>
/// <param name="Policies">According to the policies.</param>
/// <param name="Kernel">According to the rules read back from this node's kernel; null when the end is not here.</param>
/// <param name="AskOn">The node whose kernel judges this end, when it is another; null when it is this one, or when nobody judges.</param>
internal sealed record ExplainedHalf(ExplainedDecision Policies, KernelDecision? Kernel, string? AskOn)
{
    /// <summary>Whether the two agree, as far as both are known.</summary>
    public bool Agrees => Kernel is null || Kernel.Allowed == Policies.Allowed;
}

/// <summary>What the policies say of one end.</summary>
/// <param name="Allowed">Whether it may pass.</param>
/// <param name="Ground">Why, as a word: rule, isolated, default ….</param>
/// <param name="Tier">The deciding tier, or null.</param>
/// <param name="Policy">The deciding policy, or null.</param>
/// <param name="Rule">The deciding rule as <c>ingress[0]</c>, or null.</param>
/// <param name="RuleName">How its author calls it; null for nothing.</param>
/// <param name="Reason">In words.</param>
/// <param name="Misses">Of the policies that isolate the pod each rule, and why it does not match.</param>
internal sealed record ExplainedDecision(
    bool Allowed, string Ground, string? Tier, string? Policy, string? Rule, string? RuleName, string Reason, IReadOnlyList<string> Misses);

/// <summary>What the kernel does at one end.</summary>
/// <param name="Allowed">Whether it lets the packet pass; null when its rules cannot be walked.</param>
/// <param name="Reason">The rule that decided, or why they cannot be walked.</param>
/// <param name="Path">The rules that matched, in order.</param>
internal sealed record KernelDecision(bool? Allowed, string Reason, IReadOnlyList<string> Path);
