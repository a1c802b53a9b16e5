using Overlay.Dataplane.Netlink.Netfilter;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Dataplane.Kernel;

/// <summary>What must be remembered of the table to write a correct transaction about a change of it; the rest the kernel remembers.</summary>
internal sealed class KnownRuleset
{
    private readonly Dictionary<string, ChainHook?> _chains;
    private readonly Dictionary<string, Set> _sets = [];
    private readonly Dictionary<string, Dictionary<Element, Verdict>> _verdicts = [];
    private readonly HashSet<string> _leftovers = [];

    internal KnownRuleset(NftablesDump dump)
    {
        _chains = dump.Chains.Values.ToDictionary(chain => chain.Chain.Name, chain => chain.Chain.Base);
        foreach (var set in dump.Sets.Values.Select(set => set.ToSet()).OfType<Set>())
        {
            _sets.Add(set.Name, set);
            RecordVerdicts(set, dump.Elements[set.Name]);
        }
    }

    /// <summary>Chains no longer wanted: empty already, but not deleted yet.</summary>
    internal IReadOnlyCollection<string> Leftovers => _leftovers;

    internal bool HasChain(string name) => _chains.ContainsKey(name);

    /// <summary>Whether the chain is there on another hook than it should be. The kernel moves no chain; its policy it does change.</summary>
    internal bool HasOtherHook(Chain chain) =>
        _chains.TryGetValue(chain.Name, out var hook) && (hook is { } found ? found with { Policy = NftVerdicts.NF_ACCEPT } : (ChainHook?)null) != ChainHook.Of(chain.Base);

    internal Set? FindSet(string name) => _sets.GetValueOrDefault(name);

    /// <summary>Whether a map has the element with another verdict. The kernel changes no element; it is deleted and added.</summary>
    internal bool HasOtherVerdict(SetElement wanted) =>
        _verdicts.TryGetValue(wanted.Set, out var verdicts) && verdicts.TryGetValue(KeyOf(wanted.Element), out var verdict) && verdict != wanted.Element.Verdict;

    /// <summary>A transaction has been committed.</summary>
    internal void Record(RulesetDelta delta)
    {
        foreach (var name in delta.DeletedChains)
            _leftovers.Add(name);
        foreach (var chain in delta.Chains)
        {
            _chains[chain.Name] = ChainHook.Of(chain.Base);
            _leftovers.Remove(chain.Name);
        }
        foreach (var name in delta.DeletedSets)
        {
            _sets.Remove(name);
            _verdicts.Remove(name);
        }
        foreach (var set in delta.Sets)
        {
            _sets[set.Name] = set;
            RecordVerdicts(set, []);
        }
        foreach (var (set, element) in delta.DeletedElements)
            _verdicts.GetValueOrDefault(set)?.Remove(KeyOf(element));
        foreach (var (set, element) in delta.Elements)
            if (element.Verdict is { } verdict && _verdicts.TryGetValue(set, out var verdicts))
                verdicts[KeyOf(element)] = verdict;
    }

    /// <summary>A chain has been deleted.</summary>
    internal void Forget(string chain)
    {
        _chains.Remove(chain);
        _leftovers.Remove(chain);
    }

    private void RecordVerdicts(Set set, IReadOnlyCollection<Element> elements)
    {
        if (set.IsVerdictMap)
            _verdicts[set.Name] = elements.Where(element => element.Verdict is not null).ToDictionary(KeyOf, element => element.Verdict!.Value);
    }

    private static Element KeyOf(Element element) => element with { Verdict = null };
}
