using CsCheck;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.PolicyEngine;

/// <summary>ipBlock arithmetic, at both ends of both families.</summary>
public class AddressRangeTests
{
    private const string LastV6 = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";

    [TestCase("10.0.0.0/8", "", "10.0.0.0-10.255.255.255")]
    [TestCase("10.0.0.0/8", "10.0.0.0/8", "")]
    [TestCase("0.0.0.0/0", "0.0.0.0/1", "128.0.0.0-255.255.255.255")]
    [TestCase("0.0.0.0/0", "0.0.0.0/32 255.255.255.255/32", "0.0.0.1-255.255.255.254")]
    [TestCase("::/0", "", "::-" + LastV6)]
    [TestCase("::/0", "::/128 " + LastV6 + "/128", "::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe")]
    [TestCase("::/0", "8000::/1", "::-7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")]
    [TestCase("10.0.0.0/30", "10.0.0.1/32 10.0.0.1/32 10.0.0.2/31", "10.0.0.0-10.0.0.0")]
    public void Block_without_its_exceptions(string cidr, string except, string expected) =>
        Assert.That(Text(AddressRange.Of([Block(cidr, except)])), Is.EqualTo(expected));

    [Test]
    public void Address_excepted_in_one_block_is_allowed_by_another() =>
        Assert.That(Text(AddressRange.Of([Block("10.0.0.0/8", "10.1.0.0/16"), Block("10.1.2.0/24", "")])), Is.EqualTo("10.0.0.0-10.0.255.255 10.1.2.0-10.1.2.255 10.2.0.0-10.255.255.255"));

    [Test]
    public void Touching_ranges_become_one_and_families_stay_apart() =>
        Assert.That(
            Text(AddressRange.Of([Block("10.0.0.128/25", ""), Block("10.0.0.0/25", ""), Block("255.255.255.255/32", ""), Block("::/128", ""), Block(LastV6 + "/128", "")])),
            Is.EqualTo("10.0.0.0-10.0.0.255 255.255.255.255-255.255.255.255 ::-:: " + LastV6 + "-" + LastV6));

    [TestCase("10.0.0.0/8")]
    [TestCase("0.0.0.0/0")]
    [TestCase("::/0")]
    [TestCase("255.255.255.255/32")]
    [TestCase(LastV6 + "/128")]
    [TestCase("fd00:42::/127")]
    public void Range_of_a_prefix_is_that_prefix(string prefix) => Assert.That(AddressRange.Of(Cidr.Parse(prefix)).AsPrefix(), Is.EqualTo(Cidr.Parse(prefix)));

    [TestCase("10.0.0.0", "10.0.0.2")]
    [TestCase("10.0.0.1", "10.0.0.2")]
    [TestCase("::1", LastV6)]
    public void Other_ranges_are_no_prefix(string first, string last) =>
        Assert.That(new AddressRange(InetAddress.Parse(first), InetAddress.Parse(last)).AsPrefix(), Is.Null);

    [Test]
    public void Ranges_hold_exactly_what_some_block_allows()
    {
        // Small prefixes at the very top of the space, where + 1 overflows; every address is asked.
        var prefix = Gen.Select(Gen.Int[0, 31], Gen.Int[123, 128], (low, length) => new Cidr(new(Family.IPv6, UInt128.MaxValue - (uint)low), length).Network);
        var block = Gen.Select(prefix, prefix.Array[0, 4], (cidr, except) => new Peer.IPBlock(cidr, new(except)));
        block.Array[0, 4].Sample(blocks =>
        {
            var ranges = AddressRange.Of(blocks);
            for (var i = 0; i < 32; i++)
            {
                var address = new InetAddress(Family.IPv6, UInt128.MaxValue - (uint)i);
                var allowed = blocks.Any(b => b.Cidr.Contains(address) && !b.Except.Any(e => e.Contains(address)));
                Assert.That(ranges.Any(range => range.Contains(address)), Is.EqualTo(allowed), address.ToString());
            }

            for (var i = 1; i < ranges.Count; i++)
                Assert.That(ranges[i].First.Value - ranges[i - 1].Last.Value > 1, "disjoint, in order, not touching");
        });
    }

    private static Peer.IPBlock Block(string cidr, string except) =>
        new(Cidr.Parse(cidr), except.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(Cidr.Parse).ToEquatableArray());

    private static string Text(IEnumerable<AddressRange> ranges) => string.Join(' ', ranges.Select(range => $"{range.First}-{range.Last}"));
}
