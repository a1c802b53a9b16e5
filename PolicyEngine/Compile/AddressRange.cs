using Overlay.PolicyEngine.Model;

namespace Overlay.PolicyEngine.Compile;

/// <summary>Addresses of one family from <paramref name="First"/> to <paramref name="Last"/>, both included.</summary>
/// <param name="First">Lowest.</param>
/// <param name="Last">Highest, at least <paramref name="First"/>.</param>
public readonly record struct AddressRange(InetAddress First, InetAddress Last)
{
    /// <summary>The range of a prefix.</summary>
    public static AddressRange Of(Cidr prefix) => new(prefix.First, prefix.Last);

    /// <summary>Whether the address is inside.</summary>
    public bool Contains(InetAddress address) => address.Family == First.Family && address >= First && address <= Last;

    /// <summary>The prefix with exactly these addresses, or null when there is none.</summary>
    public Cidr? AsPrefix()
    {
        var differing = First.Value ^ Last.Value;
        var bits = differing == 0 ? 0 : (int)UInt128.Log2(differing) + 1;
        var prefix = new Cidr(First, First.Family.Bits() - bits);
        return prefix.First == First && prefix.Last == Last ? prefix : null;
    }

    /// <summary>The same addresses as disjoint ranges in order, none of which touches the next; ranges of both families may be mixed.</summary>
    public static List<AddressRange> Union(IEnumerable<AddressRange> ranges)
    {
        var union = new List<AddressRange>();
        foreach (var range in ranges.OrderBy(range => range.First))
        {
            if (union.Count > 0 && Touches(union[^1], range))
                union[^1] = union[^1].Hull(range);
            else
                union.Add(range);
        }

        return union;
    }

    /// <summary>What is left of the range without <paramref name="others"/>, in order.</summary>
    public IEnumerable<AddressRange> Except(IEnumerable<AddressRange> others)
    {
        var rest = this;
        foreach (var other in Union(others))
        {
            if (other.Last < rest.First || other.First > rest.Last)
                continue;
            if (other.First > rest.First)
                yield return new(rest.First, new(rest.First.Family, other.First.Value - 1));
            if (other.Last >= rest.Last)
                yield break;
            rest = rest with { First = new(rest.First.Family, other.Last.Value + 1) };
        }

        yield return rest;
    }

    /// <summary>The addresses that at least one of the blocks allows: an address excepted in one block may be allowed by another. Disjoint, in order.</summary>
    public static List<AddressRange> Of(IEnumerable<Peer.IPBlock> blocks) =>
        Union(blocks.SelectMany(block => Of(block.Cidr).Except(block.Except.Select(Of))));

    /// <summary>Whether there is no address between two ranges of one family, of which <paramref name="earlier"/> does not begin after <paramref name="later"/>.</summary>
    internal static bool Touches(AddressRange earlier, AddressRange later) =>
        earlier.First.Family == later.First.Family && (later.First <= earlier.Last || later.First.Value - earlier.Last.Value == 1); // the check by subtraction cannot overflow

    /// <summary>From the lower beginning to the higher end of two ranges of one family.</summary>
    internal AddressRange Hull(AddressRange other) => new(First < other.First ? First : other.First, Last > other.Last ? Last : other.Last);
}
