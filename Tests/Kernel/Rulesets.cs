using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Tests.Kernel;

/// <summary>Makes rulesets, parts of them, and the change from one to another.</summary>
public static class Rulesets
{
    public static Ruleset Empty => Of([], []);

    public static Ruleset Of(Chain[] chains, Set[] sets, params (string Set, Element Element)[] elements) => new(
        chains.ToDictionary(chain => chain.Name),
        sets.ToDictionary(set => set.Name),
        elements.GroupBy(element => element.Set).ToDictionary(group => group.Key, IReadOnlyCollection<Element> (group) => group.Select(element => element.Element).ToHashSet()));

    /// <summary>About half of everything, without what would refer to something left out.</summary>
    public static Ruleset Part(Ruleset whole, Random random)
    {
        var sets = whole.Sets.Values.Where(_ => random.Next(3) > 0).ToArray();
        var chains = whole.Chains.Values.Where(_ => random.Next(3) > 0).ToArray();
        var setNames = sets.Select(set => set.Name).ToHashSet();
        var chainNames = chains.Select(chain => chain.Name).ToHashSet();
        return Of(
            [.. chains.Select(chain => chain with { Rules = chain.Rules.Where(rule => random.Next(4) > 0 && Refers(rule, setNames, chainNames)).ToEquatableArray() })],
            sets,
            [.. sets.SelectMany(set => whole.Elements.GetValueOrDefault(set.Name) ?? [], (set, element) => (set.Name, element))
                .Where(row => random.Next(2) > 0 && (row.element.Verdict?.Chain is not { } chain || chainNames.Contains(chain)))]);
    }

    public static RulesetDelta Delta(Ruleset from, Ruleset to) => new(
        to.Chains.Values.Where(chain => from.Chains.GetValueOrDefault(chain.Name) != chain).ToEquatableArray(),
        from.Chains.Keys.Except(to.Chains.Keys).ToEquatableArray(),
        to.Sets.Values.Where(set => !from.Sets.ContainsKey(set.Name)).ToEquatableArray(),
        from.Sets.Keys.Except(to.Sets.Keys).ToEquatableArray(),
        Elements(to).Except(Elements(from)).ToEquatableArray(),
        Elements(from).Except(Elements(to)).Where(element => to.Sets.ContainsKey(element.Set)).ToEquatableArray());

    private static IEnumerable<SetElement> Elements(Ruleset ruleset) =>
        ruleset.Elements.SelectMany(set => set.Value, (set, element) => new SetElement(set.Key, element));

    private static bool Refers(Rule rule, HashSet<string> sets, HashSet<string> chains) =>
        rule.Matches.All(match => SetOf(match) is not { } set || sets.Contains(set)) &&
        rule.Statements.All(statement => statement switch
        {
            Statement.Final { Verdict.Chain: { } chain } => chains.Contains(chain),
            Statement.AddressVerdictMap { Map: var map } => sets.Contains(map),
            Statement.DestinationNat { Map: var map } => sets.Contains(map),
            _ => true,
        });

    private static string? SetOf(Match match) => match switch
    {
        Match.AddressInSet m => m.Set,
        Match.AddressPairInSet m => m.Set,
        Match.AddressPortInSet m => m.Set,
        Match.PortInSet m => m.Set,
        _ => null,
    };
}
