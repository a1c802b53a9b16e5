using System.Buffers.Binary;
using System.Globalization;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Capture;

/// <summary>
/// Reads headers: RFC 791, 8200, 9293, 768, 9260, 792, 4443, 4861, 826, 7348, 2003, 2473, 4213. Pure; whatever the bytes are, it says what can be read of them, and throws nothing.
/// </summary>
internal static class PacketDecoder
{
    /// <summary>Of packets that end before their headers do.</summary>
    public const string CutShort = "cut short";

    /// <summary>What is known when a header cannot be one.</summary>
    public const string Malformed = "malformed";

    private const int MostLayers = 8; // tunnels in tunnels, packets in errors
    private const ushort EtherTypeIPv4 = 0x0800;
    private const ushort EtherTypeArp = 0x0806;
    private const ushort EtherTypeVlan = 0x8100;
    private const ushort EtherTypeIPv6 = 0x86dd;
    private const ushort EtherTypeServiceVlan = 0x88a8;
    private const int EthernetHeader = 14;
    private const int VxlanHeader = 8;
    private const int UdpHeader = 8;
    private const int IPv6Header = 40;

    /// <summary>Reads a packet.</summary>
    /// <param name="etherType">What the bytes begin with.</param>
    /// <param name="bytes">From the network header on.</param>
    /// <param name="length">Of the packet when it was whole.</param>
    /// <param name="vxlanPort">UDP destination port whose datagrams hold VXLAN; 0: none does.</param>
    public static DecodedPacket Read(ushort etherType, ReadOnlySpan<byte> bytes, int length, ushort vxlanPort) => Network(etherType, bytes, length, new(vxlanPort, []));

    /// <summary>Reads the packet that an ICMP error quotes.</summary>
    internal static DecodedPacket Quoted(Family family, ReadOnlySpan<byte> bytes, Layers layers) =>
        Network(family == Family.IPv4 ? EtherTypeIPv4 : EtherTypeIPv6, bytes, bytes.Length, layers with { Tunnels = [], Depth = layers.Depth + 1, IsQuoted = true });

    private static DecodedPacket Network(ushort etherType, ReadOnlySpan<byte> bytes, int length, Layers layers)
    {
        // What the bridges of a cluster add.
        for (; etherType is EtherTypeVlan or EtherTypeServiceVlan && bytes.Length >= 4; bytes = bytes[4..], length -= 4)
            etherType = BinaryPrimitives.ReadUInt16BigEndian(bytes[2..]);
        if (layers.Depth > MostLayers)
            return new() { Protocol = "ip", Length = length, Detail = "too many headers in each other", Tunnels = layers.Tunnels };
        return etherType switch
        {
            EtherTypeIPv4 => IPv4(bytes, length, layers),
            EtherTypeIPv6 => IPv6(bytes, length, layers),
            EtherTypeArp => Arp(bytes, length, layers),
            _ => new() { Protocol = string.Create(CultureInfo.InvariantCulture, $"ethertype 0x{etherType:x4}"), Length = length, Tunnels = layers.Tunnels },
        };
    }

    private static DecodedPacket IPv4(ReadOnlySpan<byte> bytes, int length, Layers layers)
    {
        var packet = new DecodedPacket { Protocol = "ip", Length = length, Tunnels = layers.Tunnels };
        if (bytes.Length < 20)
            return packet with { Detail = CutShort };
        var header = (bytes[0] & 15) * 4;
        int total = BinaryPrimitives.ReadUInt16BigEndian(bytes[2..]);
        if (total == 0)
            total = length; // too long to say so: segments that the device is to cut (linux BIG TCP)
        packet = packet with { Source = InetAddress.FromBytes(bytes[12..16]), Destination = InetAddress.FromBytes(bytes[16..20]), Length = total, Protocol = TransportDecoder.Name(bytes[9]) };
        if (bytes[0] >> 4 != 4 || header < 20 || total < header)
            return packet with { Detail = Malformed };
        var fragment = BinaryPrimitives.ReadUInt16BigEndian(bytes[6..]);
        return Payload(bytes[9], Within(bytes, header, total), packet, (fragment & 0x1fff) * 8, (fragment & 0x2000) != 0, layers);
    }

    private static DecodedPacket IPv6(ReadOnlySpan<byte> bytes, int length, Layers layers)
    {
        var packet = new DecodedPacket { Protocol = "ip", Length = length, Tunnels = layers.Tunnels };
        if (bytes.Length < IPv6Header)
            return packet with { Detail = CutShort };
        int total = BinaryPrimitives.ReadUInt16BigEndian(bytes[4..]);
        total = total == 0 && bytes[6] == 0 ? length : total + IPv6Header; // a jumbogram says it elsewhere
        packet = packet with { Source = InetAddress.FromBytes(bytes[8..24]), Destination = InetAddress.FromBytes(bytes[24..40]), Length = total };
        if (bytes[0] >> 4 != 6)
            return packet with { Detail = Malformed };
        var next = bytes[6];
        var rest = Within(bytes, IPv6Header, total);
        var (offset, more) = (0, false);
        while (IsExtension(next) && offset == 0)
        {
            if (rest.Length < 8)
                return packet with { Protocol = TransportDecoder.Name(next), Detail = CutShort };
            var size = next switch { Fragment => 8, Authentication => (rest[1] + 2) * 4, _ => (rest[1] + 1) * 8 };
            if (next == Fragment)
            {
                var field = BinaryPrimitives.ReadUInt16BigEndian(rest[2..]);
                (offset, more) = (field & 0xfff8, (field & 1) != 0);
            }

            next = rest[0];
            rest = rest[Math.Min(size, rest.Length)..];
        }

        return Payload(next, rest, packet with { Protocol = TransportDecoder.Name(next) }, offset, more, layers);
    }

