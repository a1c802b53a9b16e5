using Overlay.Dataplane.Datastore.Manifests;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Datastore.Directory;

/// <summary>
/// What the files of the directory datastore say, taken together, and what of it changed. No I/O. Depends on the files' present content, but for what is
/// broken: there the last good version stays in force. Several files may be set and removed before <see cref="TakeChanges"/>, so that an object
/// which moves from one file to another never goes away in between.
/// </summary>
internal sealed class DirectoryContent
{
    private readonly Dictionary<string, ManifestSource> _manifests = new(StringComparer.Ordinal);
    private readonly Dictionary<string, PodStatus> _statuses = new(StringComparer.Ordinal);
    private readonly Dictionary<string, EquatableArray<Rejection>> _problems = new(StringComparer.Ordinal);

    // All files that claim an object, in ordinal order: the first has it.
    private readonly Dictionary<ObjectKey, SortedDictionary<string, ManifestObject>> _claims = [];
    private readonly Dictionary<NamespacedName, SortedDictionary<string, PodStatus>> _statusesOfPods = [];

    private readonly Dictionary<ObjectKey, ClusterChange> _delivered = [];
    private readonly Dictionary<string, EquatableArray<Rejection>> _deliveredRejections = new(StringComparer.Ordinal);

    // What the next TakeChanges looks at.
    private readonly List<ClusterChange> _skipped = [];
    private HashSet<ObjectKey> _dirtyObjects = [];
    private HashSet<string> _dirtyFiles = new(StringComparer.Ordinal);

    /// <summary>The addresses that agents have told.</summary>
    public IEnumerable<PodStatus> Statuses => _statuses.Values;

    /// <summary>Every file that is known.</summary>
    public IEnumerable<string> Files => _manifests.Keys.Concat(_statuses.Keys).Concat(_problems.Keys).Distinct();

    /// <summary>A file of manifests has this text now.</summary>
    public void SetManifests(string file, string text)
    {
        var before = _manifests.GetValueOrDefault(file);
        _problems.Remove(file);
        _dirtyFiles.Add(file);
        if (before is not null && before.Text == text)
            return;
        if (text.Length == 0 && before is { InForce.Count: > 0 })
        {
            // What a file looks like while it is being rewritten in place.
            SetProblem(file, "the file is empty: its last content stays in force; delete the file to remove its objects.");
            return;
        }

        var read = FromManifest.Read(file, text);
        if (before is null || before.Read.Skipped != read.Skipped)
            _skipped.AddRange(read.Skipped);
        var after = new ManifestSource(text, read, InForce(read, before?.InForce ?? []));
        _manifests[file] = after;
        Claim(file, before?.InForce ?? [], after.InForce);
    }

    /// <summary>A status file has this content now.</summary>
    public void SetStatus(string file, ReadOnlySpan<byte> json)
    {
        if (PodStatus.Parse(json, out var reason) is not { } status)
        {
            SetProblem(file, reason);
            return;
        }

        ForgetProblem(file);
        if (_statuses.TryGetValue(file, out var before) && before == status)
            return;
        RemoveStatus(file);
        _statuses.Add(file, status);
        if (!_statusesOfPods.TryGetValue(status.Pod, out var ofPod))
            _statusesOfPods.Add(status.Pod, ofPod = new(StringComparer.Ordinal));
        ofPod.Add(file, status);
        _dirtyObjects.Add(new("Pod", status.Pod));
    }

    /// <summary>Something is wrong with a file as a whole; what it said before stays in force.</summary>
    public void SetProblem(string file, string reason)
    {
        _problems[file] = [new Rejection(file, 0, "", default, "", reason)];
        _dirtyFiles.Add(file);
    }

    /// <summary>What was wrong is right again.</summary>
    public void ForgetProblem(string file)
    {
        if (_problems.Remove(file))
            _dirtyFiles.Add(file);
    }

    /// <summary>A file is gone.</summary>
    public void Remove(string file)
    {
        ForgetProblem(file);
        RemoveStatus(file);
        if (_manifests.Remove(file, out var before))
        {
            _dirtyFiles.Add(file);
            Claim(file, before.InForce, []);
        }
    }

    /// <summary>What differs from what was taken before: first what isolates and what exists, last what goes away.</summary>
    public IReadOnlyList<ClusterChange> TakeChanges()
    {
        var changes = new List<ClusterChange>();
        foreach (var key in _dirtyObjects)
        {
            var now = Effective(key);
            if (now == _delivered.GetValueOrDefault(key))
                continue;
            if (now is null)
                _delivered.Remove(key);
            else
                _delivered[key] = now;
            changes.Add(now ?? key.ToGone());
            if (_claims.TryGetValue(key, out var claims))
                _dirtyFiles.UnionWith(claims.Keys);
        }

        foreach (var file in _dirtyFiles)
        {
            var now = RejectionsOf(file);
            if (now == _deliveredRejections.GetValueOrDefault(file))
                continue;
            if (now.Count == 0)
                _deliveredRejections.Remove(file);
            else
                _deliveredRejections[file] = now;
            changes.Add(new ClusterChange.Rejected(file, now));
        }

        changes.AddRange(_skipped);
        _skipped.Clear();
        _dirtyObjects = [];
        _dirtyFiles = new(StringComparer.Ordinal);
        return [.. changes.OrderBy(Rank)];
    }

