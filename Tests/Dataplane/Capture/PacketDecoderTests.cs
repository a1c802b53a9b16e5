using CsCheck;
using Overlay.Dataplane.Capture;
using Overlay.PolicyEngine.Model;
using PacketDotNet;

namespace Overlay.Tests.Dataplane.Capture;

/// <summary>What the bytes of packets say. Whole ones are written by another library, PacketDotNet.</summary>
public class PacketDecoderTests
{
    private const string Web = "10.42.1.2";
    private const string Db = "10.42.2.3";
    private const string Web6 = "fd00:42:1::2";
    private const string Db6 = "fd00:42:2::3";
    private const string Node1 = "192.0.2.1";
    private const string Node2 = "192.0.2.2";

    [TestCase(Web, Db)]
    [TestCase(Web6, Db6)]
    public void Segment_is_read(string from, string to)
    {
        var packet = Packets.Tcp(from, 43512, to, 5432, tcp => (tcp.Synchronize, tcp.Acknowledgment) = (true, true), payload: 100);
        var read = Packets.Read(packet);
        Assert.That(
            (read.Protocol, read.Source.ToString(), read.SourcePort, read.Destination.ToString(), read.DestinationPort, read.Flags, read.Length, read.Detail),
            Is.EqualTo(("tcp", from, (ushort?)43512, to, (ushort?)5432, "S.", packet.TotalPacketLength, "")));
        Assert.That((read.Tunnels.Count, read.Quoted), Is.EqualTo((0, (DecodedPacket?)null)));
    }

    [Test]
    public void Flags_are_those_of_tcpdump() => Gen.Byte.Sample(bits =>
    {
        var packet = Packets.Tcp(Web, 1, Db, 2).Bytes;
        packet[20 + 13] = bits;
        var tcp = Packets.Parse(packet).Extract<TcpPacket>();
        var letters = $"{(tcp.Synchronize ? "S" : "")}{(tcp.Finished ? "F" : "")}{(tcp.Reset ? "R" : "")}{(tcp.Push ? "P" : "")}{(tcp.Urgent ? "U" : "")}{(tcp.ExplicitCongestionNotificationEcho ? "E" : "")}{(tcp.CongestionWindowReduced ? "W" : "")}{(tcp.Acknowledgment ? "." : "")}";
        Assert.That(Packets.Read(packet).Flags, Is.EqualTo(letters.Length > 0 ? letters : "none"));
    });

    // Written by one, read by the other: addresses, ports, protocol and length of either family.
    [Test]
    public void Both_libraries_read_the_same() =>
        (from isTcp in Gen.Bool
         from isIPv6 in Gen.Bool
         from fromPort in Gen.UShort
         from toPort in Gen.UShort.Where(port => port != Packets.VxlanPort)
         from payload in Gen.Int[0, 2000]
         select (isTcp, isIPv6, fromPort, toPort, payload)).Sample(one =>
        {
            var (from, to) = one.isIPv6 ? (Web6, Db6) : (Web, Db);
            var packet = one.isTcp ? Packets.Tcp(from, one.fromPort, to, one.toPort, payload: one.payload) : Packets.Udp(from, one.fromPort, to, one.toPort, new byte[one.payload]);
            var (read, other) = (Packets.Read(packet.Bytes), Packets.Parse(packet.Bytes));
            var transport = other.Extract<TransportPacket>();
            Assert.That(
                (read.Source.ToString(), read.Destination.ToString(), read.SourcePort, read.DestinationPort, read.Protocol, read.Length),
                Is.EqualTo((other.SourceAddress.ToString(), other.DestinationAddress.ToString(), (ushort?)transport.SourcePort, (ushort?)transport.DestinationPort, transport is TcpPacket ? "tcp" : "udp", other.TotalPacketLength)));
        });

    [TestCase(4096u)]
    [TestCase(77u, Description = "another network's: shown with its number")]
    public void Vxlan_is_taken_off(uint vni)
    {
        var read = Packets.Read(Packets.Vxlan(Node1, Node2, vni, Packets.Udp(Web6, 1000, Db6, 53, 1, 2)));
        Assert.That((read.Protocol, read.Source.ToString(), read.DestinationPort, read.Length), Is.EqualTo(("udp", Web6, (ushort?)53, 50)));
        Assert.That(read.Tunnels, Is.EqualTo(new[] { new OuterHeader("vxlan", InetAddress.Parse(Node1), InetAddress.Parse(Node2), vni) }));
        Assert.That(read.Addresses.Select(address => address.ToString()), Is.EqualTo(new[] { Web6, Db6, Node1, Node2 }));
    }

