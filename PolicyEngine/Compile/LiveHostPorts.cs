using Overlay.PolicyEngine.Model;

namespace Overlay.PolicyEngine.Compile;

/// <summary>The host ports of this node's pods in the present ruleset. They are few and change with their pods alone, so the maps are computed whole.</summary>
internal sealed class LiveHostPorts(LiveRuleset ruleset)
{
    private readonly Dictionary<NamespacedName, Pod> _pods = [];

    /// <summary>A pod of this node is new or different.</summary>
    public void SetPod(Pod pod)
    {
        if (pod.HostPorts.Count == 0)
        {
            RemovePod(pod.Name);
            return;
        }

        var old = _pods.GetValueOrDefault(pod.Name);
        _pods[pod.Name] = pod;
        if (old?.HostPorts == pod.HostPorts)
            return;
        if (_pods.Count == 1 && old is null)
            Install();
        Fill();
    }

    /// <summary>A pod is gone from this node, or never was on it.</summary>
    public void RemovePod(NamespacedName name)
    {
        if (!_pods.Remove(name))
            return;
        Fill();
        if (_pods.Count == 0)
            Remove();
    }

    private void Fill()
    {
        foreach (var (map, elements) in HostPorts.Elements(_pods.Values))
            ((KeyedSet)ruleset.FindSet(map)!).Replace(elements);
    }

    private void Install()
    {
        foreach (var map in HostPorts.Maps)
        {
            if (ruleset.FindSet(map.Name) is not { } set)
                ruleset.Add(set = new KeyedSet(map));
            LiveRuleset.Retain(set);
        }

        foreach (var chain in HostPorts.Chains)
            ruleset.Put(chain);
    }

    private void Remove()
    {
        foreach (var chain in HostPorts.Chains)
            ruleset.RemoveChain(chain.Name);
        foreach (var map in HostPorts.Maps)
            ruleset.Release(ruleset.FindSet(map.Name)!);
    }
}
