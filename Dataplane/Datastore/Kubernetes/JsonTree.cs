using System.Text;
using System.Text.Json;
using Overlay.Dataplane.Yaml;

namespace Overlay.Dataplane.Datastore.Kubernetes;

/// <summary>JSON of the API server as the tree that manifests are read from, so that there is one way to understand an object. Only what is asked for becomes part of it.</summary>
internal static class JsonTree
{
    /// <summary>Reads an object.</summary>
    /// <param name="json">UTF-8, one object.</param>
    /// <param name="wanted">Which of its fields.</param>
    /// <param name="pool">Where what it shares with others comes from.</param>
    /// <exception cref="JsonException">It is no JSON object, has a key twice, or is nested deeper than 64 levels.</exception>
    public static YamlNode Read(ReadOnlySpan<byte> json, FieldTree wanted, Pool pool)
    {
        var reader = new Utf8JsonReader(json);
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
            throw new JsonException("an object is expected");
        return ReadValue(ref reader, wanted, pool);
    }

    private static YamlNode ReadValue(ref Utf8JsonReader reader, FieldTree wanted, Pool pool) => reader.TokenType switch
    {
        JsonTokenType.StartObject => ReadObject(ref reader, wanted, pool),
        JsonTokenType.StartArray => ReadArray(ref reader, wanted, pool),
        JsonTokenType.String => new YamlNode.Scalar(0, pool.Read(ref reader), IsPlain: false),
        JsonTokenType.Null => new YamlNode.Scalar(0, "null", IsPlain: true),
        JsonTokenType.True => new YamlNode.Scalar(0, "true", IsPlain: true),
        JsonTokenType.False => new YamlNode.Scalar(0, "false", IsPlain: true),
        _ => new YamlNode.Scalar(0, Encoding.UTF8.GetString(reader.ValueSpan), IsPlain: true),
    };

    private static YamlNode.Mapping ReadObject(ref Utf8JsonReader reader, FieldTree wanted, Pool pool)
    {
        var entries = new List<KeyValuePair<YamlNode.Scalar, YamlNode>>();
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            YamlNode.Scalar? key;
            var fields = FieldTree.All;
            if (wanted == FieldTree.All)
                key = new(0, pool.Read(ref reader), IsPlain: false);
            else if (!wanted.Has(ref reader, out key, out fields))
            {
                reader.Skip();
                continue;
            }

            if (entries.Exists(entry => entry.Key.Text == key.Text))
                throw new JsonException($"the key {key.Text} is there twice");
            reader.Read();
            entries.Add(new(key, ReadValue(ref reader, fields, pool)));
        }

        return new(0, entries);
    }

    private static YamlNode.Sequence ReadArray(ref Utf8JsonReader reader, FieldTree wanted, Pool pool)
    {
        var items = new List<YamlNode>();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
            items.Add(ReadValue(ref reader, wanted, pool));
        return new(0, items);
    }
}
