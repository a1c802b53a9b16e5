using System.Net;
using Overlay.Dataplane.Capture;
using PacketDotNet;
using PacketDotNet.Utils;

namespace Overlay.Tests.Dataplane.Capture;

/// <summary>Packets as another library writes them.</summary>
internal static class Packets
{
    public const ushort VxlanPort = 4789;
    private static readonly byte[] Mac = [2, 0, 0, 0, 0, 1];

    /// <summary>Reads a packet of IP.</summary>
    public static DecodedPacket Read(IPPacket packet) => Read(packet.Bytes);

    /// <summary>Reads bytes that begin with a header of IP.</summary>
    public static DecodedPacket Read(byte[] bytes) => PacketDecoder.Read(bytes[0] >> 4 == 4 ? (ushort)0x0800 : (ushort)0x86dd, bytes, bytes.Length, VxlanPort);

    /// <summary>As it leaves a device at a time of <c>mm:ss.ffffff</c>.</summary>
    public static Frame Frame(byte[] bytes, bool isOutgoing, string device = "overlay-vxlan", long time = 0) =>
        new(time, device, 7, 1, isOutgoing ? (byte)4 : (byte)0, bytes[0] >> 4 == 4 ? (ushort)0x0800 : (ushort)0x86dd, Mac, bytes, bytes.Length);

    public static IPPacket Tcp(string from, ushort fromPort, string to, ushort toPort, Action<TcpPacket>? fill = null, int payload = 0)
    {
        var tcp = new TcpPacket(fromPort, toPort) { PayloadData = new byte[payload] };
        fill?.Invoke(tcp);
        return Ip(from, to, tcp);
    }

    public static IPPacket Udp(string from, ushort fromPort, string to, ushort toPort, params byte[] payload) => Ip(from, to, new UdpPacket(fromPort, toPort) { PayloadData = payload });

    /// <summary>Another protocol.</summary>
    public static IPPacket Raw(string from, string to, ProtocolType protocol, byte[] payload)
    {
        var packet = Empty(from, to);
        packet.Protocol = protocol;
        packet.PayloadData = payload;
        packet.UpdateCalculatedValues();
        if (packet is IPv6Packet ipv6)
            ipv6.PayloadLength = (ushort)payload.Length;
        return packet;
    }

    /// <summary>An echo request of IPv4.</summary>
    public static IPPacket Echo(string from, string to, ushort sequence) =>
        Raw(from, to, ProtocolType.Icmp, [8, 0, 0, 0, 0, 9, (byte)(sequence >> 8), (byte)sequence, .. new byte[56]]);

    /// <summary>An ICMP error about a packet.</summary>
    public static IPPacket Error(string from, string to, byte type, byte code, ushort mtu, byte[] about) =>
        Raw(from, to, IPAddress.Parse(from).GetAddressBytes().Length == 4 ? ProtocolType.Icmp : ProtocolType.IcmpV6, [type, code, 0, 0, 0, 0, (byte)(mtu >> 8), (byte)mtu, .. about]);

    /// <summary>A packet in VXLAN.</summary>
    public static IPPacket Vxlan(string from, string to, uint vni, IPPacket inner, ushort port = VxlanPort, byte flags = 8) => Udp(from, 50000, to, port,
        [flags, 0, 0, 0, (byte)(vni >> 16), (byte)(vni >> 8), (byte)vni, 0, .. Mac, .. Mac, .. inner is IPv4Packet ? (byte[])[8, 0] : [0x86, 0xdd], .. inner.Bytes]);

    /// <summary>A packet in another.</summary>
    public static IPPacket Tunnel(string from, string to, IPPacket inner) => Raw(from, to, inner is IPv4Packet ? ProtocolType.IPv4 : ProtocolType.IPv6, inner.Bytes);

    private static IPPacket Ip(string from, string to, TransportPacket payload)
    {
        var packet = Empty(from, to);
        packet.PayloadPacket = payload;
        payload.UpdateCalculatedValues();
        packet.UpdateCalculatedValues();
        return packet;
    }

    private static IPPacket Empty(string from, string to) =>
        from.Contains(':') ? new IPv6Packet(IPAddress.Parse(from), IPAddress.Parse(to)) : new IPv4Packet(IPAddress.Parse(from), IPAddress.Parse(to));

    /// <summary>The packet of IP at the beginning of bytes, by that library.</summary>
    public static IPPacket Parse(byte[] bytes) => bytes[0] >> 4 == 4 ? new IPv4Packet(new ByteArraySegment(bytes)) : new IPv6Packet(new ByteArraySegment(bytes));
}
