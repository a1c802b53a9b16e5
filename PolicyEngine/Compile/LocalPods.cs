using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;
using Overlay.PolicyEngine.Selectors;

namespace Overlay.PolicyEngine.Compile;

/// <summary>A pod wired on this node.</summary>
internal sealed class LocalPod(Pod pod, LocalGroup group)
{
    public Pod Pod => pod;

    public LocalGroup Group => group;
}

/// <summary>Local pods of one namespace with equal labels: the same policies select them all.</summary>
internal sealed class LocalGroup(string @namespace, Labels labels)
{
    private readonly Isolation[] _isolation = new Isolation[2];

    public string Namespace => @namespace;

    public Labels Labels => labels;

    public List<LocalPod> Pods { get; } = [];

    /// <summary>The policies that select the pods, by name.</summary>
    public SortedDictionary<NamespacedName, LivePolicy> Policies { get; } = [];

    public ref Isolation this[Direction direction] => ref _isolation[(int)direction];

    public Verdict Verdict(Direction direction) => this[direction].Verdict;
}

/// <summary>A policy; compiled while it selects a local pod.</summary>
internal sealed class LivePolicy(Policy policy)
{
    public Policy Policy { get; set; } = policy;

    public FiledSelectors<LivePolicy>.Filing? Filing { get; set; }

    /// <summary>How many groups it selects.</summary>
    public int Groups { get; set; }

    /// <summary>Null while it selects no group.</summary>
    public CompiledPolicy? Compiled { get; set; }
}

/// <summary>Which policies select the pods of this node, and what follows: the chains of these policies, of their combinations, and the dispatch.</summary>
internal sealed class LocalPods(RulesetOptions options, LiveRuleset ruleset, SetTable sets, PodDispatch dispatch)
{
    private readonly Dictionary<NamespacedName, LocalPod> _pods = [];
    private readonly Dictionary<(string Namespace, Labels Labels), LocalGroup> _groups = [];
    private readonly Dictionary<NamespacedName, LivePolicy> _policies = [];
    private readonly FiledSelectors<LivePolicy> _subjects = new();
    private readonly Dictionary<string, int> _podsChains = [];

    /// <summary>A pod is wired here, or changed.</summary>
    public void SetPod(Pod pod)
    {
        var old = _pods.GetValueOrDefault(pod.Name);
        if (old?.Pod == pod)
            return;
        // First in, then out: what both need is not taken down in between.
        _pods[pod.Name] = Join(pod);
        if (old is not null)
            Leave(old);
    }

    /// <summary>A pod is not (or no longer) wired here.</summary>
    public void RemovePod(NamespacedName name)
    {
        if (_pods.Remove(name, out var pod))
            Leave(pod);
    }

    /// <summary>A policy is new or different.</summary>
    public void SetPolicy(Policy policy)
    {
        if (!_policies.TryGetValue(policy.Name, out var live))
            _policies[policy.Name] = live = new LivePolicy(policy);
        else if (live.Policy == policy)
            return;
        if (live.Filing is not null)
            _subjects.Remove(live.Filing);
        live.Policy = policy;
        live.Filing = _subjects.Add(policy.Subject, live);
        if (live.Compiled is not null)
            Install(live, PolicyCompiler.Compile(policy));
        Reselect(live, policy.Subject.PodSelector.Matches);
    }

    /// <summary>A policy is gone.</summary>
    public void RemovePolicy(NamespacedName name)
    {
        if (!_policies.Remove(name, out var live))
            return;
        _subjects.Remove(live.Filing!);
        Reselect(live, _ => false);
    }

    /// <summary>The policies in force here whose chains or sets go by that name.</summary>
    public IReadOnlyList<NamespacedName> PoliciesOf(string name) => _policies.Values
        .Where(live => live.Compiled is { } compiled && (compiled.Ingress?.Name == name || compiled.Egress?.Name == name || compiled.Sources.Any(source => source.Set.Name == name)))
        .Select(live => live.Policy.Name)
        .Order()
        .ToList();

