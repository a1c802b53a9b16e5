using Overlay.Dataplane.Desired;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Dataplane;

/// <summary>Which of a machine's addresses carry packets between nodes.</summary>
public class UnderlayTests
{
    private static readonly DeviceAddress[] Machine =
    [
        new("eth0", Cidr.Parse("192.0.2.1/24"), 1500),
        new("eth0", Cidr.Parse("192.0.2.7/24"), 1500),
        new("eth0", Cidr.Parse("2001:db8::1/64"), 1500),
        new("eth1", Cidr.Parse("198.51.100.1/24"), 9000),
        new("eth1", Cidr.Parse("2001:db8:1::1/64"), 9000),
        new("bond0", Cidr.Parse("203.0.113.1/24"), 1400),
    ];

    [TestCase("auto", "192.0.2.7 192.0.2.1 2001:db8:1::1", "eth0 192.0.2.7/24 1500, eth1 2001:db8:1::1/64 9000")]
    [TestCase("auto", "2001:db8::1", "eth0 2001:db8::1/64 1500")]
    [TestCase("auto", "192.0.2.99 198.51.100.1", "eth1 198.51.100.1/24 9000", Description = "the first that the machine has")]
    [TestCase("198.51.100.1,2001:db8::1", "192.0.2.1", "eth1 198.51.100.1/24 9000, eth0 2001:db8::1/64 1500")]
    [TestCase("interface=eth1", "192.0.2.1", "eth1 198.51.100.1/24 9000, eth1 2001:db8:1::1/64 9000")]
    [TestCase("interface=wlan0,bond*,eth0", "192.0.2.1", "bond0 203.0.113.1/24 1400")]
    [TestCase("interface=eth*", "192.0.2.1", "eth0 192.0.2.1/24 1500, eth0 2001:db8::1/64 1500")]
    [TestCase("cidr=198.51.100.0/24,2001:db8:1::/48", "192.0.2.1", "eth1 198.51.100.1/24 9000, eth1 2001:db8:1::1/64 9000")]
    [TestCase("cidr=10.0.0.0/8,203.0.113.0/24,0.0.0.0/0", "", "bond0 203.0.113.1/24 1400")]
    [TestCase("can-reach=198.51.100.77", "", "eth1 198.51.100.1/24 9000, eth1 2001:db8:1::1/64 9000", Description = "the source is 198.51.100.1 here")]
    public void The_choice_finds_one_address_of_each_family(string choice, string internalIPs, string expected)
    {
        var underlay = Choose(choice, internalIPs);
        Assert.That(string.Join(", ", underlay.Addresses.Select(address => $"{address.Device} {address.Prefix} {address.Mtu}")), Is.EqualTo(expected));
        Assert.That(underlay.Degradations, Is.Empty);
    }

    [Test]
    public void An_address_that_no_device_has_is_kept_and_told()
    {
        var underlay = Choose("auto", "192.0.2.99 2001:db8::1");
        Assert.That(underlay.Own, Is.EqualTo(new[] { InetAddress.Parse("192.0.2.99"), InetAddress.Parse("2001:db8::1") }), "others send there, whatever this machine says");
        Assert.That(underlay.Degradations.Single().ToString(), Does.StartWith("underlay: no device of this machine has the node's address 192.0.2.99"));
        Assert.That(underlay.OfIPv6, Is.EqualTo(InetAddress.Parse("2001:db8::1")));
    }

    [TestCase("interface=wlan*")]
    [TestCase("cidr=10.0.0.0/8")]
    [TestCase("can-reach=10.9.9.9")]
    public void A_way_that_finds_nothing_is_told(string choice)
    {
        var underlay = Choose(choice, "192.0.2.1", source: null);
        Assert.That(underlay.Addresses, Is.Empty);
        Assert.That(underlay.Degradations.Single().Reason, Does.StartWith($"nodeAddress: {choice} finds no address on this machine"));
    }

    [TestCase("auto")]
    [TestCase("192.0.2.1,2001:db8::1")]
    [TestCase("interface=eth0,bond*")]
    [TestCase("cidr=192.0.2.0/24,2001:db8::/32")]
    [TestCase("can-reach=192.0.2.1")]
    public void A_choice_is_written_as_it_is_read(string text) => Assert.That(NodeAddressChoice.Parse(text)!.ToString(), Is.EqualTo(text));

    private static Underlay Choose(string choice, string internalIPs, string? source = "198.51.100.1") => Underlay.Choose(
        NodeAddressChoice.Parse(choice)!,
        internalIPs.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(InetAddress.Parse).ToEquatableArray(),
        Machine,
        source is null ? null : InetAddress.Parse(source));
}
