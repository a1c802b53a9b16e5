using System.Globalization;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Desired;

/// <summary>An Ethernet address as a value.</summary>
/// <param name="Value">The 48 bits, first byte highest.</param>
public readonly record struct MacAddress(ulong Value)
{
    /// <summary>Reads 6 bytes.</summary>
    public static MacAddress FromBytes(ReadOnlySpan<byte> bytes)
    {
        ulong value = 0;
        foreach (var octet in bytes[..6])
            value = (value << 8) | octet;
        return new(value);
    }

    /// <summary>Reads what <see cref="ToString"/> writes, in either case.</summary>
    public static bool TryParse(string? text, out MacAddress address)
    {
        var octets = text?.Split(':') ?? [];
        var isOne = octets.Length == 6 && octets.All(octet => octet.Length == 2 && octet.All(char.IsAsciiHexDigit));
        address = isOne ? FromBytes(Convert.FromHexString(string.Concat(octets))) : default;
        return isOne;
    }

    /// <summary>Writes 6 bytes.</summary>
    public void WriteTo(Span<byte> destination)
    {
        for (var i = 0; i < 6; i++)
            destination[i] = (byte)(Value >> (40 - (8 * i)));
    }

    /// <summary>Lower-case, colons: <c>02:11:22:33:44:55</c>.</summary>
    public override string ToString()
    {
        Span<byte> bytes = stackalloc byte[6];
        WriteTo(bytes);
        return string.Create(CultureInfo.InvariantCulture, $"{bytes[0]:x2}:{bytes[1]:x2}:{bytes[2]:x2}:{bytes[3]:x2}:{bytes[4]:x2}:{bytes[5]:x2}");
    }
}

/// <summary>The kind of a tunnel device. A closed family; one case for each kind of link (linux/if_link.h, linux/if_tunnel.h).</summary>
public abstract record LinkKind
{
    private LinkKind()
    {
    }

    /// <summary>A VXLAN device without learning. Outer packets may be fragmented: where some router of the underlay takes no full-size packets, all goes on, if slowly.</summary>
    /// <param name="Vni">1 to 16777215.</param>
    /// <param name="Port">UDP destination port.</param>
    /// <param name="Local">Source address of the outer packets; its family is the underlay's.</param>
    public sealed record Vxlan(uint Vni, ushort Port, InetAddress Local) : LinkKind;

    /// <summary>IPv4 in IPv4; a route's gateway is the outer packet's destination.</summary>
    /// <param name="Local">Source address of the outer packets.</param>
    public sealed record Ipip(InetAddress Local) : LinkKind;

    /// <summary>IPv6 in IPv4; a route's gateway, written as an IPv6 address (<c>::192.0.2.2</c>), is the outer packet's destination.</summary>
    /// <param name="Local">Source address of the outer packets.</param>
    public sealed record Sit(InetAddress Local) : LinkKind;

    /// <summary>Both families in IPv6, <c>external</c>: the outer packet's addresses are the route's encapsulation, since an IPv6 gateway must be on the device itself.</summary>
    public sealed record Ip6tnl : LinkKind;

    /// <summary>A device as found, of the kind that its name promises and with parameters that ours never have. Never wanted.</summary>
    public sealed record Unlike : LinkKind;
}

/// <summary>A device of ours, as <c>ip link show</c> has it; key: <see cref="Name"/>. Always up.</summary>
/// <param name="Name">Up to 15 bytes.</param>
/// <param name="Kind">What it is.</param>
/// <param name="Mac">Its Ethernet address; null where packets have no Ethernet header.</param>
/// <param name="Mtu">Bytes.</param>
public sealed record Link(string Name, LinkKind Kind, MacAddress? Mac, int Mtu)
{
    /// <summary>Whether the kernel makes the checksums of what the device sends, instead of leaving them to whatever sends it in the end.</summary>
    public bool SoftwareChecksums { get; init; }

    /// <summary>As its tool prints it.</summary>
    public override string ToString() => NodeText.Print(this);
}