    [TestCase((ushort)8472, (byte)8, Description = "another port")]
    [TestCase(Packets.VxlanPort, (byte)0, Description = "no VNI")]
    public void What_is_no_vxlan_of_ours_is_a_datagram(ushort port, byte flags)
    {
        var read = Packets.Read(Packets.Vxlan(Node1, Node2, 4096, Packets.Udp(Web, 1000, Db, 53), port, flags));
        Assert.That((read.Protocol, read.Source.ToString(), read.DestinationPort, read.Tunnels.Count), Is.EqualTo(("udp", Node1, (ushort?)port, 0)));
    }

    [TestCase(Node1, Node2, Web, Db, "ipip")]
    [TestCase(Node1, Node2, Web6, Db6, "sit")]
    [TestCase("2001:db8::1", "2001:db8::2", Web, Db, "ip6tnl")]
    [TestCase("2001:db8::1", "2001:db8::2", Web6, Db6, "ip6tnl")]
    public void IP_in_IP_is_taken_off(string outerFrom, string outerTo, string from, string to, string encapsulation)
    {
        var read = Packets.Read(Packets.Tunnel(outerFrom, outerTo, Packets.Tcp(from, 1, to, 80)));
        Assert.That((read.Protocol, read.Source.ToString(), read.DestinationPort), Is.EqualTo(("tcp", from, (ushort?)80)));
        Assert.That(read.Tunnels, Is.EqualTo(new[] { new OuterHeader(encapsulation, InetAddress.Parse(outerFrom), InetAddress.Parse(outerTo), null) }));
    }

    [Test]
    public void Tunnels_in_tunnels_end()
    {
        var packet = Packets.Udp(Web, 1, Db, 2);
        for (var i = 0; i < 3; i++)
            packet = Packets.Tunnel(Node1, Node2, packet);
        Assert.That((Packets.Read(packet).Protocol, Packets.Read(packet).Tunnels.Count), Is.EqualTo(("udp", 3)));
        for (var i = 0; i < 30; i++)
            packet = Packets.Tunnel(Node1, Node2, packet);
        Assert.That(Packets.Read(packet).Detail, Is.EqualTo("too many headers in each other"));
    }

    [Test]
    public void Fragments_of_IPv4_have_ports_in_the_first_only()
    {
        var bytes = Packets.Udp(Web, 1000, Db, 53, new byte[64]).Bytes;
        bytes[6] = 0x20;
        Assert.That((Packets.Read(bytes).DestinationPort, Packets.Read(bytes).Detail), Is.EqualTo(((ushort?)53, "first fragment")));
        (bytes[6], bytes[7]) = (0x20, 185);
        Assert.That((Packets.Read(bytes).Protocol, Packets.Read(bytes).DestinationPort, Packets.Read(bytes).Detail), Is.EqualTo(("udp", (ushort?)null, "fragment at 1480, more follow")));
        bytes[6] = 0;
        Assert.That(Packets.Read(bytes).Detail, Is.EqualTo("fragment at 1480, the last"));
    }

    // Hop-by-hop, destination options, routing, authentication (of 24 bytes), and a fragment header.
    [Test]
    public void Extension_headers_of_IPv6_are_passed_over()
    {
        byte[] udp = [0, 10, 0, 53, 0, 8, 0, 0];
        byte[] Chain(byte next, byte[] rest) => Packets.Raw(Web6, Db6, (ProtocolType)next, rest).Bytes;
        byte[] headers = [60, 0, 1, 4, 0, 0, 0, 0, 43, 1, .. new byte[14], 51, 0, 0, 0, 0, 0, 0, 0, 17, 4, .. new byte[22]];
        var read = Packets.Read(Chain(0, [.. headers, .. udp]));
        Assert.That((read.Protocol, read.DestinationPort, read.Length), Is.EqualTo(("udp", (ushort?)53, 40 + headers.Length + udp.Length)));
        var first = Packets.Read(Chain(44, [17, 0, 0, 1, 0, 0, 0, 9, .. udp]));
        Assert.That((first.DestinationPort, first.Detail), Is.EqualTo(((ushort?)53, "first fragment")));
        var later = Packets.Read(Chain(44, [17, 0, 5, 0xc8, 0, 0, 0, 9, .. udp]));
        Assert.That((later.Protocol, later.DestinationPort, later.Detail), Is.EqualTo(("udp", (ushort?)null, "fragment at 1480, the last")));
        Assert.That(Packets.Read(Chain(0, [17, 200, 0, 0])).Detail, Is.EqualTo(PacketDecoder.CutShort));
    }

