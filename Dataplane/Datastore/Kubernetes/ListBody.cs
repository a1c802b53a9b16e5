using System.Runtime.CompilerServices;
using System.Text.Json;
using Overlay.Dataplane.Yaml;

namespace Overlay.Dataplane.Datastore.Kubernetes;

/// <summary>
/// The body of a list, item by item as it arrives: <c>{"kind":"PodList","metadata":{"resourceVersion":"7","continue":"…"},"items":[{…},{…}]}</c> with its properties in any order.
/// Never more than one item is in memory, however long the list.
/// </summary>
/// <param name="buffer">The body.</param>
internal sealed class ListBody(BodyBuffer buffer)
{
    private static readonly JsonReaderOptions Options = new() { MaxDepth = 256 };

    private static readonly FieldTree Metadata = FieldTree.Of("resourceVersion", "continue");

    private JsonReaderState _state = new(Options);
    private Place _place = Place.Before;

    private enum Place
    {
        Before,
        Properties,
        Items,
        After,
    }

    private enum Found
    {
        Item,
        End,
        Incomplete,
    }

    /// <summary>metadata.resourceVersion; known when all items are read.</summary>
    public string ResourceVersion { get; private set; } = "";

    /// <summary>metadata.continue: where the next page begins; empty on the last. Known when all items are read.</summary>
    public string Continue { get; private set; } = "";

    /// <summary>The items; each is good until the next is asked for.</summary>
    /// <exception cref="JsonException">It is no such list.</exception>
    /// <exception cref="IOException">It ends in the middle, or does not go on.</exception>
    public async IAsyncEnumerable<ReadOnlyMemory<byte>> ItemsAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        while (true)
        {
            var found = Next(buffer.Unused.Span, out var item, out var used);
            if (found == Found.End)
                yield break;
            if (found == Found.Item)
                yield return buffer.Unused[item];
            buffer.Use(used);
            if (found == Found.Incomplete && !await buffer.FillAsync(cancellation).ConfigureAwait(false))
                throw new IOException("the list breaks off in the middle");
        }
    }

    // One item, or as much of the rest as is there. What is not there whole is read again from its beginning when more has come.
    private Found Next(ReadOnlySpan<byte> bytes, out Range item, out int used)
    {
        var reader = new Utf8JsonReader(bytes, isFinalBlock: false, _state);
        item = default;
        while (true)
        {
            var tried = reader;
            var start = 0;
            var isWhole = _place == Place.Items ? TryItem(ref tried, out start) : TryProperty(ref tried, bytes);
            if (!isWhole)
            {
                used = (int)reader.BytesConsumed;
                _state = reader.CurrentState;
                return Found.Incomplete;
            }

            reader = tried;
            used = (int)reader.BytesConsumed;
            _state = reader.CurrentState;
            if (_place == Place.After)
                return Found.End;
            if (start >= 0 && _place == Place.Items && reader.TokenType == JsonTokenType.EndObject)
            {
                item = start..used;
                return Found.Item;
            }
        }
    }

    private bool TryItem(ref Utf8JsonReader reader, out int start)
    {
        start = -1;
        if (!reader.Read())
            return false;
        if (reader.TokenType == JsonTokenType.EndArray)
        {
            _place = Place.Properties;
            return true;
        }

        if (reader.TokenType != JsonTokenType.StartObject)
            throw new JsonException($"a {reader.TokenType} stands among the items");
        start = (int)reader.TokenStartIndex;
        return reader.TrySkip();
    }

    private bool TryProperty(ref Utf8JsonReader reader, ReadOnlySpan<byte> bytes)
    {
        if (!reader.Read())
            return false;
        switch (reader.TokenType)
        {
            case JsonTokenType.StartObject when _place == Place.Before:
                _place = Place.Properties;
                return true;
            case JsonTokenType.EndObject:
                _place = Place.After;
                return true;
            case JsonTokenType.PropertyName when reader.ValueTextEquals("items"u8):
                return TryBeginItems(ref reader);
            case JsonTokenType.PropertyName when reader.ValueTextEquals("metadata"u8):
                return TryMetadata(ref reader, bytes);
            case JsonTokenType.PropertyName:
                return reader.Read() && reader.TrySkip();
            default:
                throw new JsonException("this is no list");
        }
    }

    // A list without items may have null there.
    private bool TryBeginItems(ref Utf8JsonReader reader)
    {
        if (!reader.Read())
            return false;
        if (reader.TokenType == JsonTokenType.StartArray)
            _place = Place.Items;
        else if (reader.TokenType != JsonTokenType.Null)
            throw new JsonException($"a {reader.TokenType} stands where items are expected");
        return true;
    }

    private bool TryMetadata(ref Utf8JsonReader reader, ReadOnlySpan<byte> bytes)
    {
        if (!reader.Read())
            return false;
        var start = (int)reader.TokenStartIndex;
        if (!reader.TrySkip())
            return false;
        var metadata = new Fields(JsonTree.Read(bytes[start..(int)reader.BytesConsumed], Metadata, new()), "metadata", []);
        (ResourceVersion, Continue) = (metadata.Text("resourceVersion") ?? "", metadata.Text("continue") ?? "");
        return true;
    }
}
