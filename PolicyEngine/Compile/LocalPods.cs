using Overlay.PolicyEngine.Model;
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
    private readonly Isolation[] _isolation = [.. Enum.GetValues<PacketPath>().Select(_ => new Isolation(null, [], []))];

    public string Namespace => @namespace;

    public Labels Labels => labels;

    public List<LocalPod> Pods { get; } = [];

    /// <summary>The policies that select the pods.</summary>
    public HashSet<LivePolicy> Policies { get; } = [];

    public ref Isolation this[PacketPath path] => ref _isolation[(int)path];
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
    private static readonly PacketPath[] Paths = Enum.GetValues<PacketPath>();
    private readonly Dictionary<string, Labels> _namespaces = [];
    private readonly Dictionary<NamespacedName, LocalPod> _pods = [];
    private readonly Dictionary<(string Namespace, Labels Labels), LocalGroup> _groups = [];
    private readonly Dictionary<NamespacedName, LivePolicy> _policies = [];
    private readonly FiledSelectors<LivePolicy> _subjects = new();
    private readonly Dictionary<string, int> _sharedChains = [];

    // The policies that must know a namespace's labels to tell whether they select its pods.
    private readonly HashSet<NamespacedName> _asking = [];

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

    /// <summary>Labels of a namespace are known, or others than before; null when it is not known any longer.</summary>
    public void SetNamespace(string name, Labels? labels)
    {
        if (Equals(_namespaces.GetValueOrDefault(name), labels))
            return;
        if (labels is null)
            _namespaces.Remove(name);
        else
            _namespaces[name] = labels;
        foreach (var group in _groups.Values.Where(group => group.Namespace == name))
        {
            var found = SelectedBy(group);
            foreach (var live in found.Except(group.Policies).ToList())
                Select(group, live);
            foreach (var live in group.Policies.Except(found).ToList())
                Deselect(group, live);
            Isolate(group);
        }
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
        Reselect(live, group => policy.Subject.Matches(group.Namespace, _namespaces.GetValueOrDefault(group.Namespace), group.Labels), policy.Subject is { Namespace: null, AsksForNamespaceLabels: true });
    }

    /// <summary>A policy is gone.</summary>
    public void RemovePolicy(NamespacedName name)
    {
        if (!_policies.Remove(name, out var live))
            return;
        _subjects.Remove(live.Filing!);
        Reselect(live, _ => false, asks: false);
    }

    /// <summary>The policies in force here whose chains or sets go by that name.</summary>
    public IReadOnlyList<NamespacedName> PoliciesOf(string name)
    {
        var within = _groups.Values
            .Where(group => Paths.Any(path => group[path].Chains.Any(chain => chain.Name == name)))
            .SelectMany(group => group.Policies)
            .Where(live => live.Compiled!.IsInlined(Direction.Ingress) || live.Compiled.IsInlined(Direction.Egress));
        return _policies.Values
            .Where(live => live.Compiled is { } compiled && (compiled.Ingress?.Name == name || compiled.Egress?.Name == name || compiled.Sources.Any(source => source.Set.Name == name)))
            .Concat(within)
            .Select(live => live.Policy.Name)
            .Distinct()
            .Order()
            .ToList();
    }

    private void Reselect(LivePolicy live, Func<LocalGroup, bool> selects, bool asks)
    {
        var asked = asks ? _asking.Add(live.Policy.Name) : _asking.Remove(live.Policy.Name);
        foreach (var group in _groups.Values)
        {
            var (did, does) = (group.Policies.Contains(live), selects(group));
            if (does && !did)
                Select(group, live);
            else if (did && !does)
                Deselect(group, live);
            if (did || does || ((asked || asks) && !_namespaces.ContainsKey(group.Namespace)))
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
        foreach (var live in group.Policies.ToList())
            Deselect(group, live);
        foreach (var path in Paths)
            Let(group[path]);
    }

    private LocalGroup NewGroup(Pod pod)
    {
        var group = new LocalGroup(pod.Name.Namespace, pod.Labels);
        foreach (var live in SelectedBy(group))
            Select(group, live);
        Isolate(group);
        return group;
    }

    private HashSet<LivePolicy> SelectedBy(LocalGroup group)
    {
        var found = new HashSet<LivePolicy>();
        _subjects.Match(group.Namespace, _namespaces.GetValueOrDefault(group.Namespace), group.Labels, found);
        return found;
    }

    private void Select(LocalGroup group, LivePolicy live)
    {
        group.Policies.Add(live);
        if (live.Groups++ == 0)
            Install(live, PolicyCompiler.Compile(live.Policy));
    }

    private void Deselect(LocalGroup group, LivePolicy live)
    {
        group.Policies.Remove(live);
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
            if (compiled?.OwnChain(direction) is { } chain)
                ruleset.Put(chain);
            else if (old?.OwnChain(direction) is { } gone)
                ruleset.RemoveChain(gone.Name);
        }

        foreach (var source in compiled?.OwnSources() ?? [])
            sets.Retain(source);
        foreach (var source in old?.OwnSources() ?? [])
            sets.Release(source);
    }

    // The verdicts of a group, and the chains they go to.
    private void Isolate(LocalGroup group)
    {
        var asking = _namespaces.ContainsKey(group.Namespace) ? [] : _asking.Select(name => _policies[name].Policy).Where(policy => policy.Subject.PodSelector.Matches(group.Labels)).ToList();
        foreach (var path in Paths)
        {
            var old = group[path];
            var isolation = PodCompiler.Compile(path, group.Policies.Select(live => live.Compiled!), asking, options);
            if (isolation == old)
                continue;
            group[path] = isolation;
            foreach (var chain in isolation.Chains)
            {
                _sharedChains[chain.Name] = _sharedChains.GetValueOrDefault(chain.Name) + 1;
                ruleset.Put(chain);
            }

            foreach (var source in isolation.Sources)
                sets.Retain(source);
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
        foreach (var source in isolation.Sources)
            sets.Release(source);
        foreach (var chain in isolation.Chains)
        {
            if (--_sharedChains[chain.Name] > 0)
                continue;
            _sharedChains.Remove(chain.Name);
            ruleset.RemoveChain(chain.Name);
        }
    }
}
