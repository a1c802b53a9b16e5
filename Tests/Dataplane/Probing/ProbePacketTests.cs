using System.Net;
using Overlay.Dataplane.Probing;
using Overlay.PolicyEngine.Model;
using PacketDotNet;

namespace Overlay.Tests.Dataplane.Probing;

/// <summary>Probes and answers, as another decoder reads and writes them.</summary>
public class ProbePacketTests
{
    private static readonly InetAddress Peer = InetAddress.Parse("10.42.2.0");
    private static readonly InetAddress Peer6 = InetAddress.Parse("fd00:42:2::");

    [TestCase(28)]
    [TestCase(29)]
    [TestCase(1450)]
    [TestCase(8951)]
    public void Echo_request_is_as_long_as_asked_and_its_checksum_is_right(int length)
    {
        var bytes = ProbePacket.EchoRequest(Family.IPv4, 0x1234, 0xfffe, length);
        var packet = new IcmpV4Packet(new(bytes));
        Assert.That(bytes, Has.Length.EqualTo(length - 20));
        Assert.That((packet.TypeCode, packet.Id, packet.Sequence), Is.EqualTo((IcmpV4TypeCode.EchoRequest, (ushort)0x1234, (ushort)0xfffe)));
        Assert.That(Sum(bytes), Is.EqualTo(0xffff), "RFC 1071: the sum over all, checksum included");
        Assert.That(ProbePacket.EchoRequest(Family.IPv6, 1, 2, length + 20), Has.Length.EqualTo(length - 20));
    }

    [Test]
    public void Echo_reply_is_read()
    {
        var reply = new byte[] { 0, 0, 0, 0, 0x12, 0x34, 0, 7 };
        Assert.That(ProbePacket.Read(Peer, InIPv4("10.42.2.0", "10.42.1.0", PacketDotNet.ProtocolType.Icmp, reply)), Is.EqualTo(new ProbeAnswer.Echo(0x1234, 7)));
        reply[0] = 129;
        Assert.That(ProbePacket.Read(Peer6, reply), Is.EqualTo(new ProbeAnswer.Echo(0x1234, 7)));
        reply[0] = 128;
        Assert.That(ProbePacket.Read(Peer6, reply), Is.Null, "a request");
    }

    [Test]
    public void Refused_datagram_is_read_when_its_destination_refused_it()
    {
        var datagram = new byte[] { 0x80, 1, 3, 0xfd, 0, 8, 0, 0 };
        byte[] error = [3, 3, 0, 0, 0, 0, 0, 0, .. InIPv4("10.42.1.0", "10.42.2.0", PacketDotNet.ProtocolType.Udp, datagram)];
        var bytes = InIPv4("10.42.2.0", "10.42.1.0", PacketDotNet.ProtocolType.Icmp, error);
        Assert.That(ProbePacket.Read(Peer, bytes), Is.EqualTo(new ProbeAnswer.Refused(Peer, 0x8001, 1021)));
        Assert.That(ProbePacket.Read(InetAddress.Parse("192.0.2.254"), bytes), Is.Null, "a router did: it never arrived");
        var inner = new IPv6Packet(IPAddress.Parse("fd00:42:1::"), IPAddress.Parse("fd00:42:2::")) { NextHeader = PacketDotNet.ProtocolType.Udp, PayloadData = datagram };
        byte[] error6 = [1, 4, 0, 0, 0, 0, 0, 0, .. inner.Bytes];
        Assert.That(ProbePacket.Read(Peer6, error6), Is.EqualTo(new ProbeAnswer.Refused(Peer6, 0x8001, 1021)));
    }

    [Test]
    public void What_is_cut_short_answers_nothing()
    {
        byte[] error = [3, 3, 0, 0, 0, 0, 0, 0, .. InIPv4("10.42.1.0", "10.42.2.0", PacketDotNet.ProtocolType.Udp, new byte[8])];
        var bytes = InIPv4("10.42.2.0", "10.42.1.0", PacketDotNet.ProtocolType.Icmp, error);
        Assert.That(Enumerable.Range(0, bytes.Length - 4).Select(length => ProbePacket.Read(Peer, bytes.AsSpan(0, length))), Is.All.Null);
        byte[] error6 = [1, 4, 0, 0, 0, 0, 0, 0, .. new byte[43]];
        Assert.That(Enumerable.Range(0, error6.Length).Select(length => ProbePacket.Read(Peer6, error6.AsSpan(0, length))), Is.All.Null);
    }

    private static byte[] InIPv4(string from, string to, PacketDotNet.ProtocolType protocol, byte[] payload) =>
        new IPv4Packet(IPAddress.Parse(from), IPAddress.Parse(to)) { Protocol = protocol, PayloadData = payload }.Bytes;

    private static int Sum(byte[] bytes)
    {
        var sum = 0;
        for (var i = 0; i < bytes.Length; i++)
            sum += i % 2 == 0 ? bytes[i] << 8 : bytes[i];
        while (sum > 0xffff)
            sum = (sum & 0xffff) + (sum >> 16);
        return sum;
    }
}
