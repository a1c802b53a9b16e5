using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.PolicyEngine.Compile;

/// <summary>A policy as chains, and the sets its rules refer to.</summary>
/// <param name="Policy">What it was compiled from.</param>
/// <param name="Ingress">What its rules do with packets towards a pod; null when they match nothing.</param>
/// <param name="Egress">What its rules do with packets from a pod; null when they match nothing.</param>
/// <param name="Sources">The sets, each once, by name.</param>
public sealed record CompiledPolicy(Policy Policy, Chain? Ingress, Chain? Egress, EquatableArray<SetSource> Sources)
{
    /// <summary>The chain of one direction.</summary>
    public Chain? Chain(Direction direction) => direction == Direction.Ingress ? Ingress : Egress;

    /// <summary>Whether a rule passes on to the next tier. That is <c>return</c> from the tier's chain, so the rules stand there, and not in a chain of their own.</summary>
    public bool IsInlined(Direction direction) => Policy.Rules(direction)?.Any(rule => rule.Action == RuleAction.Pass) == true;

    /// <summary>The chain that the policy has of its own in one direction.</summary>
    public Chain? OwnChain(Direction direction) => IsInlined(direction) ? null : Chain(direction);

    /// <summary>The sets that its own chains refer to.</summary>
    public IEnumerable<SetSource> OwnSources()
    {
        var names = ((Chain?[])[OwnChain(Direction.Ingress), OwnChain(Direction.Egress)]).SelectMany(chain => chain?.Sets ?? []).ToHashSet();
        return Sources.Where(source => names.Contains(source.Set.Name));
    }

    /// <summary>Whether namespace labels must be known to tell whom its rules mean.</summary>
    public bool AsksForNamespaceLabels(Direction direction) => Policy.Rules(direction)?.Any(rule =>
        rule.Peers.OfType<Peer.Pods>().Any(peer => Selector.Of(peer, Policy.Name.Namespace).AsksForNamespaceLabels)) == true;
}

/// <summary>
/// Compiles one policy, looking at nothing else: a rule names selectors, never addresses. Each alternative peer of a rule (all selectors together, all ipBlocks together,
/// all nodes together) meets each kind of port (numbers, names) in one rule of nft per family: at most twelve, whatever the lists' lengths.
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
            var comment = ChainName.Comment(policy.Name, direction, i, policyRules[i].Name);
            rules.AddRange(rule.Compile().Select(matches => new Rule(matches, Do(policyRules[i].Action), comment)));
        }

        return rules.Count == 0 ? null : new(ChainName.OfPolicy(policy.Name, direction), null, rules.ToEquatableArray());
    }

    private static EquatableArray<Statement> Do(RuleAction action) => action switch
    {
        RuleAction.Accept => [new Statement.Final(Verdict.Accept)],
        RuleAction.Deny => [new Statement.Counter(), new Statement.Final(Verdict.Drop)],
        _ => [new Statement.Final(Verdict.Return)],
    };
}

/// <summary>Compiles one rule to the match lists that allow; adds the sets they refer to.</summary>
internal sealed class RuleCompiler(string @namespace, Direction direction, PolicyRule rule, SortedDictionary<string, SetSource> sources)
{
    private readonly Side _peerSide = direction == Direction.Ingress ? Side.Saddr : Side.Daddr;

    /// <summary>The alternatives; each is a list of matches that must all hold.</summary>
    public IEnumerable<EquatableArray<Match>> Compile() => rule.Ports.Count == 0 ? [] : Peers().SelectMany(Rules);

    /// <summary>An alternative for the other end.</summary>
    /// <param name="Family">Family of the addresses; null: every address.</param>
    /// <param name="Match">What it looks at, made (and its set with it) only where it is needed; null for every address.</param>
    /// <param name="Ports">Where its port names are looked up; null when what it stands for has none.</param>
    /// <param name="Unless">Addresses among these that it does not mean; null for none.</param>
    private readonly record struct PeerAlternative(Family? Family, Func<Match>? Match, Func<Family, EquatableArray<PortName>, SetSource>? Ports, Func<Match>? Unless = null);

