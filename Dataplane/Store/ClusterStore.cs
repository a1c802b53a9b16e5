using System.Diagnostics;
using Overlay.Dataplane.Desired;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Store;

/// <summary>
/// What this node knows of the cluster, and its own attachments. Its content depends on the objects in force, never on the order in which they came.
/// One loop owns it; nothing is called back: each method returns what follows from the change.
/// </summary>
/// <param name="isolateUnknown">Whether a pod that is wired here and that the datastore does not show (yet) is isolated, since its labels and policies are not known. Otherwise it is a pod without labels.</param>
public sealed class ClusterStore(bool isolateUnknown = false)
{
    private static readonly IReadOnlyList<Consequence> Nothing = [];

    private readonly Dictionary<string, Node> _nodes = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Namespace> _namespaces = new(StringComparer.Ordinal);
    private readonly Dictionary<NamespacedName, Policy> _policies = [];
    private readonly Dictionary<string, EquatableArray<Rejection>> _rejections = new(StringComparer.Ordinal);
    private readonly Dictionary<AttachmentKey, Attachment> _attachments = [];
    private readonly Dictionary<InetAddress, List<Attachment>> _holders = [];
    private readonly Dictionary<Tier, int> _tiers = [];
    private IReadOnlyList<Rejection>? _rejectionList = [];

    // A pod as the datastore has it, the attachments that make it local, and the pod that follows from both.
    // The last is kept for local pods alone: any other is as the datastore has it.
    private readonly HashSet<Known> _known = new(new ByName<Known>(known => known.Pod.Name));
    private readonly Dictionary<NamespacedName, ClusterChange.PodSet> _fetched = [];
    private readonly Dictionary<NamespacedName, List<Attachment>> _wired = [];
    private readonly Dictionary<NamespacedName, Pod> _local = [];
    private readonly InternTable _interned = new();

    /// <summary>Whether the datastore has delivered everything it held at start.</summary>
    public bool IsSynced { get; private set; }

    /// <summary>All nodes, in no particular order.</summary>
    public IReadOnlyCollection<Node> Nodes => _nodes.Values;

    /// <summary>All namespaces, in no particular order.</summary>
    public IReadOnlyCollection<Namespace> Namespaces => _namespaces.Values;

    /// <summary>All pods with all the addresses known, in no particular order.</summary>
    public IEnumerable<Pod> Pods => _known.Where(known => !IsLocal(known.Pod.Name)).Select(known => known.Pod).Concat(_local.Values);

    /// <summary>How many pods there are.</summary>
    public int PodCount => _known.Count + _local.Keys.Count(name => !KnownByName.Contains(name));

    /// <summary>How many values that objects have in common are kept once.</summary>
    internal int InternedCount => _interned.Count;

    /// <summary>All policies, in no particular order.</summary>
    public IReadOnlyCollection<Policy> Policies => _policies.Values;

    /// <summary>How many policies a tier has.</summary>
    public int CountOf(Tier tier) => _tiers.GetValueOrDefault(tier);

    /// <summary>This node's attachments, in no particular order.</summary>
    public IReadOnlyCollection<Attachment> Attachments => _attachments.Values;

    /// <summary>What could not be understood, by source.</summary>
    public IReadOnlyList<Rejection> Rejections => _rejectionList ??= [.. _rejections.OrderBy(pair => pair.Key, StringComparer.Ordinal).SelectMany(pair => pair.Value)];

    /// <summary>A pod by name, or null.</summary>
    public Pod? Pod(NamespacedName name) => _local.TryGetValue(name, out var local) ? local : KnownByName.TryGetValue(name, out var known) ? known.Pod : null;

    /// <summary>An attachment by its key, or null.</summary>
    public Attachment? Attachment(AttachmentKey key) => _attachments.GetValueOrDefault(key);

    /// <summary>An attachment that has this address, or null.</summary>
    public Attachment? HolderOf(InetAddress address) => _holders.TryGetValue(address, out var holders) ? holders[0] : null;

    /// <summary>The attachments of a pod on this node, in the order of their keys; usually one, two while a sandbox is replaced.</summary>
    public IReadOnlyList<Attachment> AttachmentsOf(NamespacedName pod) => _wired.TryGetValue(pod, out var attachments) ? attachments : [];

    /// <summary>Whether a pod is wired on this node.</summary>
    public bool IsLocal(NamespacedName pod) => _wired.ContainsKey(pod);

    /// <summary>Whether the datastore has shown the very pod that has this UID; when either side knows none, a pod of this name.</summary>
    public bool Shows(NamespacedName pod, string uid) => Shown(pod) is { } shown && shown.IsPodOf(uid);