    [TestCase(Node1, Web, Db, (byte)3, (byte)4, "too big, MTU 1400")]
    [TestCase(Node1, Web, Db, (byte)3, (byte)3, "port unreachable")]
    [TestCase(Node1, Web, Db, (byte)3, (byte)13, "unreachable: prohibited")]
    [TestCase(Node1, Web, Db, (byte)11, (byte)0, "time exceeded on the way")]
    [TestCase("fd07::1", Web6, Db6, (byte)2, (byte)0, "too big, MTU 1400")]
    [TestCase("fd07::1", Web6, Db6, (byte)1, (byte)4, "port unreachable")]
    public void Icmp_error_says_what_it_is_about(string router, string from, string to, byte type, byte code, string detail)
    {
        var about = Packets.Tcp(from, 43512, to, 5432, payload: 1000).Bytes;
        var header = from == Web ? 20 : 40;
        foreach (var kept in (int[])[about.Length, header + 8, header + 4])
        {
            var read = Packets.Read(Packets.Error(router, from, type, code, 1400, about[..kept]));
            Assert.That((read.Protocol, read.Source.ToString(), read.Detail), Is.EqualTo(("icmp", router, detail)));
            Assert.That((read.Quoted?.Protocol, read.Quoted?.Source.ToString(), read.Quoted?.DestinationPort, read.Quoted?.Length, read.Quoted?.Detail), Is.EqualTo(("tcp", from, (ushort?)5432, about.Length, "")), $"{kept} bytes of it");
        }
    }

    [Test]
    public void Echo_neighbours_and_arp_are_read()
    {
        Assert.That(Packets.Read(Packets.Echo(Web, Db, 300)).Detail, Is.EqualTo("echo request 300"));
        byte[] target = [0xfe, 0x80, .. new byte[13], 1];
        Assert.That(Packets.Read(Packets.Raw(Web6, Db6, ProtocolType.IcmpV6, [135, 0, 0, 0, 0, 0, 0, 0, .. target])).Detail, Is.EqualTo("who has fe80::1?"));
        Assert.That(Packets.Read(Packets.Raw(Web6, Db6, ProtocolType.IcmpV6, [136, 0, 0, 0, 0, 0, 0, 0, .. target, 2, 1, 2, 0x6f, 0x76, 0x6c, 0, 1])).Detail, Is.EqualTo("fe80::1 is at 02:6f:76:6c:00:01"));
        byte[] arp = [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 42, 1, 2, 0, 0, 0, 0, 0, 0, 169, 254, 1, 1];
        var read = PacketDecoder.Read(0x0806, arp, arp.Length, 0);
        Assert.That((read.Protocol, read.Source.ToString(), read.Destination.ToString(), read.Detail), Is.EqualTo(("arp", Web, "169.254.1.1", "who has that address?")));
        var tagged = PacketDecoder.Read(0x8100, [0, 5, 8, 6, .. arp], arp.Length + 4, 0);
        Assert.That((tagged.Protocol, tagged.Length), Is.EqualTo(("arp", arp.Length)));
        Assert.That(PacketDecoder.Read(0x88cc, [1, 2, 3], 3, 0).Protocol, Is.EqualTo("ethertype 0x88cc"));
    }

