using System.Text.Json;
using System.Text.Json.Nodes;

namespace Overlay.Tests.Fakes;

/// <summary>What clients write: the status of an object, and new objects.</summary>
internal static class FakeWrites
{
    private const string StrategicMerge = "application/strategic-merge-patch+json";
    private const string Merge = "application/merge-patch+json";

    // Lists of Node and Pod status that a strategic merge joins by a key (patchMergeKey in k8s.io/api/core/v1).
    private static readonly Dictionary<string, string> MergeKeys = new() { ["conditions"] = "type", ["addresses"] = "type" };

    // These are there from the start, and cannot be deleted.
    private static readonly string[] GivenNamespaces = ["default", "kube-node-lease", "kube-public", "kube-system"];

    /// <summary>Patches <c>status</c> and labels and annotations; a patch of anything else does nothing.</summary>
    /// <returns>The object.</returns>
    public static JsonObject PatchStatus(FakeStorage storage, FakeRoute route, SeenRequest request)
    {
        var type = request.Headers.GetValueOrDefault("Content-Type")?.Split(';')[0];
        if (type is not (StrategicMerge or Merge) || (type == StrategicMerge && route.Kind.IsCustom))
            throw StatusException.Of(415);
        var patch = Read(request.Body);
        return storage.Change(route.Kind, route.Key, before =>
        {
            if (before is null)
                throw StatusException.NotFound(route.Kind, route.Name!);
            if ((string?)patch["metadata"]?["resourceVersion"] is { } expected && expected != (string?)before["metadata"]!["resourceVersion"])
                throw StatusException.Conflict(route.Kind, route.Name!);
            foreach (var member in new[] { "metadata", "status" })
            {
                if (patch[member] is JsonObject changes)
                    Apply(before[member] as JsonObject ?? Added(before, member), changes, type == StrategicMerge);
            }

            return before;
        })!;
    }

    /// <summary>Creates an object.</summary>
    /// <returns>The object.</returns>
    public static JsonObject Create(FakeStorage storage, FakeRoute route, SeenRequest request, Func<JsonObject, JsonObject?, JsonObject> identified)
    {
        var value = Read(request.Body);
        if ((string?)value["kind"] != route.Kind.Kind || (string?)value["apiVersion"] != route.Kind.ApiVersion)
            throw StatusException.BadRequest($"{value["kind"]} in version \"{value["apiVersion"]}\" cannot be handled as a {route.Kind.Kind}");
        if (route.Kind.IsNamespaced != route.Namespace is not null)
            throw new StatusException(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", []);
        var metadata = value["metadata"] as JsonObject ?? Added(value, "metadata");
        if ((string?)metadata["namespace"] is { Length: > 0 } written && written != route.Namespace)
            throw StatusException.BadRequest("the namespace of the provided object does not match the namespace sent on the request");
        if (route.Namespace is { } ns)
            RequireNamespace(storage, ns);
        var name = (string?)metadata["name"] is { Length: > 0 } given ? given : $"{metadata["generateName"]}{Guid.NewGuid().ToString("N")[..5]}";
        if (name.Length == 5 && metadata["name"] is null)
            throw StatusException.Invalid("", route.Kind.Kind, "", "metadata.name", "FieldValueRequired", "Required value: name or generateName is required");
        (metadata["name"], metadata["namespace"]) = (name, route.Namespace);
        if (route.Kind.Kind == "Event")
            JudgeEvent(value, name, route.Namespace!);
        return storage.Change(route.Kind, $"{route.Namespace}/{name}", before => before is null ? identified(value, null) : throw StatusException.AlreadyExists(route.Kind, name))!;
    }

    private static void RequireNamespace(FakeStorage storage, string ns)
    {
        var kind = FakeKind.All.Single(kind => kind.Plural == "namespaces");
        if (!GivenNamespaces.Contains(ns) && storage.Change(kind, $"/{ns}", before => before) is null)
            throw StatusException.NotFound(kind, ns);
    }

    // An Event is where its object is; one of an object without a namespace is in "default".
    private static void JudgeEvent(JsonObject value, string name, string ns)
    {
        var about = (string?)value["involvedObject"]?["namespace"] ?? "";
        if (about != ns && !(about.Length == 0 && ns == "default"))
            throw StatusException.Invalid("", "Event", name, "involvedObject.namespace", "FieldValueInvalid", $"Invalid value: \"{about}\": does not match event.namespace");
    }

    private static void Apply(JsonObject target, JsonObject changes, bool strategic)
    {
        foreach (var (name, change) in changes.Where(change => !change.Key.StartsWith('$')))
        {
            if (change is null)
                target.Remove(name);
            else if (change is JsonObject inner)
                Apply(target[name] as JsonObject ?? Added(target, name), inner, strategic);
            else if (strategic && change is JsonArray items && MergeKeys.TryGetValue(name, out var key))
                ApplyItems(target[name] as JsonArray ?? Added(target, name, new JsonArray()), items, key);
            else
                target[name] = change.DeepClone();
        }
    }

    private static void ApplyItems(JsonArray target, JsonArray changes, string key)
    {
        foreach (var change in changes.OfType<JsonObject>())
        {
            var present = target.OfType<JsonObject>().FirstOrDefault(item => (string?)item[key] == (string?)change[key]);
            if ((string?)change["$patch"] == "delete")
                target.Remove(present);
            else if (present is not null)
                Apply(present, change, true);
            else
                target.Add(change.DeepClone());
        }
    }

    private static JsonObject Read(string body)
    {
        try
        {
            return JsonNode.Parse(body) as JsonObject ?? throw StatusException.BadRequest("the object provided is unrecognized: it is no JSON object");
        }
        catch (JsonException error)
        {
            throw StatusException.BadRequest($"the object provided is unrecognized: {error.Message}");
        }
    }

    private static JsonObject Added(JsonObject parent, string name) => Added(parent, name, new JsonObject());

    private static T Added<T>(JsonObject parent, string name, T value)
        where T : JsonNode
    {
        parent[name] = value;
        return value;
    }
}