    /// <summary>Takes over a change of the datastore.</summary>
    /// <returns>What follows; empty when the store already knew.</returns>
    public IReadOnlyList<Consequence> Apply(ClusterChange change)
    {
        switch (change)
        {
            case ClusterChange.NodeSet { Node: var node }:
                var isJoining = _nodes.GetValueOrDefault(node.Name) is not { } known || (known.PodCidrs.Count == 0 && known.InternalIPs == node.InternalIPs);
                return Set(_nodes, node.Name, node) ? [new Consequence.SetNode(node.ToClusterNode()), isJoining ? new Consequence.JoinNode(node) : new Consequence.ReprojectNode()] : Nothing;
            case ClusterChange.NodeGone { Name: var name }:
                return _nodes.Remove(name) ? [new Consequence.RemoveNode(name), new Consequence.ReprojectNode()] : Nothing;
            case ClusterChange.NamespaceSet { Namespace: var ns }:
                return Set(_namespaces, ns.Name, ns) ? [new Consequence.SetNamespace(ns)] : Nothing;
            case ClusterChange.NamespaceGone { Name: var name }:
                return _namespaces.Remove(name) ? [new Consequence.RemoveNamespace(name)] : Nothing;
            case ClusterChange.PolicySet { Policy: var policy }:
                Count(policy.Name, -1);
                var interned = _interned.Intern(policy);
                var isNew = Set(_policies, policy.Name, interned);
                Count(policy.Name, +1);
                return Collected(isNew ? [new Consequence.SetPolicy(interned)] : Nothing);
            case ClusterChange.PolicyGone { Name: var name }:
                Count(name, -1);
                return _policies.Remove(name) ? [new Consequence.RemovePolicy(name)] : Nothing;
            case ClusterChange.PodSet { Pod.Name: var name } set:
                var before = Pod(name);
                Show(set);
                if (_fetched.TryGetValue(name, out var fetched) && fetched.Uid == set.Uid)
                    _fetched.Remove(name);
                return Collected(Refresh(name, before, wasLocal: IsLocal(name)));
            case ClusterChange.PodGone { Name: var name }:
                var last = Pod(name);
                return KnownByName.Remove(name) ? Refresh(name, last, wasLocal: IsLocal(name)) : Nothing;
            case ClusterChange.Rejected { Source: var source, Rejections: var rejections }:
                _rejections.Remove(source);
                if (rejections.Count > 0)
                    _rejections.Add(source, rejections);
                _rejectionList = null;
                return Nothing;
            case ClusterChange.Skipped or ClusterChange.SourceFailing:
                return Nothing;
            case ClusterChange.Synced:
                IsSynced = true;
                return Nothing;
            default:
                throw new UnreachableException();
        }
    }

    /// <summary>A container's interface on this node is about to be wired, or is found wired at start: its pod is local from now on.</summary>
    /// <param name="attachment">The interface.</param>
    /// <param name="fetched">The pod, when it was asked for because what the datastore had shown was not it; counts until the datastore shows it.</param>
    /// <returns>What follows; empty when the store already knew.</returns>
    public IReadOnlyList<Consequence> Attach(Attachment attachment, ClusterChange.PodSet? fetched = null)
    {
        var before = Attachment(attachment.Key);
        if (attachment == before)
            return Nothing;
        List<Consequence> consequences = [];
        if (fetched is not null && fetched.IsPodOf(attachment.PodUid) && Shown(attachment.Pod)?.Uid != fetched.Uid)
            _fetched[attachment.Pod] = fetched;
        if (before is not null && before.Pod != attachment.Pod)
            consequences.AddRange(Unwire(before));
        var wasLocal = IsLocal(attachment.Pod);
        if (before is not null)
            Release(before);
        Hold(attachment);
        _attachments[attachment.Key] = attachment;
        if (!_wired.TryGetValue(attachment.Pod, out var siblings))
            _wired.Add(attachment.Pod, siblings = []);
        siblings.RemoveAll(sibling => sibling.Key == attachment.Key);
        siblings.Add(attachment);
        siblings.Sort((left, right) => string.CompareOrdinal(left.ContainerId, right.ContainerId) is var order and not 0 ? order : string.CompareOrdinal(left.IfName, right.IfName));
        consequences.AddRange(Refresh(attachment.Pod, Pod(attachment.Pod), wasLocal));
        consequences.Add(before is null ? new Consequence.SetAttachment(attachment) : new Consequence.ReprojectNode());
        return consequences;
    }

    /// <summary>A container's interface is unwired.</summary>
    /// <returns>What follows; empty when there was none.</returns>
    public IReadOnlyList<Consequence> Detach(AttachmentKey key)
    {
        if (!_attachments.Remove(key, out var attachment))
            return Nothing;
        Release(attachment);
        return [.. Unwire(attachment), new Consequence.RemoveAttachment(attachment)];
    }

