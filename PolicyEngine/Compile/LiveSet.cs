using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;
using Overlay.PolicyEngine.Selectors;

namespace Overlay.PolicyEngine.Compile;

/// <summary>A set of the present ruleset, which remembers how it differs from what was last taken.</summary>
internal abstract class LiveSet(Set set) : ISetView
{
    private bool _noted;

    /// <summary>The set.</summary>
    public Set Set { get; } = set;

    /// <summary>How many compiled policies refer to it. At 0 it goes with the next take, unless something refers to it again before.</summary>
    public int References { get; set; }

    /// <summary>Whether it was part of the ruleset last taken.</summary>
    public bool Taken { get; private set; }

    /// <summary>Where it puts itself down when it changes; null until it is part of a ruleset.</summary>
    public List<LiveSet>? Changes { get; set; }

    /// <summary>Its elements, in no particular order.</summary>
    public abstract IEnumerable<Element> Elements { get; }

    /// <inheritdoc/>
    public abstract Element? Find(ElementKey key);

    /// <summary>The differences since the last take; begins anew.</summary>
    public (List<Element> Added, List<Element> Deleted) Take()
    {
        List<Element> added = [], deleted = [];
        if (Taken)
            Differences(added, deleted);
        else
            added.AddRange(Elements);
        Taken = true;
        _noted = false;
        Forget();
        return (added, deleted);
    }

    /// <summary>Puts the set down as changed.</summary>
    public void Note()
    {
        if (_noted || Changes is null)
            return;
        _noted = true;
        Changes.Add(this);
    }

    protected abstract void Differences(List<Element> added, List<Element> deleted);

    protected abstract void Forget();
}

/// <summary>A set filled from pods or nodes. A key is counted, since two of them may have one address for a moment.</summary>
internal sealed class CountedSet(SetSource source) : LiveSet(source.Set), IMembers
{
    private readonly Dictionary<ElementKey, int> _counts = [];

    // Keys that are in the set and were not, or were and are not. Replaced, never cleared: a set that was once large is slow to enumerate for ever.
    private HashSet<ElementKey> _toggled = [];

    public SetSource Source => source;

    public override IEnumerable<Element> Elements => _counts.Keys.Select(key => Element.Of(key));

    public override Element? Find(ElementKey key) => _counts.ContainsKey(key) ? Element.Of(key) : null;

    public void Add(Pod pod) => Add(source.Keys(pod));

    public void Remove(Pod pod) => Remove(source.Keys(pod));

    public void Add(ClusterNode node) => Add(source.Keys(node));

    public void Remove(ClusterNode node) => Remove(source.Keys(node));

    private void Add(IEnumerable<ElementKey> keys)
    {
        foreach (var key in keys)
        {
            _counts[key] = _counts.GetValueOrDefault(key) + 1;
            if (_counts[key] == 1)
                Toggle(key);
        }
    }

    private void Remove(IEnumerable<ElementKey> keys)
    {
        foreach (var key in keys)
        {
            if (--_counts[key] > 0)
                continue;
            _counts.Remove(key);
            Toggle(key);
        }
    }

    protected override void Differences(List<Element> added, List<Element> deleted)
    {
        foreach (var key in _toggled)
            (_counts.ContainsKey(key) ? added : deleted).Add(Element.Of(key));
    }

    protected override void Forget()
    {
        if (_toggled.Count > 0)
            _toggled = [];
    }

    private void Toggle(ElementKey key)
    {
        if (!Taken)
            return;
        if (!_toggled.Remove(key))
            _toggled.Add(key);
        Note();
    }
}

/// <summary>A small set or map whose elements are written whole: a verdict or the end of a range may change under a key.</summary>
internal sealed class KeyedSet(Set set) : LiveSet(set)
{
    private readonly Dictionary<ElementKey, Element> _elements = [];

    private Dictionary<ElementKey, Element?> _before = [];

    // Sorted at the first look-up after a change; null until then.
    private Ranges? _ranges;

    public override IEnumerable<Element> Elements => _elements.Values;

    public override Element? Find(ElementKey key)
    {
        if (Set.IsInterval)
            return (_ranges ??= new(Set, _elements.Values)).Find(key);
        return _elements.TryGetValue(key, out var element) ? element : null;
    }

    public void Put(Element element)
    {
        Remember(element.Key);
        _elements[element.Key] = element;
    }

    public void Remove(ElementKey key)
    {
        Remember(key);
        _elements.Remove(key);
    }

    public void Replace(EquatableArray<Element> elements)
    {
        foreach (var key in _elements.Keys.Except(elements.Select(element => element.Key)).ToList())
            Remove(key);
        foreach (var element in elements)
            Put(element);
    }

    protected override void Differences(List<Element> added, List<Element> deleted)
    {
        foreach (var (key, before) in _before)
        {
            Element? now = _elements.TryGetValue(key, out var element) ? element : null;
            if (now == before)
                continue;
            if (before is { } gone && now?.Last != gone.Last)
                deleted.Add(gone);
            if (now is { } current)
                added.Add(current);
        }
    }

    protected override void Forget()
    {
        if (_before.Count > 0)
            _before = [];
    }

    private void Remember(ElementKey key)
    {
        _ranges = null;
        if (!Taken)
            return;
        _before.TryAdd(key, _elements.TryGetValue(key, out var element) ? element : null);
        Note();
    }
}
