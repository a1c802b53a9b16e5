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

    public Ruleset Compile()
    {
        foreach (var chain in BaseChains.Chains(state.Options))
            _chains[chain.Name] = chain;
        foreach (var source in BaseChains.Networks(state.Options, state.Network).Concat(FamilyFacts.Both.Select(SetSources.Self)))
            Add(source);

        var dispatch = BaseChains.DispatchMaps.ToDictionary(map => map.Name, _ => new Dictionary<InetAddress, Verdict>());
        foreach (var pod in Local())
            Add(pod, dispatch);
        foreach (var map in BaseChains.DispatchMaps)
            Add(map, dispatch[map.Name].Select(entry => Element.Of(ElementKey.Of(entry.Key), entry.Value)));
        return new(_chains, _sets, _elements);
    }

    private IEnumerable<Pod> Local() => _pods.Where(pod => state.LocalPods.Contains(pod.Name));

    private void Add(Pod pod, Dictionary<string, Dictionary<InetAddress, Verdict>> dispatch)
    {
        var policies = state.Policies
            .Where(policy => policy.Subject.Matches(pod.Name.Namespace, _namespaces.GetValueOrDefault(pod.Name.Namespace), pod.Labels))
            .OrderBy(policy => policy.Name)
            .Select(PolicyCompiler.Compile)
            .ToList();
        foreach (var policy in policies)
        {
            foreach (var source in policy.Sources)
                Add(source);
        }

        foreach (var direction in Enum.GetValues<Direction>())
        {
            var isolation = PodCompiler.Compile(direction, policies, state.Options);
            foreach (var chain in policies.Select(policy => policy.Chain(direction)).Append(isolation.Chain).OfType<Chain>())
                _chains[chain.Name] = chain;
            foreach (var address in pod.Addresses.Distinct())
            {
                var map = direction == Direction.Ingress ? BaseChains.DispatchIngress(address.Family) : BaseChains.DispatchEgress(address.Family);
                if (!dispatch[map].TryAdd(address, isolation.Verdict))
                    dispatch[map][address] = Verdict.Drop;
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
        Add(source.Set, source is SetSource.Fixed { Elements: var elements } ? elements : pods.SelectMany(source.Keys).Distinct().Select(key => Element.Of(key)));
    }

    private void Add(Set set, IEnumerable<Element> elements)
    {
        _sets[set.Name] = set;
        _elements[set.Name] = elements.ToList();
    }
}
