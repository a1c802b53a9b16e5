namespace Overlay.PolicyEngine.Nftables;

/// <summary>A whole <see cref="Ruleset"/>, ready for look-up. Building it takes time in proportion to the elements.</summary>
public sealed class RulesetView : IRulesetView
{
    private readonly Ruleset _ruleset;
    private readonly Dictionary<Hook, Chain[]> _baseChains;
    private readonly Dictionary<string, ISetView> _sets;

    /// <summary>Prepares <paramref name="ruleset"/>.</summary>
    /// <exception cref="InvalidOperationException">A set holds what the kernel would refuse: an element twice, ranges that overlap, a range in a set that is not for them, something in a set or nothing in a map.</exception>
    public RulesetView(Ruleset ruleset)
    {
        _ruleset = ruleset;
        _baseChains = ruleset.Chains.Values.Where(chain => chain.Base is not null).OrderBy(chain => chain.Base!.Value.Priority)
            .GroupBy(chain => chain.Base!.Value.Hook).ToDictionary(hook => hook.Key, hook => hook.ToArray());
        _sets = ruleset.Sets.Values.ToDictionary(set => set.Name, ISetView (set) => new SetView(set, ruleset.Elements.GetValueOrDefault(set.Name) ?? []));
    }

    /// <inheritdoc/>
    public IReadOnlyList<Chain> BaseChains(Hook hook) => _baseChains.GetValueOrDefault(hook) ?? [];

    /// <inheritdoc/>
    public Chain? FindChain(string name) => _ruleset.Chains.GetValueOrDefault(name);

    /// <inheritdoc/>
    public ISetView? FindSet(string name) => _sets.GetValueOrDefault(name);

    private sealed class SetView : ISetView
    {
        private readonly Dictionary<ElementKey, Element> _exact = [];
        private readonly Ranges _ranges;

        public SetView(Set set, IReadOnlyCollection<Element> elements)
        {
            (Set, Elements) = (set, elements);
            foreach (var element in elements)
            {
                if (!set.IsOfKind(element))
                    throw new InvalidOperationException($"An element of {set.Name} {(set.IsMap ? "lacks" : "has")} a verdict or endpoint.");
                if (set.IsInterval)
                    continue;
                if (element.Key != element.Last)
                    throw new InvalidOperationException($"Set {set.Name} is not for ranges but holds one.");
                if (!_exact.TryAdd(element.Key, element))
                    throw new InvalidOperationException($"Set {set.Name} holds an element twice.");
            }

            _ranges = new(set, set.IsInterval ? elements : []);
            if (set.Key.Count == 1 && !_ranges.IsOrdered)
                throw new InvalidOperationException($"Ranges of set {set.Name} overlap.");
        }

        public Set Set { get; }

        public IEnumerable<Element> Elements { get; }

        public Element? Find(ElementKey key)
        {
            if (Set.IsInterval)
                return _ranges.Find(key);
            return _exact.TryGetValue(key, out var element) ? element : null;
        }
    }
}