    private const byte Fragment = 44;
    private const byte Authentication = 51;

    // Hop-by-hop, routing, fragment, authentication, destination options, mobility, HIP, shim6.
    private static bool IsExtension(byte next) => next is 0 or 43 or Fragment or Authentication or 60 or 135 or 139 or 140;

    private static DecodedPacket Payload(byte protocol, ReadOnlySpan<byte> bytes, DecodedPacket packet, int offset, bool more, Layers layers)
    {
        if (offset > 0)
            return packet with { Detail = string.Create(CultureInfo.InvariantCulture, $"fragment at {offset}{(more ? ", more follow" : ", the last")}") };
        var read = protocol switch
        {
            4 => Inside(EtherTypeIPv4, bytes, packet, layers),
            41 => Inside(EtherTypeIPv6, bytes, packet, layers),
            17 when IsVxlan(bytes, layers) => Inside(BinaryPrimitives.ReadUInt16BigEndian(bytes[(UdpHeader + VxlanHeader + 12)..]), bytes[(UdpHeader + VxlanHeader + EthernetHeader)..], packet, layers, BinaryPrimitives.ReadUInt32BigEndian(bytes[(UdpHeader + 4)..]) >> 8),
            _ => TransportDecoder.Read(protocol, bytes, packet, layers),
        };
        return more ? read with { Detail = read.Detail.Length > 0 ? $"{read.Detail}, first fragment" : "first fragment" } : read;
    }

    // The flag I says that there is a VNI.
    private static bool IsVxlan(ReadOnlySpan<byte> udp, Layers layers) =>
        layers.VxlanPort > 0 && udp.Length >= UdpHeader + VxlanHeader + EthernetHeader && BinaryPrimitives.ReadUInt16BigEndian(udp[2..]) == layers.VxlanPort && (udp[UdpHeader] & 8) != 0;

    private static DecodedPacket Inside(ushort etherType, ReadOnlySpan<byte> bytes, DecodedPacket outer, Layers layers, uint? vni = null)
    {
        var (source, destination) = (outer.Source!.Value, outer.Destination!.Value);
        var encapsulation = vni is not null ? "vxlan" : source.Family == Family.IPv6 ? "ip6tnl" : etherType == EtherTypeIPv4 ? "ipip" : "sit";
        return Network(etherType, bytes, bytes.Length, layers with { Tunnels = [.. layers.Tunnels, new(encapsulation, source, destination, vni)], Depth = layers.Depth + 1 });
    }

    private static DecodedPacket Arp(ReadOnlySpan<byte> bytes, int length, Layers layers)
    {
        var packet = new DecodedPacket { Protocol = "arp", Length = length, Tunnels = layers.Tunnels };
        if (bytes.Length < 8)
            return packet with { Detail = CutShort };
        // Of IPv4 on Ethernet, that is.
        if (BinaryPrimitives.ReadUInt16BigEndian(bytes[2..]) != EtherTypeIPv4 || bytes[4] != 6 || bytes[5] != 4)
            return packet with { Detail = Malformed };
        if (bytes.Length < 28)
            return packet with { Detail = CutShort };
        var operation = BinaryPrimitives.ReadUInt16BigEndian(bytes[6..]);
        return packet with
        {
            Source = InetAddress.FromBytes(bytes[14..18]),
            Destination = InetAddress.FromBytes(bytes[24..28]),
            Detail = operation switch
            {
                1 => "who has that address?",
                2 => $"the sender is at {Mac(bytes[8..14])}",
                _ => string.Create(CultureInfo.InvariantCulture, $"operation {operation}"),
            },
        };
    }

    /// <summary><c>02:11:22:33:44:55</c>.</summary>
    internal static string Mac(ReadOnlySpan<byte> bytes) => Desired.MacAddress.FromBytes(bytes).ToString();

    // What follows the header, without what the link added to short packets.
    private static ReadOnlySpan<byte> Within(ReadOnlySpan<byte> bytes, int header, int total)
    {
        var end = Math.Min(total, bytes.Length);
        return header >= end ? [] : bytes[header..end];
    }

    /// <summary>What a header is inside of.</summary>
    /// <param name="VxlanPort">As <see cref="Read"/> has it.</param>
    /// <param name="Tunnels">Outermost first.</param>
    internal sealed record Layers(ushort VxlanPort, IReadOnlyList<OuterHeader> Tunnels)
    {
        /// <summary>How many headers of IP are around it.</summary>
        public int Depth { get; init; }

        /// <summary>Whether an error quotes it, which it may do in part.</summary>
        public bool IsQuoted { get; init; }
    }
}
