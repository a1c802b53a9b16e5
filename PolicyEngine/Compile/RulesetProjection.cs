using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.PolicyEngine.Compile;

/// <summary>
/// Keeps the ruleset of one node in step with the cluster, at a cost proportional to each change. Events may come in any order and repeat;
/// the ruleset depends on the present state only (<see cref="FromScratch"/> computes the same from that state alone). Not thread-safe.
/// </summary>
public sealed class RulesetProjection
{
    private readonly RulesetOptions _options;
    private readonly LiveRuleset _ruleset = new();
    private readonly Dictionary<string, KeyedSet> _baseSets = [];
    private RangeUnion _network = new([]);
    private readonly SetTable _sets;
    private readonly LocalPods _localPods;
    private readonly LiveHostPorts _hostPorts;

    /// <summary>The ruleset of a node without pods, policies and pod network.</summary>
    /// <param name="options">Fixed for the life of the projection.</param>
    public RulesetProjection(RulesetOptions options)
    {
        _options = options;
        _sets = new(_ruleset);
        foreach (var chain in BaseChains.Chains(options))
            _ruleset.Put(chain);
        foreach (var set in BaseChains.DispatchMaps.Concat(BaseChains.Networks(options, new([], [])).Select(source => source.Set)))
        {
            var keyed = _baseSets[set.Name] = new KeyedSet(set);
            _ruleset.Add(keyed);
            LiveRuleset.Retain(keyed);
        }

        foreach (var family in FamilyFacts.Both)
        {
            _sets.Retain(SetSources.Self(family));
            _sets.Retain(SetSources.AllNodes(family));
        }

        _hostPorts = new(_ruleset);
        _localPods = new(options, _ruleset, _sets, new PodDispatch(_baseSets));
    }

    /// <summary>The projection of a state that is there already.</summary>
    public static RulesetProjection Of(ClusterState state)
    {
        var projection = new RulesetProjection(state.Options);
        projection.SetNetwork(state.Network);
        foreach (var node in state.Nodes)
            projection.SetNode(node);
        foreach (var @namespace in state.Namespaces)
            projection.SetNamespace(@namespace);
        foreach (var policy in state.Policies)
            projection.SetPolicy(policy);
        foreach (var pod in state.Pods)
            projection.SetPod(pod, state.LocalPods.Contains(pod.Name));
        return projection;
    }

    /// <summary>A copy of the whole ruleset as it stands; takes time in proportion to its size.</summary>
    public Ruleset Current => _ruleset.Current;

    /// <summary>The ruleset as it stands, to look things up in (to walk packets through, say) without a copy. It changes with the projection.</summary>
    public IRulesetView View => _ruleset;

    /// <summary>Sets the prefixes of the pod network; until the first call there are none.</summary>
    public void SetNetwork(PodNetwork network)
    {
        foreach (var source in BaseChains.Networks(_options, network))
            _baseSets[source.Set.Name].Replace(source.Elements);
        _network = new(network.All.Select(AddressRange.Of));
    }

    /// <summary>More prefixes of other nodes belong to the pod network. Costs as much as they change, where <see cref="SetNetwork"/> looks at all.</summary>
    public void AddToNetwork(EquatableArray<Cidr> prefixes)
    {
        if (!_options.Masquerade)
            return;
        foreach (var prefix in prefixes)
        {
            var joined = _network.Add(AddressRange.Of(prefix), out var replaced);
            var set = _baseSets[BaseChains.PodNetwork(prefix.Family)];
            foreach (var range in replaced)
                set.Remove(ElementKey.Of(range.First));
            set.Put(Element.Range(joined.First, joined.Last));
        }
    }

    /// <summary>A namespace is new or different. Pods of a namespace that is not known are matched by a namespaceSelector only as far as its name alone decides.</summary>
    public void SetNamespace(Namespace @namespace)
    {
        _sets.SetNamespace(@namespace);
        _localPods.SetNamespace(@namespace.Name, @namespace.WithNameLabel().Labels);
    }

    /// <summary>A namespace is gone; one that was not known is ignored.</summary>
    public void RemoveNamespace(string name)
    {
        _sets.RemoveNamespace(name);
        _localPods.SetNamespace(name, null);
    }

    /// <summary>A node is new or different.</summary>
    public void SetNode(ClusterNode node) => _sets.SetNode(node);

    /// <summary>A node is gone; one that was not known is ignored.</summary>
    public void RemoveNode(string name) => _sets.RemoveNode(name);

    /// <summary>A pod is new or different.</summary>
    /// <param name="pod">The pod as it is now. A host-network pod has no place in the ruleset. A pod that has ended must be removed: its address may be another's by now.</param>
    /// <param name="local">Wired on this node: it gets its entries in the dispatch maps.</param>
    public void SetPod(Pod pod, bool local)
    {
        if (pod.HostNetwork)
        {
            RemovePod(pod.Name);
            return;
        }

        _sets.SetPod(pod, local);
        if (local)
        {
            _localPods.SetPod(pod);
            _hostPorts.SetPod(pod);
            return;
        }

        _localPods.RemovePod(pod.Name);
        _hostPorts.RemovePod(pod.Name);
    }

    /// <summary>A pod is gone; one that was not known is ignored.</summary>
    public void RemovePod(NamespacedName name)
    {
        _sets.RemovePod(name);
        _localPods.RemovePod(name);
        _hostPorts.RemovePod(name);
    }

    /// <summary>A policy is new or different.</summary>
    public void SetPolicy(Policy policy) => _localPods.SetPolicy(policy);

    /// <summary>A policy is gone; one that was not known is ignored.</summary>
    public void RemovePolicy(NamespacedName name) => _localPods.RemovePolicy(name);

    /// <summary>The policies that the chain or set of that name comes from, in order: whose fault it is when the kernel refuses it. Looks at every policy.</summary>
    public IReadOnlyList<NamespacedName> PoliciesOf(string name) => _localPods.PoliciesOf(name);

    /// <summary>The difference between the ruleset now and at the last call (at first: an empty one). What changed and changed back is not in it.</summary>
    public RulesetDelta Take() => _ruleset.Take(_sets.Collect());

    /// <summary>The ruleset of <paramref name="state"/>, computed whole and without the incremental code: its referee. Costs pods times sets.</summary>
    public static Ruleset FromScratch(ClusterState state) => new RulesetFromScratch(state).Compile();
}
