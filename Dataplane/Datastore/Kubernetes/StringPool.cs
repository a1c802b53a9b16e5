using System.Text.Json;

namespace Overlay.Dataplane.Datastore.Kubernetes;

/// <summary>
/// Texts that come again and again (namespaces, nodes, labels) as one string each. Bounded: a text that is new takes the place of another, which is then merely read anew.
/// Not thread-safe.
/// </summary>
internal sealed class StringPool
{
    private const int Longest = 64; // bytes; longer ones are seldom seen twice
    private readonly string?[] _slots = new string?[4096];

    /// <summary>The text on which the reader stands.</summary>
    public string Read(ref Utf8JsonReader reader)
    {
        if (reader.HasValueSequence || reader.ValueIsEscaped || reader.ValueSpan.Length > Longest)
            return reader.GetString()!;
        Span<char> characters = stackalloc char[Longest];
        var text = characters[..reader.CopyString(characters)];
        ref var slot = ref _slots[string.GetHashCode(text) & (_slots.Length - 1)];
        if (slot is null || !text.SequenceEqual(slot))
            slot = text.ToString();
        return slot;
    }
}
