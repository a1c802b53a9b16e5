extern alias shim;

using CsCheck;
using shim::Overlay.CniShim;
using shim::Overlay.CniShim.Ipam;
using shim::Overlay.CniShim.Spec;
using shim::Overlay.PolicyEngine.Model;

namespace Overlay.Tests.CniShim;

public class RangeAllocatorTests
{
    private static readonly RangeSet Small = new([AddressRange.Of(Cidr.Parse("10.0.0.0/29"))]);

    private static readonly Gen<RangeSet> AnySet =
        from count in Gen.Int[1, 3]
        from bounds in Gen.Select(Gen.Int[0, 15], Gen.Int[0, 15], Gen.Int[0, 15]).Array[count]
        from v6 in Gen.Bool
        select new RangeSet([.. bounds.Select((bound, number) => Range(v6, number, bound.Item1, bound.Item2, bound.Item3))]);

    [Test]
    public void The_first_address_is_the_one_after_the_gateway() =>
        Assert.That(RangeAllocator.Next(Small, new HashSet<InetAddress>(), null).ToString(), Is.EqualTo("10.0.0.2"));

    [Test]
    public void Addresses_go_round_robin()
    {
        var last = InetAddress.Parse("10.0.0.5");
        var given = new List<string>();
        for (var step = 0; step < 6; step++)
        {
            last = RangeAllocator.Next(Small, new HashSet<InetAddress>(), last)!.Value;
            given.Add(last.ToString());
        }

        Assert.That(given, Is.EqualTo(new[] { "10.0.0.6", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6" }));
    }

    [Test]
    public void A_prefix_as_large_as_can_be_is_no_trouble()
    {
        var all = new RangeSet([AddressRange.Of(Cidr.Parse("::/0"))]);
        Assert.That(RangeAllocator.Next(all, new HashSet<InetAddress>(), InetAddress.Parse("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")).ToString(), Is.EqualTo("::2"));
    }

    [Test]
    public void It_is_the_first_free_one_of_all_in_their_order() => Check.Sample(
        Gen.Select(AnySet, Gen.Int[0, 47].HashSet[0, 48], Gen.Int[-1, 63]),
        (set, takenNumbers, lastNumber) =>
        {
            var origin = set.Ranges[0].Subnet.First.Value & ~(UInt128)0xff;
            var family = set.Ranges[0].Subnet.Family;
            var taken = takenNumbers.Select(number => new InetAddress(family, origin + (UInt128)number)).ToHashSet();
            InetAddress? last = lastNumber < 0 ? null : new InetAddress(family, origin + (UInt128)lastNumber);
            Assert.That(RangeAllocator.Next(set, taken, last), Is.EqualTo(Model(set, taken, last)), () => $"{set} last {last} taken {string.Join(' ', taken)}");
        });

    [TestCase("10.0.0.0/30", "10.0.0.1-10.0.0.2")]
    [TestCase("10.0.0.0/24", "10.0.0.1-10.0.0.254")]
    [TestCase("fd00::/126", "fd00::1-fd00::3")]
    public void A_prefix_has_the_bounds_of_host_local(string subnet, string bounds) =>
        Assert.That(AddressRange.Of(Cidr.Parse(subnet)).ToString(), Is.EqualTo(bounds));

    [TestCase("""[[{"subnet":"10.0.0.0/31"}]]""", "invalid range: Network 10.0.0.0/31 too small to allocate from")]
    [TestCase("""[[{"subnet":"fd00::/127"}]]""", "invalid range: Network fd00::/127 too small to allocate from")]
    [TestCase("""[[{"subnet":"10.0.0.1/24"}]]""", "invalid range: Network has host bits set. For a subnet mask of length 24 the network address is 10.0.0.0")]
    [TestCase("""[[{"subnet":"10.0.0.0"}]]""", "invalid range: subnet \"10.0.0.0\" is not a prefix such as 10.42.0.0/24 or fd00:42::/64")]
    [TestCase("""[[{"subnet":"10.0.0.0/24","rangeStart":"10.0.1.1"}]]""", "invalid range: RangeStart 10.0.1.1 not in network 10.0.0.0/24")]
    [TestCase("""[[{"subnet":"10.0.0.0/24","rangeEnd":"10.0.1.1"}]]""", "invalid range: RangeEnd 10.0.1.1 not in network 10.0.0.0/24")]
    [TestCase("""[[{"subnet":"10.0.0.0/24","rangeStart":"10.0.0.9","rangeEnd":"10.0.0.8"}]]""", "invalid range: RangeStart 10.0.0.9 is after RangeEnd 10.0.0.8")]
    [TestCase("""[[{"subnet":"10.0.0.0/24","gateway":"gw"}]]""", "invalid range: gateway \"gw\" is not an address")]
    [TestCase("""[[{"subnet":"10.0.0.0/24"},{"subnet":"fd00::/64"}]]""", "invalid ipam configuration: mixed address families in one range set")]
    [TestCase("""[[{"subnet":"10.0.0.0/24"},{"subnet":"10.0.0.0/25"}]]""", "invalid ipam configuration: subnets 10.0.0.1-10.0.0.254 and 10.0.0.1-10.0.0.126 overlap")]
    [TestCase("""[[{"subnet":"10.0.0.0/24"}],[{"subnet":"10.0.0.0/23"}]]""", "invalid ipam configuration: range set 0 overlaps with 1")]
    [TestCase("""[[]]""", "invalid ipam configuration: each of ipam.ranges has to be a list of at least one range, such as [{\"subnet\": \"10.42.0.0/24\"}]")]
    public void Ranges_that_cannot_be_are_refused(string ranges, string msg) =>
        Assert.That(() => RangeSet.ReadAll(Configuration($$$"""{"ipam":{"ranges":{{{ranges}}}}}""")), Throws.InstanceOf<CniException>().With.Message.EqualTo(msg));

    [Test]
    public void An_old_style_subnet_comes_before_the_ranges()
    {
        var sets = RangeSet.ReadAll(Configuration("""{"ipam":{"subnet":"10.2.0.0/24","rangeEnd":"10.2.0.9","ranges":[[{"subnet":"10.3.0.0/24"}]]}}"""));
        Assert.That(sets.Select(set => set.ToString()), Is.EqualTo(new[] { "10.2.0.1-10.2.0.9", "10.3.0.1-10.3.0.254" }));
    }

    [Test]
    public void Range_sets_of_the_runtime_take_the_place_of_those_of_their_family()
    {
        var sets = RangeSet.ReadAll(Configuration(
            """{"ipam":{"subnet":"10.2.0.0/24","ranges":[[{"subnet":"10.3.0.0/24"}],[{"subnet":"fd00::/120"}]]},"runtimeConfig":{"IPRanges":[[{"subnet":"10.1.0.0/24","gateway":"10.1.0.254"}]]}}"""));
        Assert.That(sets.Select(set => set.ToString()), Is.EqualTo(new[] { "10.1.0.1-10.1.0.254", "fd00::1-fd00::ff" }));
    }

    private static NetworkConfiguration Configuration(string json)
    {
        using var stdin = new MemoryStream(System.Text.Encoding.UTF8.GetBytes(json));
        return NetworkConfiguration.Read(stdin, Deadline.In(TimeSpan.FromMinutes(1)));
    }

    private static AddressRange Range(bool v6, int number, int one, int other, int gateway)
    {
        var subnet = Cidr.Parse(v6 ? $"fd00::{16 * number:x}/124" : $"10.0.0.{16 * number}/28");
        InetAddress At(int offset) => subnet.First with { Value = subnet.First.Value + (UInt128)offset };
        return new(subnet, At(Math.Min(one, other)), At(Math.Max(one, other)), At(gateway));
    }

    /// <summary>All addresses in order, turned so that the one after the last comes first.</summary>
    private static InetAddress? Model(RangeSet set, HashSet<InetAddress> taken, InetAddress? last)
    {
        var all = new List<(InetAddress Address, bool IsGateway)>();
        foreach (var range in set.Ranges)
        {
            for (var value = range.Start.Value; value <= range.End.Value; value++)
                all.Add((new(range.Subnet.Family, value), value == range.Gateway.Value));
        }

        var turn = last is { } given ? all.FindIndex(candidate => candidate.Address == given) + 1 : 0;
        return all.Skip(turn).Concat(all.Take(turn))
            .Where(candidate => !candidate.IsGateway && !taken.Contains(candidate.Address))
            .Select(candidate => (InetAddress?)candidate.Address)
            .FirstOrDefault();
    }
}
