using System.Runtime.CompilerServices;
using System.Text.Json;

namespace Overlay.Dataplane.Datastore.Kubernetes;

/// <summary>Type of a watch event (apimachinery, pkg/watch/watch.go).</summary>
internal enum WatchEventType
{
    /// <summary>One that we do not know: passed over.</summary>
    Unknown,

    /// <summary>ADDED.</summary>
    Added,

    /// <summary>MODIFIED.</summary>
    Modified,

    /// <summary>DELETED; the object is its last state.</summary>
    Deleted,

    /// <summary>BOOKMARK; of the object only metadata.resourceVersion counts: everything up to it has been told.</summary>
    Bookmark,

    /// <summary>ERROR; the object is a Status.</summary>
    Error,
}

/// <summary>A watch event.</summary>
/// <param name="Type">Its type.</param>
/// <param name="Object">Its object's JSON; good until the next event is asked for.</param>
internal readonly record struct WatchEvent(WatchEventType Type, ReadOnlyMemory<byte> Object);

/// <summary>
/// The body of a watch: one event a line. The envelope is read first and the object by its type afterwards: the <c>status</c> of an ERROR's object is a text, that of a pod
/// an object, and a reader that met both at once would lose the events before the one on which it fails.
/// </summary>
/// <param name="buffer">The body.</param>
internal sealed class WatchBody(BodyBuffer buffer)
{
    /// <summary>The events, until the body ends.</summary>
    /// <exception cref="JsonException">A line is no event.</exception>
    /// <exception cref="IOException">It ends in the middle of one, or is silent for too long.</exception>
    public async IAsyncEnumerable<WatchEvent> EventsAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        var searched = 0;
        while (true)
        {
            var end = buffer.Unused.Span[searched..].IndexOf((byte)'\n');
            if (end >= 0)
            {
                var line = buffer.Unused[..(searched + end)];
                if (!line.Span.Trim(" \t\r"u8).IsEmpty)
                    yield return Read(line);
                buffer.Use(line.Length + 1);
                searched = 0;
                continue;
            }

            searched = buffer.Unused.Length;
            if (await buffer.FillAsync(cancellation).ConfigureAwait(false))
                continue;
            if (!buffer.Unused.Span.Trim(" \t\r"u8).IsEmpty)
                throw new IOException("the watch breaks off in the middle of an event");
            yield break;
        }
    }

    private static WatchEvent Read(ReadOnlyMemory<byte> line)
    {
        var reader = new Utf8JsonReader(line.Span, new JsonReaderOptions { MaxDepth = 256 });
        var (type, isTyped, body) = (WatchEventType.Unknown, false, default(ReadOnlyMemory<byte>));
        reader.Read();
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var (isType, isObject) = (reader.ValueTextEquals("type"u8), reader.ValueTextEquals("object"u8));
            reader.Read();
            var start = (int)reader.TokenStartIndex;
            if (isType)
                (type, isTyped) = (TypeOf(ref reader), true);
            reader.Skip();
            if (isObject)
                body = line[start..(int)reader.BytesConsumed];
        }

        return isTyped && body.Length > 0 ? new(type, body) : throw new JsonException("a line of the watch has no type or no object");
    }

    private static WatchEventType TypeOf(ref Utf8JsonReader reader) =>
        reader.TokenType != JsonTokenType.String ? WatchEventType.Unknown
        : reader.ValueTextEquals("ADDED"u8) ? WatchEventType.Added
        : reader.ValueTextEquals("MODIFIED"u8) ? WatchEventType.Modified
        : reader.ValueTextEquals("DELETED"u8) ? WatchEventType.Deleted
        : reader.ValueTextEquals("BOOKMARK"u8) ? WatchEventType.Bookmark
        : reader.ValueTextEquals("ERROR"u8) ? WatchEventType.Error
        : WatchEventType.Unknown;
}
