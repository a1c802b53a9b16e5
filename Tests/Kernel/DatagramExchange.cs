using System.Buffers.Binary;
using System.Net.Sockets;
using System.Numerics;
using System.Security.Cryptography;

namespace Overlay.Tests.Kernel;

/// <summary>One packet and the answer that belongs to it and to no other. Both ends of it, so that whoever answers knows nothing of who asks.</summary>
/// <param name="request">The packet, without IP header.</param>
internal abstract class DatagramExchange(byte[] request)
{
    public byte[] Request => request;

    public abstract Socket CreateSocket(AddressFamily family);

    /// <summary>Whether <paramref name="packet"/> answers the request.</summary>
    public abstract bool IsReply(ReadOnlySpan<byte> packet);

    /// <summary>What the answering end sends back; null when the packet is no request.</summary>
    public abstract byte[]? Reply(ReadOnlySpan<byte> packet);

    /// <summary>What a socket received, without the IP header that it may begin with.</summary>
    public virtual ReadOnlySpan<byte> Payload(ReadOnlySpan<byte> received) => received;
}

/// <summary>UDP: the answer has the bytes of the request.</summary>
/// <param name="length">How many.</param>
internal sealed class UdpExchange(int length) : DatagramExchange(RandomNumberGenerator.GetBytes(length))
{
    public override Socket CreateSocket(AddressFamily family) => new(family, SocketType.Dgram, ProtocolType.Udp);

    public override bool IsReply(ReadOnlySpan<byte> packet) => packet.SequenceEqual(Request);

    public override byte[] Reply(ReadOnlySpan<byte> packet) => packet.ToArray();
}

/// <summary>What goes by raw(7) sockets, of which IPv4's receive the IP header too and IPv6's do not.</summary>
/// <param name="family">Family of the sockets.</param>
/// <param name="request">The packet, without IP header.</param>
internal abstract class RawExchange(AddressFamily family, byte[] request) : DatagramExchange(request)
{
    public override ReadOnlySpan<byte> Payload(ReadOnlySpan<byte> received) =>
        family == AddressFamily.InterNetwork ? received[((received[0] & 15) * 4)..] : received;
}

/// <summary>ICMP and ICMPv6 echo (RFC 792, RFC 4443); the kernel answers.</summary>
internal sealed class EchoExchange(AddressFamily family) : RawExchange(family, EchoRequest(family))
{
    private const byte EchoReply = 0;
    private const byte EchoReplyV6 = 129;

    public override Socket CreateSocket(AddressFamily family) =>
        new(family, SocketType.Raw, family == AddressFamily.InterNetwork ? ProtocolType.Icmp : ProtocolType.IcmpV6);

    public override bool IsReply(ReadOnlySpan<byte> packet) =>
        packet.Length == Request.Length && packet[0] is EchoReply or EchoReplyV6 && packet[4..].SequenceEqual(Request.AsSpan(4));

    public override byte[]? Reply(ReadOnlySpan<byte> packet) => null;

    // type, code, checksum, identifier, sequence number, data. The kernel fills in ICMPv6's checksum.
    private static byte[] EchoRequest(AddressFamily family)
    {
        var packet = RandomNumberGenerator.GetBytes(16);
        packet.AsSpan(0, 4).Clear();
        packet[0] = (byte)(family == AddressFamily.InterNetwork ? 8 : 128);
        var sum = 0u;
        for (var i = 0; i < packet.Length; i += 2)
            sum += BinaryPrimitives.ReadUInt16BigEndian(packet.AsSpan(i));
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(2), (ushort)~((sum & 0xffff) + (sum >> 16)));
        return packet;
    }
}

/// <summary>SCTP's INIT and INIT ACK (RFC 9260) by raw sockets: connection tracking and policy see an association begin, whether the kernel has SCTP or not.</summary>
/// <param name="family">Family of the sockets.</param>
/// <param name="port">Destination port.</param>
internal sealed class SctpExchange(AddressFamily family, ushort port) : RawExchange(family, Packet((ushort)RandomNumberGenerator.GetInt32(32768, 61000), port, 0, Init))
{
    private const int IPPROTO_SCTP = 132;
    private const byte Init = 1;
    private const byte InitAck = 2;
    private const int ChunkAt = 12;
    private const int InitiateTagAt = ChunkAt + 4;

    public override Socket CreateSocket(AddressFamily family) => Libc.OpenRaw(family, IPPROTO_SCTP);

    /// <summary>Makes the request one from another port.</summary>
    public void SetSourcePort(ushort source)
    {
        BinaryPrimitives.WriteUInt16BigEndian(Request, source);
        WriteChecksum(Request);
    }

    public override bool IsReply(ReadOnlySpan<byte> packet) =>
        packet.Length > InitiateTagAt && packet[ChunkAt] == InitAck && packet[4..8].SequenceEqual(Request.AsSpan(InitiateTagAt, 4));

    public override byte[]? Reply(ReadOnlySpan<byte> packet) => packet.Length > InitiateTagAt && packet[ChunkAt] == Init
        ? Packet(BinaryPrimitives.ReadUInt16BigEndian(packet[2..]), BinaryPrimitives.ReadUInt16BigEndian(packet), BinaryPrimitives.ReadUInt32BigEndian(packet[InitiateTagAt..]), InitAck)
        : null;

    // source port, destination port, verification tag, checksum; then one chunk: type, flags, length, initiate tag, window credit, streams out
    // and in, initial TSN; INIT ACK ends in a cookie (type 7, here of no bytes).
    private static byte[] Packet(ushort source, ushort destination, uint verificationTag, byte type)
    {
        var packet = new byte[ChunkAt + (type == Init ? 20 : 24)];
        BinaryPrimitives.WriteUInt16BigEndian(packet, source);
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(2), destination);
        BinaryPrimitives.WriteUInt32BigEndian(packet.AsSpan(4), verificationTag);
        packet[ChunkAt] = type;
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(ChunkAt + 2), (ushort)(packet.Length - ChunkAt));
        RandomNumberGenerator.Fill(packet.AsSpan(InitiateTagAt, 4));
        BinaryPrimitives.WriteUInt32BigEndian(packet.AsSpan(InitiateTagAt + 4), 65536);
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(InitiateTagAt + 8), 1);
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(InitiateTagAt + 10), 1);
        RandomNumberGenerator.Fill(packet.AsSpan(InitiateTagAt + 12, 4));
        if (type == InitAck)
            ((ReadOnlySpan<byte>)[0, 7, 0, 4]).CopyTo(packet.AsSpan(InitiateTagAt + 16));
        WriteChecksum(packet);
        return packet;
    }

    private static void WriteChecksum(byte[] packet)
    {
        packet.AsSpan(8, 4).Clear();
        var crc = uint.MaxValue;
        foreach (var octet in packet)
            crc = BitOperations.Crc32C(crc, octet);
        BinaryPrimitives.WriteUInt32LittleEndian(packet.AsSpan(8), ~crc);
    }
}
