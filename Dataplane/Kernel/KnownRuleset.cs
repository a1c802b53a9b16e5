using Overlay.Dataplane.Netlink.Netfilter;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Dataplane.Kernel;

/// <summary>What must be remembered of the table to write a correct transaction about a change of it; the rest the kernel remembers.</summary>
internal sealed class KnownRuleset
{
    private readonly Dictionary<string, ChainHook?> _chains;
    private readonly Dictionary<string, Set> _sets = [];
    private readonly Dictionary<string, Dictionary<Element, Element>> _maps = [];
    private readonly HashSet<string> _leftovers = [];

    internal KnownRuleset(NftablesDump dump)
    {
        _chains = dump.Chains.Values.ToDictionary(chain => chain.Chain.Name, chain => chain.Chain.Base);
        foreach (var set in dump.Sets.Values.Select(set => set.ToSet()).OfType<Set>())
        {
            _sets.Add(set.Name, set);
            RecordMap(set, dump.Elements[set.Name]);
        }
    }

    /// <summary>Chains no longer wanted: empty already, but not deleted yet.</summary>
    internal IReadOnlyCollection<string> Leftovers => _leftovers;

    internal bool HasChain(string name) => _chains.ContainsKey(name);

    /// <summary>Whether the chain is there on another hook than it should be. The kernel moves no chain; its policy it does change.</summary>
    internal bool HasOtherHook(Chain chain) =>
        _chains.TryGetValue(chain.Name, out var hook) && (hook is { } found ? found with { Policy = NftVerdicts.NF_ACCEPT } : (ChainHook?)null) != ChainHook.Of(chain.Base);

    internal Set? FindSet(string name) => _sets.GetValueOrDefault(name);

    /// <summary>Whether a map has something else under the element's key. The kernel changes no element; it is deleted and added.</summary>
    internal bool HasOther(SetElement wanted) =>
        _maps.TryGetValue(wanted.Set, out var map) && map.TryGetValue(KeyOf(wanted.Element), out var element) && element != wanted.Element;

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
            _maps.Remove(name);
        }
        foreach (var set in delta.Sets)
        {
            _sets[set.Name] = set;
            RecordMap(set, []);
        }
        foreach (var (set, element) in delta.DeletedElements)
            _maps.GetValueOrDefault(set)?.Remove(KeyOf(element));
        foreach (var (set, element) in delta.Elements)
            if (_maps.TryGetValue(set, out var map))
                map[KeyOf(element)] = element;
    }

    /// <summary>A chain has been deleted.</summary>
    internal void Forget(string chain)
    {
        _chains.Remove(chain);
        _leftovers.Remove(chain);
    }

    private void RecordMap(Set set, IReadOnlyCollection<Element> elements)
    {
        if (set.IsMap)
            _maps[set.Name] = elements.ToDictionary(KeyOf);
    }

    private static Element KeyOf(Element element) => new(element.Key, element.Last, null);
}
