using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.PolicyEngine.Explain;

/// <summary>A ruleset without some of its base chains: the half that judges at one end of a flow.</summary>
internal sealed class RulesetHalf(IRulesetView ruleset, params string[] without) : IRulesetView
{
    private readonly Dictionary<Hook, IReadOnlyList<Chain>> _baseChains = Enum.GetValues<Hook>()
        .ToDictionary(hook => hook, IReadOnlyList<Chain> (hook) => [.. ruleset.BaseChains(hook).Where(chain => !without.Contains(chain.Name))]);

    public IReadOnlyList<Chain> BaseChains(Hook hook) => _baseChains[hook];

    public Chain? FindChain(string name) => ruleset.FindChain(name);

    public ISetView? FindSet(string name) => ruleset.FindSet(name);
}

/// <summary>What packets of one end can meet in a ruleset: every match and every map of the chains that they may walk through.</summary>
/// <param name="Matches">Each once.</param>
/// <param name="Maps">Each once.</param>
internal sealed record RulesetReach(IReadOnlyList<Match> Matches, IReadOnlyList<Statement.AddressVerdictMap> Maps)
{
    /// <summary>Follows every jump from the base chains on.</summary>
    /// <param name="ruleset">The ruleset.</param>
    /// <param name="side">The side of the packet that <paramref name="address"/> is on: in maps of that side only its own element is followed, in the others those of the other end.</param>
    /// <param name="address">The address of this end.</param>
    /// <param name="others">Whether an address may be at the other end.</param>
    public static RulesetReach Of(IRulesetView ruleset, Side side, InetAddress address, Func<InetAddress, bool> others)
    {
        HashSet<Match> matches = [];
        HashSet<Statement.AddressVerdictMap> maps = [];
        var walked = new HashSet<string>();
        var waiting = new Stack<Chain>(Enum.GetValues<Hook>().SelectMany(ruleset.BaseChains));
        while (waiting.TryPop(out var chain))
        {
            if (!walked.Add(chain.Name))
                continue;
            foreach (var rule in chain.Rules)
            {
                matches.UnionWith(rule.Matches);
                foreach (var target in rule.Statements.SelectMany(statement => Targets(ruleset, statement, side, address, others, maps)))
                    waiting.Push(ruleset.FindChain(target) ?? throw new InvalidOperationException($"There is no chain {target}."));
            }
        }

        return new([.. matches], [.. maps]);
    }

    private static IEnumerable<string> Targets(
        IRulesetView ruleset, Statement statement, Side side, InetAddress address, Func<InetAddress, bool> others, HashSet<Statement.AddressVerdictMap> maps)
    {
        switch (statement)
        {
            case Statement.Final { Verdict.Chain: { } chain }:
                return [chain];
            case Statement.AddressVerdictMap map when map.Family == address.Family:
                maps.Add(map);
                var found = ruleset.FindSet(map.Map) ?? throw new InvalidOperationException($"There is no map {map.Map}.");
                var elements = map.Side == side
                    ? [found.Find(ElementKey.Of(address))]
                    : found.Elements.Where(element => others(AddressSpace.AddressOf(found.Set, element.Key))).Select(element => (Element?)element);
                return elements.Select(element => element?.Verdict?.Chain).OfType<string>().Distinct();
            default:
                return [];
        }
    }
}
