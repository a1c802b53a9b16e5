using Overlay.PolicyEngine.Nftables;

namespace Overlay.PolicyEngine.Compile;

/// <summary>The present ruleset and how it differs from what was last taken. Taking costs about as much as there are differences.</summary>
internal sealed class LiveRuleset : IRulesetView
{
    private readonly Dictionary<string, Chain> _chains = [];
    private readonly Dictionary<string, LiveSet> _sets = [];
    private readonly List<LiveSet> _changes = [];
    private readonly List<LiveSet> _unused = [];
    private readonly Dictionary<Hook, List<Chain>> _baseChains = [];
    private Dictionary<string, Chain?> _chainsBefore = [];

    public Ruleset Current
    {
        get
        {
            var sets = _sets.Values.Where(set => set.References > 0).ToList();
            return new(
                new Dictionary<string, Chain>(_chains),
                sets.ToDictionary(set => set.Set.Name, set => set.Set),
                sets.ToDictionary(set => set.Set.Name, IReadOnlyCollection<Element> (set) => [.. set.Elements]));
        }
    }

    public void Put(Chain chain)
    {
        _chainsBefore.TryAdd(chain.Name, _chains.GetValueOrDefault(chain.Name));
        SetBase(_chains.GetValueOrDefault(chain.Name), chain);
        _chains[chain.Name] = chain;
    }

    public void RemoveChain(string name)
    {
        _chainsBefore.TryAdd(name, _chains.GetValueOrDefault(name));
        SetBase(_chains.GetValueOrDefault(name), null);
        _chains.Remove(name);
    }

    public IReadOnlyList<Chain> BaseChains(Hook hook) => _baseChains.GetValueOrDefault(hook) ?? [];

    public Chain? FindChain(string name) => _chains.GetValueOrDefault(name);

    // A set that nothing refers to is no longer part of the ruleset.
    ISetView? IRulesetView.FindSet(string name) => FindSet(name) is { References: > 0 } set ? set : null;

    public LiveSet? FindSet(string name) => _sets.GetValueOrDefault(name);

    public void Add(LiveSet set)
    {
        _sets.Add(set.Set.Name, set);
        set.Changes = _changes;
        set.Note();
    }

    /// <summary>One more rule or policy refers to a set.</summary>
    public static void Retain(LiveSet set) => set.References++;

    /// <summary>One fewer does. The set stays, and is to be kept up to date, until <see cref="Collect"/>.</summary>
    public void Release(LiveSet set)
    {
        if (--set.References == 0)
            _unused.Add(set);
    }

    /// <summary>The sets that nothing refers to any longer, taken out of the table; what was last taken may still have them.</summary>
    public IReadOnlyList<LiveSet> Collect()
    {
        // One may have been used again, and even dropped again, meanwhile.
        var unused = _unused.Where(set => set.References == 0).Distinct().ToList();
        _unused.Clear();
        foreach (var set in unused)
            _sets.Remove(set.Set.Name);
        return unused;
    }

    /// <summary>The difference since the last call.</summary>
    /// <param name="collected">What <see cref="Collect"/> gave since then.</param>
    public RulesetDelta Take(IReadOnlyList<LiveSet> collected)
    {
        var (chains, deletedChains) = TakeChains();
        var sets = new List<Set>();
        List<SetElement> added = [], deleted = [];
        foreach (var set in _changes)
        {
            if (set.References == 0)
                continue;
            if (!set.Taken)
                sets.Add(set.Set);
            var (gained, lost) = set.Take();
            added.AddRange(gained.Select(element => new SetElement(set.Set.Name, element)));
            deleted.AddRange(lost.Select(element => new SetElement(set.Set.Name, element)));
        }

        _changes.Clear();
        return new(
            new([.. chains]),
            new([.. deletedChains]),
            new([.. sets]),
            new([.. collected.Where(set => set.Taken).Select(set => set.Set.Name)]),
            new([.. added]),
            new([.. deleted]));
    }

    private void SetBase(Chain? old, Chain? now)
    {
        if (old?.Base is { } left)
            _baseChains[left.Hook].Remove(old);
        if (now?.Base is not { } joined)
            return;
        if (!_baseChains.TryGetValue(joined.Hook, out var chains))
            _baseChains[joined.Hook] = chains = [];
        chains.Add(now);
        chains.Sort((one, other) => one.Base!.Value.Priority.CompareTo(other.Base!.Value.Priority));
    }

    private (List<Chain> Changed, List<string> Deleted) TakeChains()
    {
        List<Chain> changed = [];
        List<string> deleted = [];
        foreach (var (name, before) in _chainsBefore)
        {
            var now = _chains.GetValueOrDefault(name);
            if (now is null && before is not null)
                deleted.Add(name);
            else if (now is not null && now != before)
                changed.Add(now);
        }

        if (_chainsBefore.Count > 0)
            _chainsBefore = [];
        return (changed, deleted);
    }
}
