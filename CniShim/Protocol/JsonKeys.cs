using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;

namespace Overlay.CniShim.Protocol;

/// <summary>Reads JSON as the runtimes expect it of Go: keys in any case (containerd sends PascalCase), the last of equals wins, null is absent, unknown keys are nobody's business.</summary>
internal static class JsonKeys
{
    /// <summary>The value of <paramref name="key"/>; null when absent, or when this is no object.</summary>
    /// <exception cref="JsonException">A key is not Unicode.</exception>
    public static JsonElement? Find(this JsonElement element, string key)
    {
        JsonElement? found = null;
        if (element.ValueKind == JsonValueKind.Object)
        {
            foreach (var property in element.EnumerateObject())
            {
                if (IsNamed(property, key))
                    found = property.Value;
            }
        }

        return found is { ValueKind: JsonValueKind.Null } ? null : found;
    }

    /// <summary>The text at <paramref name="key"/>; empty when absent.</summary>
    /// <exception cref="JsonException">It is no text.</exception>
    public static string Text(this JsonElement element, string key) => element.Find(key) is { } value ? value.AsText(key) : "";

    /// <summary>The list at <paramref name="key"/>; empty when absent.</summary>
    /// <exception cref="JsonException">It is no list.</exception>
    public static IReadOnlyList<JsonElement> List(this JsonElement element, string key) => element.Find(key) switch
    {
        null => [],
        { ValueKind: JsonValueKind.Array } list => [.. list.EnumerateArray()],
        { } other => throw Wrong(key, "a list", other),
    };

    /// <summary>The texts of the list at <paramref name="key"/>; empty when absent.</summary>
    /// <exception cref="JsonException">It is no list of texts.</exception>
    public static IReadOnlyList<string> Texts(this JsonElement element, string key) => [.. element.List(key).Select(item => item.AsText(key))];

    /// <summary>The whole number at <paramref name="key"/>; null when absent.</summary>
    /// <exception cref="JsonException">It is no number of 32 bits.</exception>
    public static int? Number(this JsonElement element, string key) => element.Find(key) switch
    {
        null => null,
        { ValueKind: JsonValueKind.Number } value when value.TryGetInt32(out var number) => number,
        { } other => throw Wrong(key, "a whole number", other),
    };

    /// <summary>The whole number at <paramref name="key"/>; null when absent.</summary>
    /// <exception cref="JsonException">It is no number of 64 bits.</exception>
    public static long? LongNumber(this JsonElement element, string key) => element.Find(key) switch
    {
        null => null,
        { ValueKind: JsonValueKind.Number } value when value.TryGetInt64(out var number) => number,
        { } other => throw Wrong(key, "a whole number", other),
    };

    private static string AsText(this JsonElement element, string what) =>
        element.ValueKind == JsonValueKind.String ? Decoded(() => element.GetString()!) : throw Wrong(what, "a string", element);

    // A name in plain ASCII needs no string.
    private static bool IsNamed(JsonProperty property, string key)
    {
        var name = JsonMarshal.GetRawUtf8PropertyName(property);
        return Ascii.IsValid(name) && !name.Contains((byte)'\\') ? Ascii.EqualsIgnoreCase(name, key) : Decoded(() => property.Name).Equals(key, StringComparison.OrdinalIgnoreCase);
    }

    // Bytes that are no UTF-8 and halves of surrogate pairs are only found now, and by an exception that is not JSON's.
    private static string Decoded(Func<string> read)
    {
        try
        {
            return read();
        }
        catch (InvalidOperationException error)
        {
            throw new JsonException($"a text is not Unicode: {error.Message}", error);
        }
    }

    private static JsonException Wrong(string key, string wanted, JsonElement found) => new($"\"{key}\" has to be {wanted}, not {found.ValueKind}");
}
