using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace Overlay.Tests.Fakes;

/// <summary>One change to one object: what etcd keeps at a revision. Immutable, so any thread may read it.</summary>
internal sealed partial record StoredVersion
{
    private static readonly JsonSerializerOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private StoredVersion(long revision, FakeKind kind, string key, string type, byte[] json, byte[] item) =>
        (Revision, Kind, Key, Type, Json, Item) = (revision, kind, key, type, json, item);

    /// <summary>The change.</summary>
    public long Revision { get; }

    /// <summary>Of what.</summary>
    public FakeKind Kind { get; }

    /// <summary>NAMESPACE/NAME, which is the order of lists, by bytes; the namespace is empty where there is none.</summary>
    public string Key { get; }

    /// <summary>ADDED, MODIFIED or DELETED, as a watch says it.</summary>
    public string Type { get; }

    /// <summary>The object; of a deleted one its last state, at the revision of its deletion.</summary>
    public byte[] Json { get; }

    /// <summary>The object as an item of a list.</summary>
    public byte[] Item { get; }

    /// <summary>The object, as a copy.</summary>
    public JsonObject Object => JsonNode.Parse(Json)!.AsObject();

    /// <summary>The line of a watch.</summary>
    public byte[] Line => [.. "{\"type\":\""u8, .. Encoding.ASCII.GetBytes(Type), .. "\",\"object\":"u8, .. Json, .. "}\n"u8];

    /// <summary>Sets the object's resourceVersion and keeps it.</summary>
    public static StoredVersion Of(long revision, FakeKind kind, string key, string type, JsonObject value)
    {
        value["metadata"]!["resourceVersion"] = $"{revision}";
        var json = Bytes(value);
        if (kind.IsCustom)
            return new(revision, kind, key, type, json, json);
        var item = value.DeepClone().AsObject();
        item.Remove("kind");
        item.Remove("apiVersion");
        return new(revision, kind, key, type, json, Bytes(item));
    }

    /// <summary>The JSON text as Go writes it: what is beyond ASCII as it is. The encoder escapes characters of four bytes whatever it is told.</summary>
    public static byte[] Bytes(JsonNode node) =>
        Encoding.UTF8.GetBytes(SurrogatePair().Replace(node.ToJsonString(Options), pair => pair.Groups[1].Value + JsonSerializer.Deserialize<string>($"\"{pair.Groups[2].Value}\"")));

    /// <summary>The object's namespace is <paramref name="ns"/>, or that is null.</summary>
    public bool IsIn(string? ns) => ns is null || (Key.StartsWith(ns, StringComparison.Ordinal) && Key[ns.Length] == '/');

    // Behind an even number of backslashes, which are text.
    [GeneratedRegex(@"(?<!\\)((?:\\\\)*)(\\u[dD][89abAB]..\\u[dD][c-fC-F]..)")]
    private static partial Regex SurrogatePair();
}
