using System.Text.Json;
using Overlay.CniShim.Protocol;
using Overlay.CniShim.Spec;
using Overlay.PolicyEngine.Model;

namespace Overlay.CniShim.Ipam;

/// <summary>A range of addresses as host-local has it.</summary>
/// <param name="Subnet">The prefix, without host bits, with room for at least two hosts.</param>
/// <param name="Start">First address to give; by default the one after the network's.</param>
/// <param name="End">Last address to give; by default the prefix's last, for IPv4 the one before the broadcast address.</param>
/// <param name="Gateway">Never given; by default the one after the network's.</param>
internal sealed record AddressRange(Cidr Subnet, InetAddress Start, InetAddress End, InetAddress Gateway)
{
    /// <summary>A whole prefix with the defaults.</summary>
    /// <exception cref="CniException">With code 7.</exception>
    public static AddressRange Of(Cidr subnet)
    {
        if (subnet.PrefixLength > subnet.Family.Bits() - 2)
            throw Invalid($"Network {subnet} too small to allocate from");
        if (subnet != subnet.Network)
            throw Invalid($"Network has host bits set. For a subnet mask of length {subnet.PrefixLength} the network address is {subnet.First}");
        var first = subnet.First with { Value = subnet.First.Value + 1 };
        var last = subnet.Family == Family.IPv4 ? subnet.Last with { Value = subnet.Last.Value - 1 } : subnet.Last;
        return new(subnet, first, last, first);
    }

    /// <summary>Reads <c>{subnet, rangeStart?, rangeEnd?, gateway?}</c>.</summary>
    /// <exception cref="CniException">With code 7.</exception>
    public static AddressRange Read(JsonElement json)
    {
        var subnet = json.Text("subnet");
        if (!Cidr.TryParse(subnet, out var prefix))
            throw Invalid($"subnet \"{subnet}\" is not a prefix such as 10.42.0.0/24 or fd00:42::/64");
        var range = Of(prefix);
        range = range with
        {
            Start = AddressAt(json, "rangeStart") ?? range.Start,
            End = AddressAt(json, "rangeEnd") ?? range.End,
            Gateway = AddressAt(json, "gateway") ?? range.Gateway,
        };
        if (!prefix.Contains(range.Start))
            throw Invalid($"RangeStart {range.Start} not in network {prefix}");
        if (!prefix.Contains(range.End))
            throw Invalid($"RangeEnd {range.End} not in network {prefix}");
        return range.Start.Value > range.End.Value ? throw Invalid($"RangeStart {range.Start} is after RangeEnd {range.End}") : range;
    }

    /// <summary>Whether it may give <paramref name="address"/>, were it not the gateway.</summary>
    public bool Contains(InetAddress address) => address.Family == Subnet.Family && address.Value >= Start.Value && address.Value <= End.Value;

    /// <summary>Whether the two could give the same address.</summary>
    public bool Overlaps(AddressRange other) => Contains(other.Start) || other.Contains(Start);

    /// <summary><c>START-END</c>.</summary>
    public override string ToString() => $"{Start}-{End}";

    private static InetAddress? AddressAt(JsonElement json, string key) => json.Text(key) switch
    {
        "" => null,
        var text when InetAddress.TryParse(text, out var address) => address,
        var text => throw Invalid($"{key} \"{text}\" is not an address"),
    };

    private static CniException Invalid(string why) => new(CniErrorCode.InvalidConfiguration, $"invalid range: {why}");
}