    private void Reselect(LivePolicy live, Func<Labels, bool> selects)
    {
        foreach (var group in _groups.Values.Where(group => group.Namespace == live.Policy.Name.Namespace))
        {
            var (did, does) = (group.Policies.ContainsKey(live.Policy.Name), selects(group.Labels));
            if (does && !did)
                Select(group, live);
            else if (did && !does)
                Deselect(group, live);
            if (did || does)
                Isolate(group);
        }
    }

    private LocalPod Join(Pod pod)
    {
        if (!_groups.TryGetValue((pod.Name.Namespace, pod.Labels), out var group))
            _groups[(pod.Name.Namespace, pod.Labels)] = group = NewGroup(pod);
        var local = new LocalPod(pod, group);
        group.Pods.Add(local);
        foreach (var address in pod.Addresses.Distinct())
            dispatch.Claim(address, local);
        return local;
    }

    private void Leave(LocalPod pod)
    {
        foreach (var address in pod.Pod.Addresses.Distinct())
            dispatch.Release(address, pod);
        var group = pod.Group;
        group.Pods.Remove(pod);
        if (group.Pods.Count > 0)
            return;
        _groups.Remove((group.Namespace, group.Labels));
        foreach (var live in group.Policies.Values.ToList())
            Deselect(group, live);
        Let(group[Direction.Ingress]);
        Let(group[Direction.Egress]);
    }

    private LocalGroup NewGroup(Pod pod)
    {
        var group = new LocalGroup(pod.Name.Namespace, pod.Labels);
        var found = new HashSet<LivePolicy>();
        _subjects.Match(group.Namespace, null, group.Labels, found);
        foreach (var live in found)
            Select(group, live);
        Isolate(group);
        return group;
    }

    private void Select(LocalGroup group, LivePolicy live)
    {
        group.Policies.Add(live.Policy.Name, live);
        if (live.Groups++ == 0)
            Install(live, PolicyCompiler.Compile(live.Policy));
    }

    private void Deselect(LocalGroup group, LivePolicy live)
    {
        group.Policies.Remove(live.Policy.Name);
        if (--live.Groups == 0)
            Install(live, null);
    }

    // Chains and sets of the policy, in place of those it has now.
    private void Install(LivePolicy live, CompiledPolicy? compiled)
    {
        var old = live.Compiled;
        live.Compiled = compiled;
        foreach (var direction in (ReadOnlySpan<Direction>)[Direction.Ingress, Direction.Egress])
        {
            if (compiled?.Chain(direction) is { } chain)
                ruleset.Put(chain);
            else if (old?.Chain(direction) is { } gone)
                ruleset.RemoveChain(gone.Name);
        }

        foreach (var source in compiled?.Sources ?? [])
            sets.Retain(source);
        foreach (var source in old?.Sources ?? [])
            sets.Release(source);
    }

    // The verdicts of a group, and the chains they go to.
    private void Isolate(LocalGroup group)
    {
        foreach (var direction in (ReadOnlySpan<Direction>)[Direction.Ingress, Direction.Egress])
        {
            var old = group[direction];
            var isolation = PodCompiler.Compile(direction, group.Policies.Values.Select(live => live.Compiled!), options);
            if (isolation == old)
                continue;
            group[direction] = isolation;
            if (isolation.Chain is { } chain)
            {
                _podsChains[chain.Name] = _podsChains.GetValueOrDefault(chain.Name) + 1;
                ruleset.Put(chain);
            }

            Let(old);
        }

        foreach (var pod in group.Pods)
        {
            foreach (var address in pod.Pod.Addresses)
                dispatch.Refresh(address);
        }
    }

    private void Let(Isolation isolation)
    {
        if (isolation.Chain is null || --_podsChains[isolation.Chain.Name] > 0)
            return;
        _podsChains.Remove(isolation.Chain.Name);
        ruleset.RemoveChain(isolation.Chain.Name);
    }
}
