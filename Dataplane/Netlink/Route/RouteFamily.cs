using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Netlink.Route;

/// <summary>The family of addresses in rtnetlink's headers.</summary>
internal static class RouteFamily
{
    internal static Af ToAf(this Family family) => family == Family.IPv4 ? Af.AF_INET : Af.AF_INET6;

    /// <summary>A prefix as headers and attributes give it together; without address it is all zeros, as in a default route.</summary>
    /// <exception cref="NetlinkFormatException">The parts do not fit each other.</exception>
    internal static Cidr Prefix(InetAddress? address, byte family, byte length)
    {
        var expected = (Af)family switch
        {
            Af.AF_INET => Family.IPv4,
            Af.AF_INET6 => Family.IPv6,
            _ => throw new NetlinkFormatException($"Address family {family} is neither IPv4 nor IPv6."),
        };
        var value = address ?? new InetAddress(expected, 0);
        return value.Family == expected && length <= expected.Bits()
            ? new(value, length)
            : throw new NetlinkFormatException($"{value}/{length} is no prefix of {expected}.");
    }
}