    private IEnumerable<PeerAlternative> Peers()
    {
        if (rule.Peers.OfType<Peer.Any>().Any())
            return [new(null, null, (family, ports) => SetSources.PeerPorts(family, [Selector.Everything], null, ports))];

        var selectors = rule.Peers.OfType<Peer.Pods>()
            .Select(peer => Selector.Of(peer, @namespace))
            .Distinct()
            .OrderBy(selector => selector.Namespace, StringComparer.Ordinal)
            .ThenBy(selector => selector.NamespaceSelector.ToString(), StringComparer.Ordinal)
            .ThenBy(selector => selector.PodSelector.ToString(), StringComparer.Ordinal)
            .ToEquatableArray();
        var nodes = rule.Peers.OfType<Peer.Nodes>().Select(peer => peer.Selector).Distinct().OrderBy(selector => selector.ToString(), StringComparer.Ordinal).ToEquatableArray();
        return (selectors.Count == 0 ? [] : FamilyFacts.Both.Select(family => Selected(family, selectors)))
            .Concat(AddressRange.Of(rule.Peers.OfType<Peer.IPBlock>()).GroupBy(range => range.First.Family).SelectMany(ranges => Blocks(ranges.Key, ranges.ToEquatableArray())))
            .Concat(nodes.Count == 0 ? [] : FamilyFacts.Both.Select(family => new PeerAlternative(family, () => InSet(family, SetSources.Nodes(family, nodes)), null)));
    }

    private PeerAlternative Selected(Family family, EquatableArray<Selector> selectors) =>
        new(family, () => InSet(family, SetSources.Peers(family, selectors)), (_, ports) => SetSources.PeerPorts(family, selectors, null, ports));

    // The second: a node's address is also the one of its tunnel, which its processes use towards other nodes' pods. So where a node is excepted (and nowhere let back in), neither means its tunnel.
    private IEnumerable<PeerAlternative> Blocks(Family family, EquatableArray<AddressRange> ranges)
    {
        SetSource Ports(Family _, EquatableArray<PortName> ports) => SetSources.PeerPorts(family, [Selector.Everything], ranges, ports);
        var excepted = AddressRange.Union(rule.Peers.OfType<Peer.IPBlock>().SelectMany(block => block.Except).Where(prefix => prefix.Family == family)
            .SelectMany(prefix => AddressRange.Of(prefix).Except(ranges))).ToEquatableArray();
        Func<Match>? unless = excepted.Count == 0 ? null : () => InSet(family, SetSources.Tunnels(family, excepted)) with { Negated = true };
        if (ranges.Count == 1 && ranges[0].AsPrefix() is { } prefix)
            yield return new(family, () => new Match.AddressInPrefix(_peerSide, prefix), Ports, unless);
        else
            yield return new(family, () => InSet(family, SetSources.Addresses(family, ranges)), Ports, unless);
        if (ranges is not [{ } whole] || whole.AsPrefix() is not { PrefixLength: 0 })
            yield return new(family, () => InSet(family, SetSources.Tunnels(family, ranges)), null, unless);
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
        var byName = named.Count == 0 ? [] : families.SelectMany(family => NamedMatch(peer, family, named));
        return byNumber.Concat(byName);
    }

    private static IEnumerable<Match> PeerMatch(PeerAlternative peer) => ((Func<Match>?[])[peer.Match, peer.Unless]).OfType<Func<Match>>().Select(match => match());

    private Match NumericMatch(EquatableArray<PortMatch.Numeric> ports) => ports.Count == 1
        ? new Match.DestinationPort(ports[0].Protocol, ports[0].First, ports[0].Last)
        : new Match.PortInSet(Use(SetSources.Ports(ports)));

    // The destination decides what a name means: on ingress one of our pods, on egress the peer, so that there one look-up answers for both.
    private IEnumerable<EquatableArray<Match>> NamedMatch(PeerAlternative peer, Family family, EquatableArray<PortName> ports)
    {
        if (direction == Direction.Ingress)
            return [[.. PeerMatch(peer).Where(match => !IsWholeFamily(match)), new Match.AddressPortInSet(Side.Daddr, family, Use(SetSources.LocalPorts(family, ports)))]];
        return peer.Ports is { } source ? [[new Match.AddressPortInSet(Side.Daddr, family, Use(source(family, ports)))]] : [];
    }

    // Every address of the family: what looks at an address of that family need not ask again.
    private static bool IsWholeFamily(Match match) => match is Match.AddressInPrefix { Prefix.PrefixLength: 0, Negated: false };

    private Match.AddressInSet InSet(Family family, SetSource source) => new(_peerSide, family, Use(source));

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
