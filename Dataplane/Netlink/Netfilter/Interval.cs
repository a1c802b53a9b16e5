using Overlay.PolicyEngine.Nftables;

namespace Overlay.Dataplane.Netlink.Netfilter;

/// <summary>
/// Ranges as an rbtree keeps them: an element where a range begins and an end element just behind its last key; none when nothing is behind it.
/// A range that begins where another ends stands next to that one's end element under the same key.
/// </summary>
internal static class Interval
{
    /// <summary>The key behind <paramref name="key"/>; false when it is the last of <paramref name="length"/> bytes (255.255.255.255).</summary>
    internal static bool TryNext(int length, ElementKey key, out ElementKey next) => TryStep(length, key, 0xff, 0x00, 1, out next);

    /// <summary>The ranges behind the elements of a set, in any order.</summary>
    internal static List<Element> Ranges(int length, IReadOnlyCollection<KernelElement> elements)
    {
        var ranges = new List<Element>();
        KernelElement? open = null;
        foreach (var element in elements.Where(element => element.Key.Length == 0))
            ranges.Add(element.ToElement());
        foreach (var element in elements.Where(element => element.Key.Length > 0).OrderBy(element => element.Key).ThenByDescending(element => element.IsIntervalEnd))
        {
            if (open is { } range && TryPrevious(length, element.Key, out var last))
                ranges.Add(new(range.Key, last, range.Verdict));
            open = element.IsIntervalEnd ? null : element;
        }
        if (open is { } endless)
            ranges.Add(new(endless.Key, Last(length), endless.Verdict));
        return ranges;
    }

    private static bool TryPrevious(int length, ElementKey key, out ElementKey previous) => TryStep(length, key, 0x00, 0xff, -1, out previous);

    private static ElementKey Last(int length)
    {
        Span<byte> bytes = stackalloc byte[ElementKey.MaxLength];
        bytes[..length].Fill(0xff);
        return ElementKey.FromBytes(bytes[..length]);
    }

    // Counts one up or down in the big-endian number of the first bytes: those that are at their limit turn over, the one before them changes.
    private static bool TryStep(int length, ElementKey key, byte limit, byte turned, int step, out ElementKey result)
    {
        Span<byte> bytes = stackalloc byte[ElementKey.MaxLength];
        key.WriteTo(bytes);
        var index = length - 1;
        while (index >= 0 && bytes[index] == limit)
            bytes[index--] = turned;
        if (index >= 0)
            bytes[index] = (byte)(bytes[index] + step);
        result = index >= 0 ? ElementKey.FromBytes(bytes[..length]) : key;
        return index >= 0;
    }
}
