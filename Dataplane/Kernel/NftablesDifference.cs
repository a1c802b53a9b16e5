using Overlay.Dataplane.Netlink.Netfilter;
using Overlay.Dataplane.Netlink.Netfilter.Expressions;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Dataplane.Kernel;

/// <summary>How the kernel's table differs from the wanted one: what to do about it, and in words. Compared by value: handles and the numbers of counters mean nothing.</summary>
/// <param name="Delta">Makes the kernel's table the wanted one. A name that is both deleted and new is replaced.</param>
/// <param name="Texts">One line for each difference.</param>
/// <param name="TableDiffers">The table is missing or dormant.</param>
public sealed record NftablesDifference(RulesetDelta Delta, IReadOnlyList<string> Texts, bool TableDiffers)
{
    private const int ElementsNamed = 5;

    /// <summary>Compares.</summary>
    public static NftablesDifference Between(NftablesDump actual, Ruleset wanted)
    {
        ArgumentNullException.ThrowIfNull(actual);
        ArgumentNullException.ThrowIfNull(wanted);
        var comparison = new Comparison(actual, wanted);
        comparison.CompareSets();
        comparison.CompareChains();
        var texts = comparison.Texts;
        if (actual.Table is null)
            texts = [$"table inet {Ruleset.Table} is missing"];
        else if (actual.Table.Flags.HasFlag(NftTableFlags.NFT_TABLE_F_DORMANT))
            texts.Insert(0, $"table inet {Ruleset.Table} is dormant: none of its chains is in force");
        var tableDiffers = actual.Table is null || actual.Table.Flags.HasFlag(NftTableFlags.NFT_TABLE_F_DORMANT);
        return new(comparison.Delta, texts, tableDiffers);
    }

    private sealed class Comparison(NftablesDump actual, Ruleset wanted)
    {
        private readonly List<Chain> _chains = [];
        private readonly List<string> _deletedChains = [];
        private readonly List<Set> _sets = [];
        private readonly List<string> _deletedSets = [];
        private readonly List<SetElement> _elements = [];
        private readonly List<SetElement> _deletedElements = [];

        internal List<string> Texts { get; } = [];

        internal RulesetDelta Delta => new(
            _chains.ToEquatableArray(),
            _deletedChains.ToEquatableArray(),
            _sets.ToEquatableArray(),
            _deletedSets.ToEquatableArray(),
            _elements.ToEquatableArray(),
            _deletedElements.ToEquatableArray());

        internal void CompareSets()
        {
            foreach (var name in actual.Sets.Keys.Where(name => !wanted.Sets.ContainsKey(name)))
            {
                _deletedSets.Add(name);
                Texts.Add($"set {name} is not wanted");
            }

            foreach (var set in wanted.Sets.Values)
            {
                var elements = wanted.Elements.GetValueOrDefault(set.Name) ?? [];
                var found = actual.Sets.GetValueOrDefault(set.Name);
                if (found == SetMessage.Of(set))
                {
                    CompareElements(set, elements);
                    continue;
                }

                Texts.Add(found is null ? $"set {set.Name} is missing" : $"set {set.Name} is of another type: {found}");
                if (found is not null)
                    _deletedSets.Add(set.Name);
                _sets.Add(set);
                _elements.AddRange(elements.Select(element => new SetElement(set.Name, element)));
            }
        }

        internal void CompareChains()
        {
            foreach (var name in actual.Chains.Keys.Where(name => !wanted.Chains.ContainsKey(name)))
            {
                _deletedChains.Add(name);
                Texts.Add($"chain {name} is not wanted");
            }

            var replaced = _deletedSets.ToHashSet();
            foreach (var chain in wanted.Chains.Values)
            {
                var found = actual.Chains.GetValueOrDefault(chain.Name);
                var text = found is null ? $"chain {chain.Name} is missing" : Compare(found, chain);
                if (text is not null)
                    Texts.Add(text);

                // A set cannot be replaced while rules refer to it, so these are written anew with it.
                if (text is not null || found!.Rules.Any(rule => rule.Expressions.Any(expression => expression is Lookup lookup && replaced.Contains(lookup.Set))))
                    _chains.Add(chain);
            }
        }

        private void CompareElements(Set set, IReadOnlyCollection<Element> elements)
        {
            if (actual.Elements[set.Name] is HashSet<Element> found && found.SetEquals(elements))
                return;
            var unexpected = actual.Elements[set.Name].ToHashSet();
            var missing = elements.Where(element => !unexpected.Remove(element)).ToList();
            _elements.AddRange(missing.Select(element => new SetElement(set.Name, element)));
            _deletedElements.AddRange(unexpected.Select(element => new SetElement(set.Name, element)));
            if (missing.Count > 0)
                Texts.Add($"set {set.Name} lacks {Print(set, missing)}");
            if (unexpected.Count > 0)
                Texts.Add($"set {set.Name} has unexpected {Print(set, unexpected)}");
        }

        private static string? Compare(KernelChain found, Chain chain)
        {
            var message = ChainMessage.Of(chain);
            if (found.Chain != message)
                return $"chain {chain.Name} is {Print(found.Chain.Base)} where {Print(message.Base)} is wanted";
            for (var i = 0; i < Math.Max(found.Rules.Count, chain.Rules.Count); i++)
            {
                var rule = i < chain.Rules.Count ? RuleMessage.Of(chain.Name, chain.Rules[i]) : null;
                if (i >= found.Rules.Count)
                    return $"chain {chain.Name} lacks its rule {i + 1} \"{NftText.Print(chain.Rules[i])}\"";
                if (rule is null)
                    return $"chain {chain.Name} has an unexpected rule {i + 1} {found.Rules[i]}";
                if (rule != found.Rules[i])
                    return $"chain {chain.Name} has as rule {i + 1} {found.Rules[i]} where \"{NftText.Print(chain.Rules[i])}\" is wanted";
            }
            return null;
        }

        private static string Print(ChainHook? hook) => hook is { } found ? $"\"{found}\"" : "without a hook";

        private static string Print(Set set, IReadOnlyCollection<Element> elements) =>
            $"{elements.Count} element{(elements.Count == 1 ? "" : "s")}: {string.Join(", ", elements.Take(ElementsNamed).Select(element => Print(set, element)))}{(elements.Count > ElementsNamed ? ", …" : "")}";

        private static string Print(Set set, Element element) => element.Key.Length == 0 ? "*" : NftText.Print(set, element);
    }
}
