using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Selectors;

namespace Overlay.PolicyEngine.Compile;

/// <summary>The sets that something refers to, each filled from its source: from the pods of the cluster, from those of this node, or once and for all.</summary>
internal sealed class SetTable(LiveRuleset ruleset)
{
    private readonly SelectorIndex<CountedSet> _index = new();
    private readonly Dictionary<NamespacedName, Pod> _localPods = [];
    private readonly List<CountedSet> _localSets = [];
    private readonly Dictionary<string, ClusterNode> _nodes = [];
    private readonly List<CountedSet> _nodeSets = [];

    public void SetNode(ClusterNode node) => Replace(node.Name, node);

    public void RemoveNode(string name) => Replace(name, null);

    public void SetNamespace(Namespace @namespace) => _index.SetNamespace(@namespace);

    public void RemoveNamespace(string name) => _index.RemoveNamespace(name);

    public void SetPod(Pod pod, bool local)
    {
        _index.SetPod(pod);
        SetLocal(pod.Name, local ? pod : null);
    }

    public void RemovePod(NamespacedName name)
    {
        _index.RemovePod(name);
        SetLocal(name, null);
    }

    /// <summary>One more policy (or base chain) refers to the set of this source.</summary>
    public void Retain(SetSource source)
    {
        if (ruleset.FindSet(source.Set.Name) is not { } set)
            ruleset.Add(set = Fill(source));
        LiveRuleset.Retain(set);
    }

    /// <summary>One fewer refers to it. The set stays, and is kept up to date, until <see cref="Collect"/>.</summary>
    public void Release(SetSource source) => ruleset.Release(ruleset.FindSet(source.Set.Name)!);

    /// <summary>Lets go of the sets that nothing refers to.</summary>
    public IReadOnlyList<LiveSet> Collect()
    {
        var collected = ruleset.Collect();
        foreach (var set in collected.OfType<CountedSet>())
        {
            if (set.Source is SetSource.Pods)
                _index.Unwatch(set);
            else
                (set.Source is SetSource.Nodes ? _nodeSets : _localSets).Remove(set);
        }

        return collected;
    }

    private LiveSet Fill(SetSource source)
    {
        switch (source)
        {
            case SetSource.Fixed { Elements: var elements }:
                var whole = new KeyedSet(source.Set);
                whole.Replace(elements);
                return whole;
            case SetSource.Pods { Selectors: var selectors }:
                var selected = new CountedSet(source);
                _index.Watch(selected, selectors);
                return selected;
            case SetSource.Nodes:
                var ofNodes = new CountedSet(source);
                _nodeSets.Add(ofNodes);
                foreach (var node in _nodes.Values)
                    ofNodes.Add(node);
                return ofNodes;
            default:
                var local = new CountedSet(source);
                _localSets.Add(local);
                foreach (var pod in _localPods.Values)
                    local.Add(pod);
                return local;
        }
    }

    private void Replace(string name, ClusterNode? node)
    {
        _nodes.Remove(name, out var old);
        if (node is not null)
            _nodes.Add(name, node);
        if (old == node)
            return;
        foreach (var set in _nodeSets)
        {
            if (node is not null)
                set.Add(node);
            if (old is not null)
                set.Remove(old);
        }
    }

    private void SetLocal(NamespacedName name, Pod? pod)
    {
        _localPods.Remove(name, out var old);
        if (pod is not null)
            _localPods.Add(name, pod);
        if (old == pod)
            return;
        foreach (var set in _localSets)
        {
            if (pod is not null)
                set.Add(pod);
            if (old is not null)
                set.Remove(old);
        }
    }
}
