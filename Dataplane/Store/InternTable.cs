using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Store;

/// <summary>
/// One instance each of what many pods have in common: the names of their namespaces and nodes, their labels with the texts of these, and their ports; and of the namespaces and selectors of policies.
/// What is no longer in use goes now and then (<see cref="Collect"/>), so that it never has much more than that.
/// </summary>
internal sealed class InternTable
{
    private const int Least = 1024;
    private HashSet<string> _texts = new(StringComparer.Ordinal);
    private HashSet<Labels> _labels = [];
    private HashSet<EquatableArray<NamedPort>> _ports = [];
    private HashSet<LabelSelector> _selectors = [];
    private int _added;

    /// <summary>How many values it has.</summary>
    public int Count => _texts.Count + _labels.Count + _ports.Count + _selectors.Count;

    /// <summary>Lets go of what is in none of these objects, once so much was added that it is worth looking at all of them: the cost is spread over what is added.</summary>
    /// <param name="count">How many there are.</param>
    /// <param name="pods">All pods.</param>
    /// <param name="policies">All policies.</param>
    public void Collect(int count, IEnumerable<Pod> pods, IEnumerable<Policy> policies)
    {
        if (_added <= Least + (count / 2))
            return;
        (_texts, _labels, _ports, _selectors) = (new(StringComparer.Ordinal), [], [], []);
        foreach (var pod in pods)
            Intern(pod);
        foreach (var policy in policies)
            Intern(policy);
        _added = 0;
    }

    /// <summary>The pod, made of what is here.</summary>
    public Pod Intern(Pod pod) => pod with
    {
        Name = pod.Name with { Namespace = Intern(pod.Name.Namespace) },
        Labels = Intern(pod.Labels),
        Ports = pod.Ports.Count == 0 ? pod.Ports : Intern(_ports, pod.Ports),
        NodeName = Intern(pod.NodeName),
    };

    /// <summary>The policy, made of what is here.</summary>
    public Policy Intern(Policy policy) => policy with
    {
        Name = policy.Name with { Namespace = Intern(policy.Name.Namespace) },
        Subject = policy.Subject with { Namespace = policy.Subject.Namespace is { } ns ? Intern(ns) : null, NamespaceSelector = Intern(policy.Subject.NamespaceSelector), PodSelector = Intern(policy.Subject.PodSelector) },
        Ingress = Intern(policy.Ingress),
        Egress = Intern(policy.Egress),
    };

    private EquatableArray<PolicyRule>? Intern(EquatableArray<PolicyRule>? rules) =>
        rules?.Select(rule => rule with { Peers = rule.Peers.Select(Intern).ToEquatableArray() }).ToEquatableArray();

    private Peer Intern(Peer peer) => peer switch
    {
        Peer.Pods pods => new Peer.Pods(pods.NamespaceSelector is { } namespaces ? Intern(namespaces) : null, Intern(pods.PodSelector)),
        Peer.Nodes nodes => new Peer.Nodes(Intern(nodes.Selector)),
        _ => peer,
    };

    private string Intern(string text) => Intern(_texts, text);

    private LabelSelector Intern(LabelSelector selector) => Intern(_selectors, selector);

    private Labels Intern(Labels labels)
    {
        if (_labels.TryGetValue(labels, out var known))
            return known;
        var all = new Label[labels.All.Length];
        var isMadeOfThem = true;
        for (var i = 0; i < all.Length; i++)
        {
            var (key, value) = labels.All[i];
            all[i] = new(Intern(key), Intern(value));
            isMadeOfThem &= ReferenceEquals(all[i].Key, key) && ReferenceEquals(all[i].Value, value);
        }

        return Intern(_labels, isMadeOfThem ? labels : Labels.Of(all));
    }

    private T Intern<T>(HashSet<T> values, T value)
    {
        if (values.TryGetValue(value, out var known))
            return known;
        values.Add(value);
        _added++;
        return value;
    }
}