/// <summary>An address on a device of ours; the whole row is the key.</summary>
/// <param name="Device">Name of the device.</param>
/// <param name="Prefix">Address and prefix length.</param>
public readonly record struct Address(string Device, Cidr Prefix)
{
    /// <summary>As its tool prints it.</summary>
    public override string ToString() => NodeText.Print(this);
}

/// <summary>Key of a permanent neighbour entry.</summary>
/// <param name="Device">Name of the device.</param>
/// <param name="Destination">The neighbour's address.</param>
public readonly record struct NeighborKey(string Device, InetAddress Destination);

/// <summary>A permanent neighbour entry: <c>ip neigh</c>.</summary>
/// <param name="Key">Device and address.</param>
/// <param name="LinkLayerAddress">lladdr.</param>
public readonly record struct Neighbor(NeighborKey Key, MacAddress LinkLayerAddress)
{
    /// <summary>As its tool prints it.</summary>
    public override string ToString() => NodeText.Print(this);
}

/// <summary>Key of a permanent forwarding entry.</summary>
/// <param name="Device">Name of the VXLAN device.</param>
/// <param name="LinkLayerAddress">The remote device's Ethernet address.</param>
public readonly record struct FdbKey(string Device, MacAddress LinkLayerAddress);

/// <summary>A permanent forwarding entry of a VXLAN device: <c>bridge fdb</c>.</summary>
/// <param name="Key">Device and inner Ethernet address.</param>
/// <param name="Destination">Outer address of the remote node.</param>
public readonly record struct FdbEntry(FdbKey Key, InetAddress Destination)
{
    /// <summary>As its tool prints it.</summary>
    public override string ToString() => NodeText.Print(this);
}

/// <summary>Route types of linux/rtnetlink.h that we use.</summary>
public enum RouteType : byte
{
    /// <summary>RTN_UNICAST.</summary>
    Unicast = 1,

    /// <summary>RTN_BLACKHOLE: dropped without a word, so that its sender tries again.</summary>
    Blackhole = 6,

    /// <summary>RTN_UNREACHABLE: the sender gets an ICMP error at once.</summary>
    Unreachable = 7,
}

/// <summary>Addresses of an outer packet.</summary>
/// <param name="Source">This node's.</param>
/// <param name="Destination">The other node's.</param>
public readonly record struct OuterAddresses(InetAddress Source, InetAddress Destination);

/// <summary>Key of a route.</summary>
/// <param name="Destination">Prefix, host bits cleared.</param>
/// <param name="Metric">Of several routes to a prefix the one with the lowest is taken.</param>
public readonly record struct RouteKey(Cidr Destination, uint Metric);

/// <summary>A route of ours in the main table: <c>ip route</c>.</summary>
/// <param name="Destination">Prefix, host bits cleared.</param>
/// <param name="Type">What becomes of packets.</param>
/// <param name="Device">Output device; null but for unicast.</param>
/// <param name="Gateway">Next hop; null when the destination is on the device's link. Onlink is always set with a gateway.</param>
public readonly record struct Route(Cidr Destination, RouteType Type, string? Device, InetAddress? Gateway)
{
    /// <summary>The metric of what stands in while another route to the same prefix is missing: no other comes after it.</summary>
    public const uint LastResort = uint.MaxValue;

    /// <summary>Metric; as the kernel has it where none is given: 0 for IPv4, 1024 for IPv6.</summary>
    public uint Metric { get; init; } = Destination.Family == Family.IPv4 ? 0u : 1024u;

    /// <summary>Into what packets are put, on a device that asks its routes; null: it does not.</summary>
    public OuterAddresses? Outer { get; init; }

    /// <summary>Source address of what this node itself sends there; null: the kernel's choice.</summary>
    public InetAddress? Source { get; init; }

    /// <summary>What identifies it.</summary>
    public RouteKey Key => new(Destination, Metric);

    /// <summary>As its tool prints it.</summary>
    public override string ToString() => NodeText.Print(this);
}
