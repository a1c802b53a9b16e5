namespace Overlay.PolicyEngine.Nftables;

/// <summary>The elements of a set of ranges, ready for look-up.</summary>
internal sealed class Ranges
{
    private readonly Set _set;
    private readonly Element[] _sorted;

    /// <summary>Sorts the ranges.</summary>
    public Ranges(Set set, IEnumerable<Element> elements)
    {
        _set = set;
        _sorted = [.. elements];
        Array.Sort(_sorted, (left, right) => left.Key.CompareTo(right.Key));
        IsOrdered = true;
        for (var i = 0; i < _sorted.Length && IsOrdered; i++)
            IsOrdered = IsStretch(_sorted[i]) && (i == 0 || _sorted[i].Key > _sorted[i - 1].Last);
    }

    /// <summary>Whether the ranges are disjoint stretches of keys, so that binary search finds the one that holds a key. Of one part they must be: the kernel answers EEXIST to overlapping ones.</summary>
    public bool IsOrdered { get; }

    /// <summary>The range that holds the key, or null.</summary>
    public Element? Find(ElementKey key)
    {
        if (!IsOrdered)
            return Walk(key);
        var (low, high) = (0, _sorted.Length);
        while (low < high)
        {
            var middle = (low + high) >>> 1;
            if (_sorted[middle].Key <= key)
                low = middle + 1;
            else
                high = middle;
        }

        return low > 0 && key <= _sorted[low - 1].Last ? _sorted[low - 1] : null;
    }

    private Element? Walk(ElementKey key)
    {
        foreach (ref readonly var range in _sorted.AsSpan())
        {
            if (Holds(range, key))
                return range;
        }

        return null;
    }

    // Part by part, as pipapo compares: a range of (protocol, port) is a rectangle, not a stretch of numbers.
    private bool Holds(in Element range, ElementKey key)
    {
        Span<byte> first = stackalloc byte[ElementKey.MaxLength], value = stackalloc byte[ElementKey.MaxLength], last = stackalloc byte[ElementKey.MaxLength];
        range.Key.WriteTo(first);
        key.WriteTo(value);
        range.Last.WriteTo(last);
        var offset = 0;
        foreach (var part in _set.Key)
        {
            var length = part.RegisterLength();
            if (value.Slice(offset, length).SequenceCompareTo(first.Slice(offset, length)) < 0 || value.Slice(offset, length).SequenceCompareTo(last.Slice(offset, length)) > 0)
                return false;
            offset += length;
        }

        return true;
    }

    // A rectangle is a stretch when all of its parts but the last are one value.
    private bool IsStretch(in Element range)
    {
        Span<byte> first = stackalloc byte[ElementKey.MaxLength], last = stackalloc byte[ElementKey.MaxLength];
        range.Key.WriteTo(first);
        range.Last.WriteTo(last);
        var head = 0;
        for (var part = 0; part < _set.Key.Count - 1; part++)
            head += _set.Key[part].RegisterLength();
        return first[..head].SequenceEqual(last[..head]);
    }
}