    // Every packet of every length: what is known goes on being the same.
    [Test]
    public void A_cut_packet_says_so_and_its_beginning_is_read()
    {
        IPPacket[] packets =
        [
            Packets.Tcp(Web, 1, Db, 2), Packets.Udp(Web6, 1, Db6, 2), Packets.Vxlan(Node1, Node2, 4096, Packets.Tcp(Web6, 1, Db6, 2)), Packets.Tunnel(Node1, Node2, Packets.Udp(Web, 1, Db, 2)),
            Packets.Error(Node1, Web, 3, 4, 1400, Packets.Tcp(Web, 1, Db, 2).Bytes), Packets.Raw(Web, Db, (ProtocolType)132, [0, 1, 0, 2, .. new byte[8], 1, 0, 0, 20]),
        ];
        foreach (var bytes in packets.Select(packet => packet.Bytes))
        {
            var whole = Packets.Read(bytes);
            for (var length = 0; length < bytes.Length; length++)
            {
                var cut = PacketDecoder.Read(bytes[0] >> 4 == 4 ? (ushort)0x0800 : (ushort)0x86dd, bytes.AsSpan(0, length), bytes.Length, Packets.VxlanPort);
                var says = cut.Detail == PacketDecoder.CutShort || cut.Quoted?.Detail == PacketDecoder.CutShort;
                Assert.That(says || cut.Tunnels.Count < whole.Tunnels.Count || (cut.Protocol, cut.SourcePort, cut.Flags, cut.Length) == (whole.Protocol, whole.SourcePort, whole.Flags, whole.Length), Is.True, $"{length} bytes of {bytes.Length}: {cut}");
            }
        }
    }

    [Test]
    public void Whatever_the_bytes_are_nothing_is_thrown()
    {
        byte[][] seeds =
        [
            Packets.Vxlan(Node1, Node2, 4096, Packets.Tcp(Web6, 1, Db6, 2)).Bytes, Packets.Tunnel("2001:db8::1", "2001:db8::2", Packets.Udp(Web, 1, Db, 2)).Bytes,
            Packets.Error("fd07::1", Web6, 2, 0, 1400, Packets.Tcp(Web6, 1, Db6, 2).Bytes).Bytes, Packets.Raw(Web6, Db6, 0, [60, 0, .. new byte[6], 44, 0, .. new byte[6], 17, 0, .. new byte[14]]).Bytes,
        ];
        var types = Gen.OneOf(Gen.Int[0, 3].Select(i => new ushort[] { 0x0800, 0x86dd, 0x0806, 0x8100 }[i]), Gen.UShort);
        var damaged = from seed in Gen.Int[0, seeds.Length - 1].Select(i => seeds[i])
                      from changes in Gen.Select(Gen.Int[0, seed.Length - 1], Gen.Byte).Array[1, 6]
                      from length in Gen.Int[0, seed.Length]
                      select Damage(seed, changes)[..length];
        Gen.Select(types, Gen.OneOf(damaged, Gen.Byte.Array[0, 200])).Sample((type, bytes) => PacketDecoder.Read(type, bytes, bytes.Length, Packets.VxlanPort) is not null, iter: 20_000);
    }

    private static byte[] Damage(byte[] seed, (int At, byte Value)[] changes)
    {
        var bytes = (byte[])seed.Clone();
        foreach (var (at, value) in changes)
            bytes[at] = value;
        return bytes;
    }

    [Test]
    public void Headers_that_lie_are_malformed()
    {
        var bytes = Packets.Udp(Web, 1, Db, 2).Bytes;
        bytes[0] = 0x44; // sixteen bytes of header
        Assert.That(Packets.Read(bytes).Detail, Is.EqualTo(PacketDecoder.Malformed));
        bytes[0] = 0x45;
        (bytes[2], bytes[3]) = (0, 19);
        Assert.That(Packets.Read(bytes).Detail, Is.EqualTo(PacketDecoder.Malformed));
        Assert.That(PacketDecoder.Read(0x86dd, bytes.Concat(new byte[40]).ToArray(), 68, 0).Detail, Is.EqualTo(PacketDecoder.Malformed), "version 4 where 6 is announced");
    }

    // Ethernet fills short frames up.
    [Test]
    public void What_follows_the_packet_is_not_of_it()
    {
        byte[] padded = [.. Packets.Raw(Node1, Node2, ProtocolType.IPv4, Packets.Udp(Web, 1, Db, 2).Bytes).Bytes, .. new byte[18]];
        Assert.That((Packets.Read(padded).Length, Packets.Read(padded).Protocol), Is.EqualTo((28, "udp")));
        byte[] shorter = [.. Packets.Raw(Web, Db, ProtocolType.Tcp, [0, 1, 0, 2]).Bytes, .. new byte[22]];
        Assert.That(Packets.Read(shorter).Detail, Is.EqualTo(PacketDecoder.CutShort), "flags are not read from behind it");
    }
}