    private static int Rank(ClusterChange change) => change switch
    {
        ClusterChange.PolicySet => 0,
        ClusterChange.NamespaceSet => 1,
        ClusterChange.NodeSet => 2,
        ClusterChange.PodSet => 3,
        ClusterChange.PodGone => 4,
        ClusterChange.NodeGone => 5,
        ClusterChange.NamespaceGone => 6,
        ClusterChange.PolicyGone => 7,
        _ => 8,
    };

    // A file that is not YAML in part keeps what it had beyond what is understood; an object that is rejected keeps its own last good version. (A rejected policy has its stand-in.)
    private static List<ManifestObject> InForce(ManifestFile read, List<ManifestObject> before)
    {
        var good = before.Where(known => !IsRejectedPod(known)).ToLookup(known => known.Key);
        var inForce = read.Found.Select(found => IsRejectedPod(found) && good[found.Key].FirstOrDefault() is { } known ? known : found).ToList();
        var found = inForce.Select(found => found.Key).ToHashSet();
        var rejected = read.Rejections.Select(rejection => new ObjectKey(rejection.Kind, rejection.Name)).ToHashSet();
        inForce.AddRange(before.Where(known => !found.Contains(known.Key) && (read.IsBroken || (known.Kind is not ("NetworkPolicy" or "ClusterNetworkPolicy") && rejected.Contains(known.Key)))));
        return inForce;
    }

    private static bool IsRejectedPod(ManifestObject known) => known.Change is ClusterChange.PodSet { Pod.IsRejected: true };

    private void Claim(string file, List<ManifestObject> before, List<ManifestObject> after)
    {
        foreach (var known in before)
        {
            _dirtyObjects.Add(known.Key);
            if (!_claims.TryGetValue(known.Key, out var claims))
                continue;
            _dirtyFiles.UnionWith(claims.Keys);
            claims.Remove(file);
            if (claims.Count == 0)
                _claims.Remove(known.Key);
        }

        foreach (var known in after)
        {
            _dirtyObjects.Add(known.Key);
            if (!_claims.TryGetValue(known.Key, out var claims))
                _claims.Add(known.Key, claims = new(StringComparer.Ordinal));
            claims.TryAdd(file, known);
            _dirtyFiles.UnionWith(claims.Keys);
        }
    }

    private void RemoveStatus(string file)
    {
        if (!_statuses.Remove(file, out var status))
            return;
        var ofPod = _statusesOfPods[status.Pod];
        ofPod.Remove(file);
        if (ofPod.Count == 0)
            _statusesOfPods.Remove(status.Pod);
        _dirtyObjects.Add(new("Pod", status.Pod));
    }

    private ClusterChange? Effective(ObjectKey key)
    {
        var change = _claims.TryGetValue(key, out var claims) ? claims.First().Value.Change : null;
        if (key.Kind != "Pod" || !_statusesOfPods.TryGetValue(key.Name, out var told))
            return change;

        // What an agent has wired is truer than what the manifest says. After a move two agents may tell; the manifest's node then decides.
        var pod = (change as ClusterChange.PodSet)?.Pod ?? new Pod(key.Name, Labels.Empty, [], [], HostNetwork: false, NodeName: "");
        if (pod.HostNetwork)
            return change;
        var statuses = told.Values.Where(status => status.Node == pod.NodeName).ToList();
        if (statuses.Count == 0)
            statuses = [.. told.Values];
        return new ClusterChange.PodSet(pod with
        {
            Addresses = statuses.SelectMany(status => status.Addresses).Distinct().ToEquatableArray(),
            NodeName = pod.NodeName.Length > 0 ? pod.NodeName : statuses[0].Node,
        });
    }

    private EquatableArray<Rejection> RejectionsOf(string file)
    {
        var rejections = _problems.GetValueOrDefault(file).ToList();
        if (_manifests.TryGetValue(file, out var source))
        {
            rejections.AddRange(source.Read.Rejections);
            var seen = new HashSet<ObjectKey>();
            foreach (var known in source.InForce)
            {
                var owner = _claims[known.Key].First().Key;
                if (owner != file || !seen.Add(known.Key))
                    rejections.Add(new(file, known.Line, known.Kind, known.Name, "", $"the same object is in {owner} already, which is in force; remove one."));
            }
        }

        return rejections.ToEquatableArray();
    }

    private sealed record ManifestSource(string Text, ManifestFile Read, List<ManifestObject> InForce);
}
