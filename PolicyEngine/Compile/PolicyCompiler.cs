using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.PolicyEngine.Compile;

/// <summary>A policy as chains, and the sets its rules refer to.</summary>
/// <param name="Policy">What it was compiled from.</param>
/// <param name="Ingress">Accepts what the policy allows towards a pod; null when that is nothing.</param>
/// <param name="Egress">Accepts what the policy allows from a pod; null when that is nothing.</param>
/// <param name="Sources">The sets, each once, by name.</param>
public sealed record CompiledPolicy(Policy Policy, Chain? Ingress, Chain? Egress, EquatableArray<SetSource> Sources)
{
    /// <summary>The chain of one direction.</summary>
    public Chain? Chain(Direction direction) => direction == Direction.Ingress ? Ingress : Egress;
}

/// <summary>
/// Compiles one policy, looking at nothing else: a rule names selectors, never addresses. Each alternative peer of a rule (all selectors together, all ipBlocks
/// together) meets each kind of port (numbers, names) in one rule of nft per family: at most eight, whatever the lists' lengths.
/// </summary>
public static class PolicyCompiler
{
    /// <summary>The chains and sets of <paramref name="policy"/>.</summary>
    public static CompiledPolicy Compile(Policy policy)
    {
        var sources = new SortedDictionary<string, SetSource>(StringComparer.Ordinal);
        var ingress = CompileChain(policy, Direction.Ingress, sources);
        var egress = CompileChain(policy, Direction.Egress, sources);
        return new(policy, ingress, egress, sources.Values.ToEquatableArray());
    }

    private static Chain? CompileChain(Policy policy, Direction direction, SortedDictionary<string, SetSource> sources)
    {
        var rules = new List<Rule>();
        var policyRules = policy.Rules(direction) ?? [];
        for (var i = 0; i < policyRules.Count; i++)
        {
            var rule = new RuleCompiler(policy.Name.Namespace, direction, policyRules[i], sources);
            var comment = ChainName.Comment(policy.Name, direction, i);
            rules.AddRange(rule.Compile().Select(matches => new Rule(matches, [new Statement.Final(Verdict.Accept)], comment)));
        }

        return rules.Count == 0 ? null : new(ChainName.OfPolicy(policy.Name, direction), null, rules.ToEquatableArray());
    }
}

/// <summary>Compiles one rule to the match lists that allow; adds the sets they refer to.</summary>
internal sealed class RuleCompiler(string @namespace, Direction direction, PolicyRule rule, SortedDictionary<string, SetSource> sources)
{
    private readonly Side _peerSide = direction == Direction.Ingress ? Side.Saddr : Side.Daddr;

    /// <summary>The alternatives; each is a list of matches that must all hold.</summary>
    public IEnumerable<EquatableArray<Match>> Compile() => rule.Ports.Count == 0 ? [] : Peers().SelectMany(Rules);

    /// <summary>An alternative for the other end. Without a family: every address.</summary>
    private readonly record struct PeerAlternative(Family? Family, EquatableArray<Selector> Selectors, EquatableArray<AddressRange>? Within);

    private IEnumerable<PeerAlternative> Peers()
    {
        if (rule.Peers.OfType<Peer.Any>().Any())
            return [new(null, [Selector.Everything], null)];

        var selectors = rule.Peers.OfType<Peer.Pods>()
            .Select(peer => Selector.Of(peer, @namespace))
            .Distinct()
            .OrderBy(selector => selector.Namespace, StringComparer.Ordinal)
            .ThenBy(selector => selector.NamespaceSelector.ToString(), StringComparer.Ordinal)
            .ThenBy(selector => selector.PodSelector.ToString(), StringComparer.Ordinal)
            .ToEquatableArray();
        var selected = selectors.Count == 0 ? [] : FamilyFacts.Both.Select(family => new PeerAlternative(family, selectors, null));
        var blocks = AddressRange.Of(rule.Peers.OfType<Peer.IPBlock>())
            .GroupBy(range => range.First.Family)
            .Select(ranges => new PeerAlternative(ranges.Key, [Selector.Everything], ranges.ToEquatableArray()));
        return selected.Concat(blocks);
    }

    private IEnumerable<EquatableArray<Match>> Rules(PeerAlternative peer)
    {
        if (rule.Ports.OfType<PortMatch.Any>().Any())
            return [[.. PeerMatch(peer)]];

        var numeric = Merge(rule.Ports.OfType<PortMatch.Numeric>());
        var named = rule.Ports.OfType<PortMatch.Named>()
            .Select(port => new PortName(port.Protocol, port.Name))
            .Distinct()
            .OrderBy(port => port.Name, StringComparer.Ordinal)
            .ThenBy(port => port.Protocol)
            .ToEquatableArray();
        var byNumber = numeric.Count == 0 ? [] : (IEnumerable<EquatableArray<Match>>)[[.. PeerMatch(peer), NumericMatch(numeric)]];
        var families = peer.Family is { } one ? [one] : FamilyFacts.Both;
        var byName = named.Count == 0 ? [] : families.Select(family => NamedMatch(peer, family, named));
        return byNumber.Concat(byName);
    }

    private IEnumerable<Match> PeerMatch(PeerAlternative peer)
    {
        if (peer.Family is not { } family)
            return [];
        if (peer.Within is not { } ranges)
            return [new Match.AddressInSet(_peerSide, family, Use(SetSources.Peers(family, peer.Selectors)))];
        return ranges.Count == 1 && ranges[0].AsPrefix() is { } prefix
            ? [new Match.AddressInPrefix(_peerSide, prefix)]
            : [new Match.AddressInSet(_peerSide, family, Use(SetSources.Addresses(family, ranges)))];
    }

    private Match NumericMatch(EquatableArray<PortMatch.Numeric> ports) => ports.Count == 1
        ? new Match.DestinationPort(ports[0].Protocol, ports[0].First, ports[0].Last)
        : new Match.PortInSet(Use(SetSources.Ports(ports)));

    // The destination decides what a name means: on ingress one of our pods, on egress the peer, so that there one look-up answers for both.
    private EquatableArray<Match> NamedMatch(PeerAlternative peer, Family family, EquatableArray<PortName> ports) => direction == Direction.Ingress
        ? [.. PeerMatch(peer).Where(match => !IsWholeFamily(match)), new Match.AddressPortInSet(Side.Daddr, family, Use(SetSources.LocalPorts(family, ports)))]
        : [new Match.AddressPortInSet(Side.Daddr, family, Use(SetSources.PeerPorts(family, peer.Selectors, peer.Within, ports)))];

    // Every address of the family: what looks at an address of that family need not ask again.
    private static bool IsWholeFamily(Match match) => match is Match.AddressInPrefix { Prefix.PrefixLength: 0, Negated: false };

    private string Use(SetSource source)
    {
        sources[source.Set.Name] = source;
        return source.Set.Name;
    }

    // Disjoint ranges in order, none touching the next.
    private static EquatableArray<PortMatch.Numeric> Merge(IEnumerable<PortMatch.Numeric> ports)
    {
        var merged = new List<PortMatch.Numeric>();
        foreach (var port in ports.OrderBy(port => port.Protocol).ThenBy(port => port.First))
        {
            if (merged.Count > 0 && merged[^1].Protocol == port.Protocol && port.First <= merged[^1].Last + 1)
                merged[^1] = merged[^1] with { Last = Math.Max(merged[^1].Last, port.Last) };
            else
                merged.Add(port);
        }

        return merged.ToEquatableArray();
    }
}
