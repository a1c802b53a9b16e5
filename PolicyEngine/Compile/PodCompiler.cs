using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.PolicyEngine.Compile;

/// <summary>Where a pod's packets are judged: each has a base chain and a dispatch map of the pods' addresses.</summary>
public enum PacketPath : byte
{
    /// <summary>Forwarded to the pod.</summary>
    Ingress,

    /// <summary>From the pod, forwarded.</summary>
    Egress,

    /// <summary>From the pod to its own node, or through a Service to itself: NetworkPolicies have no say in that.</summary>
    Host,

    /// <summary>Through a Service from the pod to itself, on its way back in: NetworkPolicies have no say in that.</summary>
    Hairpin,
}

/// <summary>What becomes of a pod's packets on one path.</summary>
/// <param name="Verdict">The verdict under its addresses in the dispatch map; null when it needs no entry there.</param>
/// <param name="Chains">The chains that the verdict leads to, but for those of single policies. Pods with the same policies share them.</param>
/// <param name="Sources">The sets that these chains refer to.</param>
public readonly record struct Isolation(Verdict? Verdict, EquatableArray<Chain> Chains, EquatableArray<SetSource> Sources);

/// <summary>Compiles the policies that select a pod, together: Admin policies, then NetworkPolicies, then, for pods that none of these isolates, Baseline policies and the default.</summary>
public static class PodCompiler
{
    /// <summary>What becomes of the packets of a pod.</summary>
    /// <param name="path">Which packets.</param>
    /// <param name="policies">The policies that select it, in any order.</param>
    /// <param name="undecided">Policies that may or may not select it, since its namespace's labels are not known: then nothing is allowed where one of them has a say.</param>
    /// <param name="options">What holds where no policy decides.</param>
    public static Isolation Compile(PacketPath path, IEnumerable<CompiledPolicy> policies, IEnumerable<Policy> undecided, RulesetOptions options)
    {
        var direction = path is PacketPath.Ingress or PacketPath.Hairpin ? Direction.Ingress : Direction.Egress;
        var isOfClusterTiers = path is PacketPath.Host or PacketPath.Hairpin;
        if (undecided.Any(policy => policy.AsksForNamespaceLabels(direction)))
            return new(Verdict.Drop, [], []);
        var asked = policies.Where(policy => policy.Policy.Rules(direction) is not null).OrderBy(policy => policy.Policy, Policy.AsEvaluated).ToLookup(policy => policy.Policy.Tier);
        var admin = CompileTier(Tier.Admin, direction, asked[Tier.Admin]);
        var isIsolated = asked[Tier.NetworkPolicy].Any();
        var baseline = isIsolated ? null : CompileTier(Tier.Baseline, direction, asked[Tier.Baseline]);
        var chains = ((Chain?[])[admin, baseline]).OfType<Chain>().ToEquatableArray();
        var steps = chains.Select(chain => chain.Name);
        var last = isOfClusterTiers || !(isIsolated || options.IsolateByDefault) ? Verdict.Accept : Verdict.Drop;
        if (last == Verdict.Accept && chains.Count == 0)
            return new(isOfClusterTiers ? null : Verdict.Accept, [], []);

        if (isIsolated && !isOfClusterTiers)
            steps = steps.Concat(asked[Tier.NetworkPolicy].Select(policy => policy.Chain(direction)?.Name).OfType<string>());
        Rule[] rules = [.. steps.Select(Jump), new Rule([], last == Verdict.Drop ? [new Statement.Counter(), new Statement.Final(last)] : [new Statement.Final(last)])];
        var name = ChainName.OfPods(path, last == Verdict.Drop ? steps : steps.Append("accept"));
        var names = chains.SelectMany(chain => chain.Sets).ToHashSet();
        var sources = asked.SelectMany(tier => tier).SelectMany(policy => policy.Sources).Concat(FamilyFacts.Both.Select(SetSources.OfUnknownNamespaces))
            .Where(source => names.Contains(source.Set.Name)).DistinctBy(source => source.Set.Name);
        return new(Verdict.Goto(name), [.. chains, new(name, null, new(rules))], [.. sources]);
    }

    /// <summary>The chain of the policies of one tier of ClusterNetworkPolicy that select a pod; null when nothing would be in it.</summary>
    /// <param name="tier">Their tier.</param>
    /// <param name="direction">Which of their rules.</param>
    /// <param name="policies">The policies, in the order in which they are asked.</param>
    private static Chain? CompileTier(Tier tier, Direction direction, IEnumerable<CompiledPolicy> policies)
    {
        var asked = policies.ToList();
        var rules = asked.SelectMany(policy => policy.Chain(direction) is not { } chain ? [] : policy.IsInlined(direction) ? chain.Rules : (IEnumerable<Rule>)[Jump(chain.Name)]).ToList();

        // Whether a rule means such a pod, nobody can tell, and any answer might open what another rule was to forbid.
        if (asked.Exists(policy => policy.AsksForNamespaceLabels(direction)))
        {
            var side = direction == Direction.Ingress ? Side.Saddr : Side.Daddr;
            rules.InsertRange(0, FamilyFacts.Both.Select(family => new Rule(
                [new Match.AddressInSet(side, family, SetSources.OfUnknownNamespaces(family).Set.Name)],
                [new Statement.Counter(), new Statement.Final(Verdict.Drop)],
                "pods of a namespace that is not known")));
        }

        return rules.Count == 0 ? null : new(ChainName.OfTier(tier, direction, asked.Select(policy => policy.Policy.Name.Name)), null, rules.ToEquatableArray());
    }

    private static Rule Jump(string chain) => new([], [new Statement.Final(Verdict.Jump(chain))]);
}
