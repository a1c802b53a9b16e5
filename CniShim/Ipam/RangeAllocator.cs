using Overlay.PolicyEngine.Model;

namespace Overlay.CniShim.Ipam;

/// <summary>Which address comes next. Pure; host-local's order: round robin, so that an address rests as long as possible before another pod gets it.</summary>
internal static class RangeAllocator
{
    /// <summary>The first address after <paramref name="last"/> that is neither taken nor a gateway, going through the ranges in their order and round to the beginning.</summary>
    /// <param name="set">Where to look.</param>
    /// <param name="taken">What is given away already.</param>
    /// <param name="last">The one given last; null or one that is not in the set: from the beginning.</param>
    /// <returns>Null when all are taken.</returns>
    public static InetAddress? Next(RangeSet set, IReadOnlySet<InetAddress> taken, InetAddress? last)
    {
        var ranges = set.Ranges;
        var start = last is { } address ? ranges.TakeWhile(range => !range.Contains(address)).Count() : ranges.Count;
        if (last is not { } given || start == ranges.Count)
            return ranges.Select(range => FirstFree(range, range.Start.Value, range.End.Value, taken)).FirstOrDefault(free => free is not null);

        var first = ranges[start];
        if (given.Value < first.End.Value && FirstFree(first, given.Value + 1, first.End.Value, taken) is { } next)
            return next;
        for (var step = 1; step < ranges.Count; step++)
        {
            var range = ranges[(start + step) % ranges.Count];
            if (FirstFree(range, range.Start.Value, range.End.Value, taken) is { } free)
                return free;
        }

        return FirstFree(first, first.Start.Value, given.Value, taken);
    }

    private static InetAddress? FirstFree(AddressRange range, UInt128 from, UInt128 to, IReadOnlySet<InetAddress> taken)
    {
        for (var value = from; ; value++)
        {
            var address = new InetAddress(range.Subnet.Family, value);
            if (address != range.Gateway && !taken.Contains(address))
                return address;
            if (value == to)
                return null;
        }
    }
}