    /// <summary>The whole of what the ruleset depends on.</summary>
    /// <param name="options">Of the configuration.</param>
    /// <param name="network">Of the node's projection.</param>
    public ClusterState ToClusterState(RulesetOptions options, PodNetwork network) =>
        new(options, network, [.. _nodes.Values.Select(node => node.ToClusterNode())], [.. _namespaces.Values], [.. Pods], _wired.Keys.ToHashSet(), [.. _policies.Values]);

    private void Hold(Attachment attachment)
    {
        foreach (var address in attachment.Addresses)
        {
            if (!_holders.TryGetValue(address, out var holders))
                _holders.Add(address, holders = []);
            holders.Add(attachment);
        }
    }

    private void Release(Attachment attachment)
    {
        foreach (var address in attachment.Addresses)
        {
            if (_holders.TryGetValue(address, out var holders) && holders.Remove(attachment) && holders.Count == 0)
                _holders.Remove(address);
        }
    }

    private void Count(NamespacedName policy, int change)
    {
        if (_policies.TryGetValue(policy, out var known))
            _tiers[known.Tier] = CountOf(known.Tier) + change;
    }

    private static bool Set<TKey, TValue>(Dictionary<TKey, TValue> map, TKey key, TValue value)
        where TKey : notnull
    {
        if (map.TryGetValue(key, out var before) && EqualityComparer<TValue>.Default.Equals(before, value))
            return false;
        map[key] = value;
        return true;
    }

    private IReadOnlyList<Consequence> Unwire(Attachment attachment)
    {
        var siblings = _wired[attachment.Pod];
        siblings.RemoveAll(sibling => sibling.Key == attachment.Key);
        if (siblings.Count == 0)
        {
            _wired.Remove(attachment.Pod);
            _fetched.Remove(attachment.Pod);
        }

        return Refresh(attachment.Pod, Pod(attachment.Pod), wasLocal: true);
    }

    private HashSet<Known>.AlternateLookup<NamespacedName> KnownByName => _known.GetAlternateLookup<NamespacedName>();

    private ClusterChange.PodSet? Shown(NamespacedName name) => KnownByName.TryGetValue(name, out var known) ? new(known.Pod, known.Uid) : null;

    // The same pod told again stays the object it was, which others have, too.
    private void Show(ClusterChange.PodSet set)
    {
        var isKnown = KnownByName.TryGetValue(set.Pod.Name, out var known);
        if (isKnown)
            _known.Remove(known);
        _known.Add(new(isKnown && known.Pod == set.Pod ? known.Pod : _interned.Intern(set.Pod), set.Uid));
    }

    private IReadOnlyList<Consequence> Collected(IReadOnlyList<Consequence> consequences)
    {
        _interned.Collect(_known.Count + _policies.Count, _known.Select(known => known.Pod), _policies.Values);
        return consequences;
    }

    private IReadOnlyList<Consequence> Refresh(NamespacedName name, Pod? before, bool wasLocal)
    {
        var isLocal = _wired.TryGetValue(name, out var attachments);
        var pod = isLocal ? Local(name, attachments!) : KnownByName.TryGetValue(name, out var known) ? known.Pod : null;
        if (pod == before && pod is not null)
            pod = before;
        if (isLocal)
            _local[name] = pod!;
        else
            _local.Remove(name);
        if (pod is null)
            return before is null ? Nothing : [new Consequence.RemovePod(name)];
        return ReferenceEquals(pod, before) && wasLocal == isLocal ? Nothing : [new Consequence.SetPod(pod, isLocal)];
    }

    // What is wired here is the truth about the addresses of a local pod: what the datastore has may be of its previous life. And its labels count only for the interfaces of that very pod.
    private Pod Local(NamespacedName name, List<Attachment> attachments)
    {
        foreach (var candidate in (ClusterChange.PodSet?[])[_fetched.GetValueOrDefault(name), Shown(name)])
        {
            var own = candidate is null ? [] : attachments.Where(attachment => candidate.IsPodOf(attachment.PodUid)).ToList();
            if (own.Count > 0)
                return Wired(candidate!.Pod, own);
        }

        return Wired(new(name, Labels.Empty, [], [], HostNetwork: false, NodeName: "") { IsRejected = isolateUnknown }, attachments);
    }

    private static Pod Wired(Pod pod, List<Attachment> attachments) => pod with
    {
        Addresses = attachments.SelectMany(attachment => attachment.Addresses).Distinct().ToEquatableArray(),
        HostNetwork = false,
        HostPorts = attachments.SelectMany(attachment => attachment.HostPorts).ToEquatableArray(),
    };

    // A pod as the datastore shows it, and what tells it from another of its name.
    private readonly record struct Known(Pod Pod, string Uid);
}
