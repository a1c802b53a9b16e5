using System.Text.Json.Nodes;

namespace Overlay.Tests.Fakes;

/// <summary>The etcd of the fake server: every change in one log, with one counter of revisions; lists are the log up to a revision, watches what follows it.</summary>
internal sealed class FakeStorage
{
    private readonly Lock _lock = new();
    private readonly HashSet<FakeWatch> _watches = [];
    private readonly Dictionary<(string Plural, string Key), StoredVersion> _objects = [];
    private List<StoredVersion> _log = [];
    private long _compacted;

    /// <summary>The latest change.</summary>
    public long Revision { get; private set; } = 1;

    /// <summary>Kinds that are served.</summary>
    public IReadOnlyList<FakeKind> Kinds { get; private set; } = FakeKind.All;

    /// <summary>Serves a kind from now on.</summary>
    public void Add(FakeKind kind)
    {
        lock (_lock)
            Kinds = [.. Kinds.Where(known => known != kind), kind];
    }

    /// <summary>As when a CustomResourceDefinition is deleted: its objects are, and its watches end.</summary>
    public void Remove(FakeKind kind)
    {
        lock (_lock)
        {
            foreach (var version in At(kind, Revision).Values)
                Commit(kind, version.Key, "DELETED", version.Object);
            Kinds = [.. Kinds.Where(known => known != kind)];
            foreach (var watch in _watches.Where(watch => watch.Kind == kind))
                watch.End();
        }
    }

    /// <summary>Changes one object in one step.</summary>
    /// <param name="kind">Its kind.</param>
    /// <param name="key">NAMESPACE/NAME.</param>
    /// <param name="change">The new object from the present one (a copy, null if there is none); null deletes it. An equal one changes nothing and makes no event.</param>
    /// <returns>The object as it is now, or was last; null if there was and is none.</returns>
    public JsonObject? Change(FakeKind kind, string key, Func<JsonObject?, JsonObject?> change)
    {
        lock (_lock)
        {
            var before = _objects.GetValueOrDefault((kind.Plural, key))?.Object;
            var after = change(before?.DeepClone().AsObject());
            if (after is null)
                return before is null ? null : Commit(kind, key, "DELETED", before);
            return before is not null && JsonNode.DeepEquals(before, after) ? before : Commit(kind, key, before is null ? "ADDED" : "MODIFIED", after);
        }
    }

    /// <summary>The objects of a kind, sorted, at a revision; or null when it was compacted.</summary>
    /// <param name="kind">The kind.</param>
    /// <param name="revision">The revision; null for the latest, which replaces it.</param>
    public SortedDictionary<string, StoredVersion>? List(FakeKind kind, ref long? revision)
    {
        lock (_lock)
        {
            revision ??= Revision;
            return revision < _compacted ? null : At(kind, revision.Value);
        }
    }

    /// <summary>Begins a watch after <paramref name="revision"/>, or with every object as it is now; false when that revision was compacted.</summary>
    public bool Begin(FakeWatch watch, long? revision)
    {
        lock (_lock)
        {
            if (revision < _compacted)
                return false;
            foreach (var version in revision is { } after ? _log.Where(version => version.Revision > after) : At(watch.Kind, Revision).Values.Select(Added))
                watch.Send(version);
            _watches.Add(watch);
            return true;
        }
    }

    /// <summary>Forgets a watch that has ended.</summary>
    public void End(FakeWatch watch)
    {
        lock (_lock)
            _watches.Remove(watch);
    }

    /// <summary>Does something to every running watch, between two changes.</summary>
    public void ForEachWatch(Action<FakeWatch> act)
    {
        lock (_lock)
        {
            foreach (var watch in _watches)
                act(watch);
        }
    }

    /// <summary>Forgets every revision but the latest.</summary>
    public void Compact()
    {
        lock (_lock)
        {
            _log = [.. _objects.Values.OrderBy(version => version.Revision)];
            _compacted = Revision;
        }
    }

    private static StoredVersion Added(StoredVersion version) => StoredVersion.Of(version.Revision, version.Kind, version.Key, "ADDED", version.Object);

    private SortedDictionary<string, StoredVersion> At(FakeKind kind, long revision)
    {
        var objects = new SortedDictionary<string, StoredVersion>(StringComparer.Ordinal);
        foreach (var version in _log.TakeWhile(version => version.Revision <= revision).Where(version => version.Kind == kind))
        {
            if (version.Type == "DELETED")
                objects.Remove(version.Key);
            else
                objects[version.Key] = version;
        }

        return objects;
    }

    private JsonObject Commit(FakeKind kind, string key, string type, JsonObject value)
    {
        var version = StoredVersion.Of(++Revision, kind, key, type, value);
        _log.Add(version);
        _objects[(kind.Plural, key)] = version;
        if (type == "DELETED")
            _objects.Remove((kind.Plural, key));
        foreach (var watch in _watches)
            watch.Send(version);
        return version.Object;
    }
}
