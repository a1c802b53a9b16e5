using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Explain;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Tests.Oracles;

/// <summary>Holds the compiled rulesets of a cluster against the oracle, flow by flow.</summary>
public sealed class Agreement(ClusterObjects objects, CompiledCluster compiled, bool isolateByDefault)
{
    private readonly PolicyOracle _oracle = new(objects, isolateByDefault);

    /// <summary>What is wrong, in words: one text for each flow on which the two differ.</summary>
    public IEnumerable<string> Disagreements(IEnumerable<Flow> flows) => flows.Select(Disagreement).OfType<string>();

    private string? Disagreement(Flow flow)
    {
        var judged = _oracle.Judge(flow);
        var hops = compiled.Walk(flow);
        var wrong = hops.Count == 2 && hops[0].Trace.Accepted != judged.Egress.Allowed ? "egress"
            : hops.Count == 2 && hops[1].Trace.Accepted != judged.Ingress.Allowed ? "ingress"
            : hops.All(hop => hop.Trace.Accepted) != judged.Allowed ? "the flow"
            : hops.Any(hop => hop.Trace.Accepted && hop.Trace.Masqueraded != LeavesPodNetwork(hop.Packet)) ? "masquerade"
            : compiled.Walk(flow, CtState.Established).Any(hop => !hop.Trace.Accepted) ? "an established connection"
            : null;
        return wrong is null ? null : $"{flow}: {wrong} differs\n  oracle: {judged}\n  {string.Join("\n  ", hops)}";
    }

    // From a pod of this node or from its tunnel's address, out of it, to where no pod is.
    private bool LeavesPodNetwork(Packet packet) =>
        packet.InputInterface?.StartsWith(RulesetOptions.PodInterfacePrefix, StringComparison.Ordinal) != false
        && packet.OutputInterface is not null
        && compiled.PodNetwork.Any(prefix => prefix.Contains(packet.Source))
        && !compiled.PodNetwork.Any(prefix => prefix.Contains(packet.Destination));
}
