using System.Buffers.Binary;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Probing;

/// <summary>Answers to probes, as raw ICMP sockets deliver them.</summary>
internal abstract record ProbeAnswer
{
    private ProbeAnswer()
    {
    }

    /// <summary>An echo reply.</summary>
    /// <param name="Identifier">Of the request.</param>
    /// <param name="Sequence">Of the request.</param>
    public sealed record Echo(ushort Identifier, ushort Sequence) : ProbeAnswer;

    /// <summary>A datagram was refused, so it had arrived whole: a kernel answers none whose checksum is wrong.</summary>
    /// <param name="Destination">Where it was sent.</param>
    /// <param name="SourcePort">From which port.</param>
    /// <param name="DestinationPort">To which port.</param>
    public sealed record Refused(InetAddress Destination, ushort SourcePort, ushort DestinationPort) : ProbeAnswer;
}

/// <summary>Bytes of probes and their answers (RFC 792, RFC 4443). Pure.</summary>
internal static class ProbePacket
{
    private const byte EchoReply = 0;
    private const byte Unreachable = 3;
    private const byte Echo = 8;
    private const byte Unreachable6 = 1;
    private const byte Echo6 = 128;
    private const byte EchoReply6 = 129;
    private const byte Udp = 17;
    private const int IcmpHeader = 8;
    private const int IPv6Header = 40;

    /// <summary>Bytes of the headers before an echo request's data: IP and ICMP.</summary>
    public static int HeaderLength(Family family) => (family == Family.IPv4 ? 20 : IPv6Header) + IcmpHeader;

    /// <summary>An echo request without its IP header. Of IPv6 the kernel makes the checksum (RFC 3542 section 3.1).</summary>
    /// <param name="family">Of its addresses.</param>
    /// <param name="identifier">Comes back.</param>
    /// <param name="sequence">Comes back.</param>
    /// <param name="length">Of the packet with its IP header, bytes; <see cref="HeaderLength"/> at least.</param>
    public static byte[] EchoRequest(Family family, ushort identifier, ushort sequence, int length)
    {
        var packet = new byte[length - HeaderLength(family) + IcmpHeader];
        packet[0] = family == Family.IPv4 ? Echo : Echo6;
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(4), identifier);
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(6), sequence);
        for (var i = IcmpHeader; i < packet.Length; i++)
            packet[i] = (byte)i;
        if (family == Family.IPv4)
            BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(2), Checksum(packet));
        return packet;
    }

    /// <summary>Reads what a raw ICMP socket delivers: of IPv4 with the IP header, of IPv6 without. Null when it answers no probe.</summary>
    /// <param name="source">Who sent it. That a router refused a datagram tells nothing of where it was to go.</param>
    /// <param name="packet">The bytes; no more than the first 64 are looked at, but for options.</param>
    public static ProbeAnswer? Read(InetAddress source, ReadOnlySpan<byte> packet)
    {
        var family = source.Family;
        if (family == Family.IPv4)
        {
            var header = HeaderOf(packet);
            if (header == 0)
                return null;
            packet = packet[header..];
        }

        if (packet.Length < IcmpHeader)
            return null;
        return (family, packet[0]) switch
        {
            (Family.IPv4, EchoReply) or (Family.IPv6, EchoReply6) => new ProbeAnswer.Echo(BinaryPrimitives.ReadUInt16BigEndian(packet[4..]), BinaryPrimitives.ReadUInt16BigEndian(packet[6..])),
            (Family.IPv4, Unreachable) or (Family.IPv6, Unreachable6) => ReadRefused(family, packet[IcmpHeader..]) is { } refused && refused.Destination == source ? refused : null,
            _ => null,
        };
    }

    // The refused datagram's own headers.
    private static ProbeAnswer.Refused? ReadRefused(Family family, ReadOnlySpan<byte> inner)
    {
        var header = family == Family.IPv4 ? HeaderOf(inner) : IPv6Header;
        if (header == 0 || inner.Length < header + 4 || inner[family == Family.IPv4 ? 9 : 6] != Udp)
            return null;
        var destination = family == Family.IPv4 ? inner.Slice(16, 4) : inner.Slice(24, 16);
        return new(InetAddress.FromBytes(destination), BinaryPrimitives.ReadUInt16BigEndian(inner[header..]), BinaryPrimitives.ReadUInt16BigEndian(inner[(header + 2)..]));
    }

    // 0: it is none.
    private static int HeaderOf(ReadOnlySpan<byte> packet)
    {
        if (packet.Length < 20 || packet[0] >> 4 != 4)
            return 0;
        var length = (packet[0] & 15) * 4;
        return length >= 20 && packet.Length >= length ? length : 0;
    }

    // RFC 1071.
    private static ushort Checksum(ReadOnlySpan<byte> bytes)
    {
        uint sum = 0;
        for (; bytes.Length > 1; bytes = bytes[2..])
            sum += BinaryPrimitives.ReadUInt16BigEndian(bytes);
        if (bytes.Length == 1)
            sum += (uint)bytes[0] << 8;
        while (sum >> 16 != 0)
            sum = (sum & 0xffff) + (sum >> 16);
        return (ushort)~sum;
    }
}
