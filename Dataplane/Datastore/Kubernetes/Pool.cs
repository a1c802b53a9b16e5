using System.Text.Json;

namespace Overlay.Dataplane.Datastore.Kubernetes;

/// <summary>
/// Texts that come again and again in a cluster's objects (namespaces, nodes, labels), so that most that is read makes no garbage; what is kept of it the store shares (<c>InternTable</c>). Bounded: what is new
/// takes the place of something else, which is then merely read anew. Not thread-safe.
/// </summary>
internal sealed class Pool
{
    private const int Longest = 64; // bytes; longer texts are seldom seen twice
    private readonly string?[] _texts = new string?[4096];

    /// <summary>The text on which the reader stands.</summary>
    public string Read(ref Utf8JsonReader reader)
    {
        if (reader.HasValueSequence || reader.ValueIsEscaped || reader.ValueSpan.Length > Longest)
            return reader.GetString()!;
        Span<char> characters = stackalloc char[Longest];
        var text = characters[..reader.CopyString(characters)];
        ref var slot = ref _texts[string.GetHashCode(text) & (_texts.Length - 1)];
        if (slot is null || !text.SequenceEqual(slot))
            slot = text.ToString();
        return slot;
    }
}
