using System.Text.Json.Nodes;
using Overlay.Tests.Oracles;

namespace Overlay.Tests.Fakes;

/// <content>What the cluster does: objects come, change and go, and so do kinds.</content>
public sealed partial class FakeApiServer
{
    private readonly FakeStorage _storage = new();

    /// <summary>The latest change of any object.</summary>
    public long ResourceVersion => _storage.Revision;

    /// <summary>Creates or replaces an object. One that equals what is there changes nothing and makes no event.</summary>
    /// <param name="value">The object; uid, creationTimestamp and resourceVersion are set in a copy of it.</param>
    /// <returns>What is stored.</returns>
    /// <exception cref="ArgumentException">Its kind is not served, its name is missing, or its namespace is, or is one too many.</exception>
    public JsonObject Put(JsonObject value)
    {
        var kind = _storage.Kinds.FirstOrDefault(kind => kind.ApiVersion == (string?)value["apiVersion"] && kind.Kind == (string?)value["kind"])
            ?? throw new ArgumentException($"{value["apiVersion"]} {value["kind"]} is not served.", nameof(value));
        var (ns, name) = ((string?)value["metadata"]?["namespace"], (string?)value["metadata"]?["name"]);
        if (name is null || kind.IsNamespaced != ns is not null)
            throw new ArgumentException($"A {kind.Kind} needs a name and {(kind.IsNamespaced ? "a" : "no")} namespace: {value["metadata"]?.ToJsonString()}", nameof(value));
        return _storage.Change(kind, $"{ns}/{name}", before => Identified(value.DeepClone().AsObject(), before))!;
    }

    /// <summary>Creates or replaces every object of a manifest.</summary>
    public void PutYaml(string manifests)
    {
        foreach (var value in ManifestYaml.Objects(manifests))
            Put(value);
    }

    /// <summary>Deletes an object.</summary>
    /// <param name="plural">Its kind: <c>pods</c>.</param>
    /// <param name="ns">Its namespace; null where there is none.</param>
    /// <param name="name">Its name.</param>
    /// <returns>It was there.</returns>
    public bool Delete(string plural, string? ns, string name) => _storage.Change(Kind(plural), $"{ns}/{name}", _ => null) is not null;

    /// <summary>Copies of all objects of a kind, sorted by namespace and name.</summary>
    public IReadOnlyList<JsonObject> Objects(string plural)
    {
        long? latest = null;
        return [.. _storage.List(Kind(plural), ref latest)!.Values.Select(version => version.Object)];
    }

    /// <summary>Whether a kind is served.</summary>
    public bool Has(string plural) => _storage.Kinds.Any(kind => kind.Plural == plural);

    /// <summary>Forgets the history: a watch or a page that goes on from an earlier revision has expired.</summary>
    public void Compact() => _storage.Compact();

    /// <summary>As when a CustomResourceDefinition is deleted: its objects are, its watches end, its addresses are unknown.</summary>
    public void RemoveKind(string plural) => _storage.Remove(Kind(plural));

    /// <summary>As when a CustomResourceDefinition is created: serves a kind of <see cref="FakeKind.All"/> again.</summary>
    public void AddKind(string plural) => _storage.Add(FakeKind.All.Single(kind => kind.Plural == plural));

    // The order of metadata is kept, so that an equal object is equal.
    private static JsonObject Identified(JsonObject value, JsonObject? before)
    {
        var metadata = value["metadata"]!.AsObject();
        metadata["uid"] = before is null ? $"{Guid.NewGuid()}" : (string?)before["metadata"]!["uid"];
        metadata["creationTimestamp"] = before is null ? $"{DateTime.UtcNow:yyyy-MM-ddTHH:mm:ssZ}" : (string?)before["metadata"]!["creationTimestamp"];
        metadata["resourceVersion"] = (string?)before?["metadata"]!["resourceVersion"];
        return value;
    }

    private FakeKind Kind(string plural) => _storage.Kinds.FirstOrDefault(kind => kind.Plural == plural) ?? throw new ArgumentException($"{plural} is not served.", nameof(plural));
}
