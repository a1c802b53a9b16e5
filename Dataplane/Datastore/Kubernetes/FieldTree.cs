using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using Overlay.Dataplane.Yaml;

namespace Overlay.Dataplane.Datastore.Kubernetes;

/// <summary>
/// Which fields of an object are read: an object of the API holds ten times of what concerns the network (managedFields alone is often half of it), and what is not
/// named here is passed over without becoming a string. The items of a list have the tree of their list.
/// </summary>
internal sealed class FieldTree
{
    private readonly (byte[] Utf8, YamlNode.Scalar Key, FieldTree Fields)[] _fields;

    private FieldTree((byte[] Utf8, YamlNode.Scalar Key, FieldTree Fields)[] fields) => _fields = fields;

    /// <summary>Everything.</summary>
    public static FieldTree All { get; } = new([]);

    /// <summary>These, each with everything below it.</summary>
    public static FieldTree Of(params ReadOnlySpan<string> names)
    {
        var fields = new (string, FieldTree)[names.Length];
        for (var i = 0; i < names.Length; i++)
            fields[i] = (names[i], All);
        return Of(fields);
    }

    /// <summary>These, each with what is named of it.</summary>
    public static FieldTree Of(params (string Name, FieldTree Fields)[] fields) =>
        new([.. fields.Select(field => (System.Text.Encoding.UTF8.GetBytes(field.Name), new YamlNode.Scalar(0, field.Name, IsPlain: false), field.Fields))]);

    /// <summary>Whether the property on which the reader stands is one of these.</summary>
    /// <param name="reader">On a property's name.</param>
    /// <param name="key">The name.</param>
    /// <param name="fields">What of its value.</param>
    public bool Has(ref Utf8JsonReader reader, [NotNullWhen(true)] out YamlNode.Scalar? key, [NotNullWhen(true)] out FieldTree? fields)
    {
        foreach (var field in _fields)
        {
            if (reader.ValueTextEquals(field.Utf8))
            {
                (key, fields) = (field.Key, field.Fields);
                return true;
            }
        }

        (key, fields) = (null, null);
        return false;
    }
}
