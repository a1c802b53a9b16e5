using System.Buffers.Binary;
using System.Globalization;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Capture;

/// <summary>Reads what is behind the header of IP, as far as it is there. Pure; throws nothing.</summary>
internal static class TransportDecoder
{
    private const byte Icmp = 1;
    private const byte Tcp = 6;
    private const byte Udp = 17;
    private const byte Icmpv6 = 58;
    private const byte Sctp = 132;

    /// <summary>What people call a protocol (IANA's registry).</summary>
    public static string Name(byte protocol) => protocol switch
    {
        Icmp or Icmpv6 => "icmp",
        Tcp => "tcp",
        Udp => "udp",
        Sctp => "sctp",
        2 => "igmp",
        47 => "gre",
        50 => "esp",
        51 => "ah",
        89 => "ospf",
        112 => "vrrp",
        _ => string.Create(CultureInfo.InvariantCulture, $"protocol {protocol}"),
    };

    /// <summary>Reads.</summary>
    /// <param name="protocol">IP's number.</param>
    /// <param name="bytes">Behind the header of IP.</param>
    /// <param name="packet">What is known so far.</param>
    /// <param name="layers">What it is inside of.</param>
    public static DecodedPacket Read(byte protocol, ReadOnlySpan<byte> bytes, DecodedPacket packet, PacketDecoder.Layers layers)
    {
        if (protocol is Icmp or Icmpv6)
            return ReadIcmp(protocol == Icmp ? Family.IPv4 : Family.IPv6, bytes, packet, layers);
        if (protocol is not (Tcp or Udp or Sctp))
            return packet;
        if (bytes.Length < 4)
            return packet with { Detail = PacketDecoder.CutShort };
        packet = packet with { SourcePort = BinaryPrimitives.ReadUInt16BigEndian(bytes), DestinationPort = BinaryPrimitives.ReadUInt16BigEndian(bytes[2..]) };
        // An error quotes eight bytes at least, in which all of UDP's header is, and of TCP's no flags.
        var needed = protocol switch { Tcp => 14, Udp => 8, _ => 13 };
        if (bytes.Length < needed)
            return layers.IsQuoted ? packet : packet with { Detail = PacketDecoder.CutShort };
        return protocol switch
        {
            Tcp => packet with { Flags = FlagsOf(bytes[13]) },
            Sctp => packet with { Detail = ChunkName(bytes[12]) },
            _ => packet,
        };
    }

    private static string FlagsOf(byte bits)
    {
        Span<char> text = stackalloc char[8];
        var length = 0;
        foreach (var (bit, letter) in ((int, char)[])[(2, 'S'), (1, 'F'), (4, 'R'), (8, 'P'), (32, 'U'), (64, 'E'), (128, 'W'), (16, '.')])
        {
            if ((bits & bit) != 0)
                text[length++] = letter;
        }

        return length == 0 ? "none" : new(text[..length]);
    }

    private static string ChunkName(byte type) => type switch
    {
        0 => "DATA",
        1 => "INIT",
        2 => "INIT ACK",
        3 => "SACK",
        4 => "HEARTBEAT",
        5 => "HEARTBEAT ACK",
        6 => "ABORT",
        7 => "SHUTDOWN",
        8 => "SHUTDOWN ACK",
        9 => "ERROR",
        10 => "COOKIE ECHO",
        11 => "COOKIE ACK",
        14 => "SHUTDOWN COMPLETE",
        _ => string.Create(CultureInfo.InvariantCulture, $"chunk {type}"),
    };

    private static DecodedPacket ReadIcmp(Family family, ReadOnlySpan<byte> bytes, DecodedPacket packet, PacketDecoder.Layers layers)
    {
        if (bytes.Length < 8)
            return packet with { Detail = PacketDecoder.CutShort };
        var (type, code) = (bytes[0], bytes[1]);
        var word = BinaryPrimitives.ReadUInt32BigEndian(bytes[4..]);
        var isError = family == Family.IPv4 ? type is 3 or 4 or 5 or 11 or 12 : type is > 0 and < 128;
        return packet with
        {
            Detail = family == Family.IPv4 ? Detail4(type, code, word) : Detail6(type, code, word, bytes),
            Quoted = isError && bytes.Length > 8 ? PacketDecoder.Quoted(family, bytes[8..], layers) : null,
        };
    }

    private static string Detail4(byte type, byte code, uint word) => type switch
    {
        0 => string.Create(CultureInfo.InvariantCulture, $"echo reply {word & 0xffff}"),
        3 => code switch
        {
            0 => "network unreachable",
            1 => "host unreachable",
            2 => "protocol unreachable",
            3 => "port unreachable",
            4 => string.Create(CultureInfo.InvariantCulture, $"too big, MTU {word & 0xffff}"),
            9 or 10 or 13 => "unreachable: prohibited",
            _ => string.Create(CultureInfo.InvariantCulture, $"unreachable, code {code}"),
        },
        5 => "redirect",
        8 => string.Create(CultureInfo.InvariantCulture, $"echo request {word & 0xffff}"),
        11 => code == 0 ? "time exceeded on the way" : "time exceeded waiting for fragments",
        12 => "parameter problem",
        _ => string.Create(CultureInfo.InvariantCulture, $"type {type} code {code}"),
    };

    private static string Detail6(byte type, byte code, uint word, ReadOnlySpan<byte> bytes) => type switch
    {
        1 => code switch
        {
            0 => "no route",
            1 => "unreachable: prohibited",
            3 => "address unreachable",
            4 => "port unreachable",
            _ => string.Create(CultureInfo.InvariantCulture, $"unreachable, code {code}"),
        },
        2 => string.Create(CultureInfo.InvariantCulture, $"too big, MTU {word}"),
        3 => code == 0 ? "time exceeded on the way" : "time exceeded waiting for fragments",
        4 => "parameter problem",
        128 => string.Create(CultureInfo.InvariantCulture, $"echo request {word & 0xffff}"),
        129 => string.Create(CultureInfo.InvariantCulture, $"echo reply {word & 0xffff}"),
        130 or 131 or 132 or 143 => "multicast listener",
        133 => "router solicitation",
        134 => "router advertisement",
        135 => bytes.Length >= 24 ? $"who has {InetAddress.FromBytes(bytes[8..24])}?" : "neighbour solicitation",
        // Its one option is the address on the link.
        136 => bytes.Length >= 24 ? $"{InetAddress.FromBytes(bytes[8..24])} is at {(bytes.Length >= 32 && bytes[24] == 2 ? PacketDecoder.Mac(bytes[26..32]) : "the sender's")}" : "neighbour advertisement",
        137 => "redirect",
        _ => string.Create(CultureInfo.InvariantCulture, $"type {type} code {code}"),
    };
}
