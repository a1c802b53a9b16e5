using System.Text.Json.Nodes;

namespace Overlay.Tests.Fakes;

/// <summary>What is served, as the server tells it.</summary>
internal static class FakeDiscovery
{
    /// <summary>The answer to <c>/version</c>, <c>/api</c>, <c>/apis</c> and what is directly below; null: not one of these, or nothing is served there.</summary>
    public static JsonObject? Answer(string path, IReadOnlyList<FakeKind> kinds)
    {
        var groups = kinds.Where(kind => kind.Group.Length > 0).Select(kind => (kind.Group, kind.Version)).Distinct().Select(known => Group(known.Group, known.Version)).ToArray();
        return path.Split('/', StringSplitOptions.RemoveEmptyEntries) switch
        {
            ["version"] => new() { ["major"] = "1", ["minor"] = "20", ["gitVersion"] = "v1.20.2" },
            ["api"] => new() { ["kind"] = "APIVersions", ["versions"] = new JsonArray("v1"), ["serverAddressByClientCIDRs"] = new JsonArray() },
            ["apis"] => new() { ["kind"] = "APIGroupList", ["apiVersion"] = "v1", ["groups"] = new JsonArray([.. groups]) },
            ["api", var version] => Resources(version, kinds),
            ["apis", var group] when groups.FirstOrDefault(known => (string?)known["name"] == group) is { } found => Described(found),
            ["apis", var group, var version] => Resources($"{group}/{version}", kinds),
            _ => null,
        };
    }

    private static JsonObject Described(JsonObject group) => new([new("kind", "APIGroup"), new("apiVersion", "v1"), .. group.Select(member => KeyValuePair.Create(member.Key, member.Value?.DeepClone()))]);

    private static JsonObject Group(string group, string version)
    {
        JsonObject Version() => new() { ["groupVersion"] = $"{group}/{version}", ["version"] = version };
        return new() { ["name"] = group, ["versions"] = new JsonArray(Version()), ["preferredVersion"] = Version() };
    }

    private static JsonObject? Resources(string apiVersion, IReadOnlyList<FakeKind> kinds)
    {
        var here = kinds.Where(kind => kind.ApiVersion == apiVersion).ToList();
        return here.Count == 0 ? null : new()
        {
            ["kind"] = "APIResourceList",
            ["apiVersion"] = "v1",
            ["groupVersion"] = apiVersion,
            ["resources"] = new JsonArray([.. here.Select(kind => new JsonObject
            {
                ["name"] = kind.Plural,
                ["singularName"] = "",
                ["namespaced"] = kind.IsNamespaced,
                ["kind"] = kind.Kind,
                ["verbs"] = new JsonArray("create", "get", "list", "watch"),
            })]),
        };
    }
}
