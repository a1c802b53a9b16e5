namespace Overlay.PolicyEngine.Compile;

/// <summary>Addresses as disjoint ranges in order, none of which touches the next; ranges of both families may be mixed. A range is found and added by binary search, whatever their number.</summary>
/// <param name="ranges">What is in it at first, in any order.</param>
public sealed class RangeUnion(IEnumerable<AddressRange> ranges)
{
    private readonly List<AddressRange> _ranges = AddressRange.Union(ranges);

    /// <summary>The ranges, in order.</summary>
    public IReadOnlyList<AddressRange> Ranges => _ranges;

    /// <summary>Whether an address of the range is in it.</summary>
    public bool Overlaps(AddressRange range)
    {
        var at = FirstNotBefore(range, static (earlier, later) => earlier.Last < later.First);
        return at < _ranges.Count && _ranges[at].First <= range.Last;
    }

    /// <summary>Adds the addresses of a range.</summary>
    /// <param name="range">The range.</param>
    /// <param name="replaced">The ranges that are part of another now.</param>
    /// <returns>The range that has them now.</returns>
    public AddressRange Add(AddressRange range, out IReadOnlyList<AddressRange> replaced)
    {
        var at = FirstNotBefore(range, static (earlier, later) => earlier.First < later.First && !AddressRange.Touches(earlier, later));
        var end = at;
        for (; end < _ranges.Count && (_ranges[end].First <= range.First || AddressRange.Touches(range, _ranges[end])); end++)
            range = range.Hull(_ranges[end]);
        replaced = _ranges.GetRange(at, end - at);
        if (end > at)
            _ranges.RemoveRange(at + 1, end - at - 1);
        else
            _ranges.Insert(at, range);
        _ranges[at] = range;
        return range;
    }

    private int FirstNotBefore(AddressRange range, Func<AddressRange, AddressRange, bool> isBefore)
    {
        var (low, high) = (0, _ranges.Count);
        while (low < high)
        {
            var middle = (low + high) >>> 1;
            if (isBefore(_ranges[middle], range))
                low = middle + 1;
            else
                high = middle;
        }

        return low;
    }
}
