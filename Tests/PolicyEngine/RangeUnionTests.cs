using CsCheck;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.PolicyEngine;

/// <summary>Ranges added one by one come to the union of all.</summary>
public class RangeUnionTests
{
    // Both families, at their very ends, where + 1 overflows.
    private static readonly Gen<AddressRange> SomeRange = Gen.Select(Gen.Enum<Family>(), Gen.Int[0, 63], Gen.Int[0, 6], Gen.Bool, (family, low, length, atEnd) =>
    {
        var first = atEnd ? (family == Family.IPv4 ? uint.MaxValue : UInt128.MaxValue) - 69 + (UInt128)low : (UInt128)low;
        return new AddressRange(new(family, first), new(family, first + (UInt128)length));
    });

    [Test]
    public void Added_one_by_one_they_come_to_the_same_as_together() => Gen.Select(SomeRange.Array[0, 12], SomeRange.Array[0, 12]).Sample((first, more) =>
    {
        var union = new RangeUnion(first);
        var elements = union.Ranges.ToHashSet();
        foreach (var range in more)
        {
            var joined = union.Add(range, out var replaced);
            Assert.That(elements.IsSupersetOf(replaced), "what is replaced was there");
            elements.ExceptWith(replaced);
            Assert.That(elements.Add(joined), "and what replaces it was not left there");
        }

        Assert.That(union.Ranges, Is.EqualTo(AddressRange.Union([.. first, .. more])));
        Assert.That(elements, Is.EquivalentTo(union.Ranges));
    });

    [Test]
    public void It_overlaps_what_one_of_its_ranges_has_an_address_of() => Gen.Select(SomeRange.Array[0, 12], SomeRange).Sample((ranges, asked) =>
        Assert.That(
            new RangeUnion(ranges).Overlaps(asked),
            Is.EqualTo(ranges.Any(range => range.First.Family == asked.First.Family && range.First <= asked.Last && asked.First <= range.Last))));
}
