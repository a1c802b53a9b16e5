using System.Text.Json.Nodes;

namespace Overlay.Tests.Fuzz;

/// <summary>Damage to the structure of a JSON document.</summary>
internal static class JsonChange
{
    private static readonly string[] Values = ["null", "0", "-1", "1", "65536", "1e3", "99999999999999999999", "true", "\"\"", "\"x\"", "\"X\\u0000\"", "\"-\"", "\"80\"", "\"10.0.0.0/8\"", "\"10.0.0.1/33\"", "\"::ffff:10.0.0.0/104\"", "[]", "{}", "[null]", "[[]]", "[{}]", "{\"x\":1}", "[\"Ingress\"]", "[\"Egress\"]"];

    /// <summary>The way to each member and item, as keys and indices.</summary>
    public static IEnumerable<object[]> Places(JsonNode node, object[] path) => node switch
    {
        JsonObject members => members.SelectMany(member => Below(member.Value, [.. path, member.Key])),
        JsonArray items => items.SelectMany((item, index) => Below(item, [.. path, index])),
        _ => [],
    };

    private static IEnumerable<object[]> Below(JsonNode? node, object[] path) => node is null ? [path] : Places(node, path).Prepend(path);

    /// <summary>Every kind of change at a place.</summary>
    public static IEnumerable<string> Changes(object[] path) =>
        [.. Values.Select(value => "=" + value), "remove", "add", .. path[^1] is string ? ["rename", "upper"] : (string[])["twice"]];

    /// <summary>Makes a change.</summary>
    /// <returns>False when it can not be made there.</returns>
    public static bool Apply(JsonNode root, object[] path, string change)
    {
        var parent = root;
        foreach (var step in path[..^1])
            parent = step is string key ? parent[key]! : parent[(int)step]!;
        if (parent is JsonArray items)
            return ApplyToItem(items, (int)path[^1], change);
        var (members, name) = (parent.AsObject(), (string)path[^1]);
        var value = members[name]?.DeepClone();
        switch (change)
        {
            case "add":
                return members.TryAdd("surprise", 1);
            case "remove":
                return members.Remove(name);
            case "rename" or "upper":
                members.Remove(name);
                return members.TryAdd(change == "upper" ? char.ToUpperInvariant(name[0]) + name[1..] : name + "x", value);
            default:
                members[name] = JsonNode.Parse(change[1..]);
                return true;
        }
    }

    private static bool ApplyToItem(JsonArray items, int index, string change)
    {
        switch (change)
        {
            case "add":
                items.Insert(index, JsonNode.Parse("\"surprise\""));
                break;
            case "remove":
                items.RemoveAt(index);
                break;
            case "twice":
                items.Insert(index, items[index]?.DeepClone());
                break;
            default:
                items[index] = JsonNode.Parse(change[1..]);
                break;
        }

        return true;
    }
}
