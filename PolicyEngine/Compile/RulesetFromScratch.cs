using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.PolicyEngine.Compile;

/// <summary>Computes a ruleset by asking every pod about every policy and every set: no index, no counting, no memory. What the incremental code is held to.</summary>
internal sealed class RulesetFromScratch(ClusterState state)
{
    private readonly Dictionary<string, Chain> _chains = [];
    private readonly Dictionary<string, Set> _sets = [];
    private readonly Dictionary<string, IReadOnlyCollection<Element>> _elements = [];
    private readonly List<Pod> _pods = state.Pods.Where(pod => !pod.HostNetwork).ToList();
    private readonly Dictionary<string, Labels> _namespaces = state.Namespaces.ToDictionary(n => n.Name, n => n.WithNameLabel().Labels);

    private readonly HashSet<(PacketPath Path, InetAddress Address)> _claimed = [];

    public Ruleset Compile()
    {
        foreach (var chain in BaseChains.Chains(state.Options))
            _chains[chain.Name] = chain;
        foreach (var source in BaseChains.Networks(state.Options, state.Network).Concat(FamilyFacts.Both.SelectMany(family => (SetSource[])[SetSources.Self(family), SetSources.AllNodes(family)])))
            Add(source);

        var dispatch = BaseChains.DispatchMaps.ToDictionary(map => map.Name, _ => new Dictionary<InetAddress, Verdict>());
        foreach (var pod in Local())
            Add(pod, dispatch);
        foreach (var map in BaseChains.DispatchMaps)
            Add(map, dispatch[map.Name].Select(entry => Element.Of(ElementKey.Of(entry.Key), entry.Value)));
        if (Local().Any(pod => pod.HostPorts.Count > 0))
            AddHostPorts();
        return new(_chains, _sets, _elements);
    }

    private IEnumerable<Pod> Local() => _pods.Where(pod => state.LocalPods.Contains(pod.Name));

    private void AddHostPorts()
    {
        foreach (var chain in HostPorts.Chains)
            _chains[chain.Name] = chain;
        var elements = HostPorts.Elements(Local());
        foreach (var map in HostPorts.Maps)
            Add(map, elements[map.Name]);
    }

    private void Add(Pod pod, Dictionary<string, Dictionary<InetAddress, Verdict>> dispatch)
    {
        var labels = _namespaces.GetValueOrDefault(pod.Name.Namespace);
        var policies = state.Policies.Where(policy => policy.Subject.Matches(pod.Name.Namespace, labels, pod.Labels)).Select(PolicyCompiler.Compile).ToList();
        foreach (var source in policies.SelectMany(policy => policy.OwnSources()))
            Add(source);
        foreach (var chain in policies.SelectMany(policy => (Chain?[])[policy.OwnChain(Direction.Ingress), policy.OwnChain(Direction.Egress)]).OfType<Chain>())
            _chains[chain.Name] = chain;

        foreach (var path in Enum.GetValues<PacketPath>())
        {
            var isolation = PodCompiler.Compile(path, policies, labels is null ? state.Policies.Where(policy => policy.Subject.PodSelector.Matches(pod.Labels)) : [], state.Options);
            foreach (var chain in isolation.Chains)
                _chains[chain.Name] = chain;
            foreach (var source in isolation.Sources)
                Add(source);
            foreach (var address in pod.Addresses.Distinct())
            {
                if (!_claimed.Add((path, address)) || pod.IsRejected)
                    dispatch[BaseChains.Dispatch(path, address.Family)][address] = Verdict.Drop;
                else if (isolation.Verdict is { } verdict)
                    dispatch[BaseChains.Dispatch(path, address.Family)][address] = verdict;
            }
        }
    }

    private void Add(SetSource source)
    {
        if (_sets.ContainsKey(source.Set.Name))
            return;
        var pods = source switch
        {
            SetSource.Pods selected => _pods.Where(pod => selected.Selectors.Any(s => s.Matches(pod.Name.Namespace, _namespaces.GetValueOrDefault(pod.Name.Namespace), pod.Labels))),
            SetSource.LocalPods => Local(),
            _ => [],
        };
        var keys = source is SetSource.Nodes ? state.Nodes.SelectMany(source.Keys) : pods.SelectMany(source.Keys);
        Add(source.Set, source is SetSource.Fixed { Elements: var elements } ? elements : keys.Distinct().Select(key => Element.Of(key)));
    }

    private void Add(Set set, IEnumerable<Element> elements)
    {
        _sets[set.Name] = set;
        _elements[set.Name] = elements.ToList();
    }
}
