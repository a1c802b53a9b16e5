using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.PolicyEngine.Compile;

/// <summary>
/// Keeps the ruleset of one node in step with the cluster, at a cost proportional to each change. Events may come in any order and repeat;
/// the ruleset depends on the present state only (<see cref="FromScratch"/> computes the same from that state alone). Not thread-safe.
/// </summary>
/// <param name="options">Fixed for the life of the projection.</param>
public sealed class RulesetProjection(RulesetOptions options)
{
    private readonly RulesetOptions _options = options;

    /// <summary>A copy of the whole ruleset as it stands; takes time in proportion to its size.</summary>
    public Ruleset Current => throw new NotImplementedException(_options.ToString());

    /// <summary>Sets the prefixes of the pod network; until the first call there are none.</summary>
    public void SetNetwork(PodNetwork network) => throw new NotImplementedException(_options + network.ToString());

    /// <summary>A namespace is new or different. Pods of a namespace that is not known are matched by a namespaceSelector only as far as its name alone decides.</summary>
    public void SetNamespace(Namespace @namespace) => throw new NotImplementedException(_options + @namespace.ToString());

    /// <summary>A namespace is gone; one that was not known is ignored.</summary>
    public void RemoveNamespace(string name) => throw new NotImplementedException(_options + name);

    /// <summary>A pod is new or different.</summary>
    /// <param name="pod">The pod as it is now. A host-network pod has no place in the ruleset.</param>
    /// <param name="local">Wired on this node: it gets its entries in the dispatch maps.</param>
    public void SetPod(Pod pod, bool local) => throw new NotImplementedException($"{_options}{pod}{local}");

    /// <summary>A pod is gone; one that was not known is ignored.</summary>
    public void RemovePod(NamespacedName name) => throw new NotImplementedException(_options + name.ToString());

    /// <summary>A policy is new or different.</summary>
    public void SetPolicy(NetworkPolicy policy) => throw new NotImplementedException(_options + policy.ToString());

    /// <summary>A policy is gone; one that was not known is ignored.</summary>
    public void RemovePolicy(NamespacedName name) => throw new NotImplementedException(_options + name.ToString());

    /// <summary>The difference between the ruleset now and at the last call (at first: an empty one). What changed and changed back is not in it.</summary>
    public RulesetDelta Take() => throw new NotImplementedException(_options.ToString());

    /// <summary>The ruleset of <paramref name="state"/>, computed whole and without the incremental code: its referee.</summary>
    public static Ruleset FromScratch(ClusterState state) => throw new NotImplementedException(state.ToString());
}
