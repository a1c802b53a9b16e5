using Overlay.PolicyEngine.Model;

namespace Overlay.PolicyEngine.Selectors;

/// <summary>
/// Selectors, each with a value, filed so that the question "which of them match these labels?" looks only at those that can:
/// a selector stands under one of its requirements, the one under which the fewest others stand already.
/// </summary>
/// <typeparam name="T">The value; compared by reference.</typeparam>
public sealed class FiledSelectors<T> where T : class
{
    private readonly Dictionary<string, Shelf> _withinNamespace = [];
    private readonly Shelf _byPodLabels = new();
    private readonly Shelf _byNamespaceLabels = new();

    /// <summary>Files a selector; the result is what <see cref="Remove"/> wants.</summary>
    public Filing Add(Selector selector, T value)
    {
        var (shelf, labels) = (_byPodLabels, selector.PodSelector);
        if (selector.Namespace is not null)
            _withinNamespace[selector.Namespace] = shelf = _withinNamespace.GetValueOrDefault(selector.Namespace) ?? new Shelf();
        else if (_byNamespaceLabels.Rarest(selector.NamespaceSelector).Load < _byPodLabels.Rarest(selector.PodSelector).Load)
            (shelf, labels) = (_byNamespaceLabels, selector.NamespaceSelector);

        var filing = new Filing(selector, value, shelf, shelf.Rarest(labels).Requirement);
        shelf.Add(filing);
        return filing;
    }

    /// <summary>Takes a selector out again.</summary>
    public void Remove(Filing filing)
    {
        filing.Shelf.Remove(filing);
        if (filing.Selector.Namespace is { } name && filing.Shelf.IsEmpty)
            _withinNamespace.Remove(name);
    }

    /// <summary>Adds to <paramref name="found"/> the values of the selectors that match; the arguments are those of <see cref="Selector.Matches"/>.</summary>
    /// <returns>How many selectors were looked at: the cost.</returns>
    public int Match(string @namespace, Labels? namespaceLabels, Labels labels, HashSet<T> found)
    {
        var pod = new Candidate(@namespace, namespaceLabels, labels, found);
        var known = namespaceLabels ?? Labels.Of(new Label(Namespace.NameLabel, @namespace));
        var within = _withinNamespace.TryGetValue(@namespace, out var shelf) ? shelf.Visit(labels, pod) : 0;
        return within + _byPodLabels.Visit(labels, pod) + _byNamespaceLabels.Visit(known, pod);
    }

    /// <summary>Where a selector stands.</summary>
    public sealed class Filing
    {
        internal Filing(Selector selector, T value, Shelf shelf, LabelSelectorRequirement? requirement) =>
            (Selector, Value, Shelf, Requirement) = (selector, value, shelf, requirement);

        internal Selector Selector { get; }

        internal T Value { get; }

        internal Shelf Shelf { get; }

        /// <summary>The requirement it stands under: In or Exists; null when it has none of these.</summary>
        internal LabelSelectorRequirement? Requirement { get; }
    }

    internal readonly record struct Candidate(string Namespace, Labels? NamespaceLabels, Labels Labels, HashSet<T> Found)
    {
        public int Try(List<Filing> filings)
        {
            foreach (var filing in filings)
            {
                if (filing.Selector.Matches(Namespace, NamespaceLabels, Labels))
                    Found.Add(filing.Value);
            }

            return filings.Count;
        }
    }

    /// <summary>Selectors by label (In), by key (Exists), and those that only labels' absence or nothing restricts.</summary>
    internal sealed class Shelf
    {
        private readonly Dictionary<Label, List<Filing>> _byLabel = [];
        private readonly Dictionary<string, List<Filing>> _byKey = [];
        private readonly List<Filing> _rest = [];

        public bool IsEmpty => _byLabel.Count == 0 && _byKey.Count == 0 && _rest.Count == 0;

        /// <summary>The requirement to file under and how many stand there already; none: all are looked at, every time.</summary>
        public (int Load, LabelSelectorRequirement? Requirement) Rarest(LabelSelector selector)
        {
            (int Load, LabelSelectorRequirement? Requirement) rarest = (int.MaxValue, null);
            foreach (var requirement in selector.Requirements)
            {
                var load = requirement.Operator switch
                {
                    LabelSelectorOperator.In => requirement.Values.Max(value => _byLabel.GetValueOrDefault(new(requirement.Key, value))?.Count ?? 0),
                    LabelSelectorOperator.Exists => _byKey.GetValueOrDefault(requirement.Key)?.Count ?? 0,
                    _ => int.MaxValue,
                };
                if (load < rarest.Load)
                    rarest = (load, requirement);
            }

            return rarest;
        }

        public void Add(Filing filing)
        {
            switch (filing.Requirement)
            {
                case null:
                    _rest.Add(filing);
                    break;
                case { Operator: LabelSelectorOperator.Exists } exists:
                    Put(_byKey, exists.Key, filing);
                    break;
                case var isIn:
                    foreach (var value in isIn.Values)
                        Put(_byLabel, new Label(isIn.Key, value), filing);
                    break;
            }
        }

        public void Remove(Filing filing)
        {
            switch (filing.Requirement)
            {
                case null:
                    _rest.Remove(filing);
                    break;
                case { Operator: LabelSelectorOperator.Exists } exists:
                    Drop(_byKey, exists.Key, filing);
                    break;
                case var isIn:
                    foreach (var value in isIn.Values)
                        Drop(_byLabel, new Label(isIn.Key, value), filing);
                    break;
            }
        }

        public int Visit(Labels labels, Candidate candidate)
        {
            var visited = candidate.Try(_rest);
            foreach (var label in labels.All)
            {
                if (_byLabel.TryGetValue(label, out var filings))
                    visited += candidate.Try(filings);
                if (_byKey.TryGetValue(label.Key, out filings))
                    visited += candidate.Try(filings);
            }

            return visited;
        }

        private static void Put<TKey>(Dictionary<TKey, List<Filing>> filings, TKey key, Filing filing) where TKey : notnull
        {
            if (!filings.TryGetValue(key, out var list))
                filings[key] = list = [];
            list.Add(filing);
        }

        private static void Drop<TKey>(Dictionary<TKey, List<Filing>> filings, TKey key, Filing filing) where TKey : notnull
        {
            var list = filings[key];
            list.Remove(filing);
            if (list.Count == 0)
                filings.Remove(key);
        }
    }
}
