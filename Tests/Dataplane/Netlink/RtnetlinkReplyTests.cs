using CsCheck;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Route;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Dataplane.Netlink;

/// <summary>What the kernel answered to <c>ip … show</c>, read back as records (Tests/Golden/README.md).</summary>
public class RtnetlinkReplyTests
{
    private delegate T Parser<T>(NetlinkMessage message);

    [Test]
    public void A_vxlan_link_is_read_with_its_tunnel_parameters() =>
        Assert.That(Read("reply-link-vxlan", LinkMessage.Parse)[0], Is.EqualTo(new LinkMessage
        {
            Index = 20,
            Name = "vx4",
            Flags = Iff.IFF_UP | Iff.IFF_BROADCAST | Iff.IFF_RUNNING | Iff.IFF_MULTICAST | Iff.IFF_LOWER_UP,
            Address = new MacAddress(0x02aabbccddee),
            Mtu = 1450,
            AddrGenMode = In6AddrGenMode.IN6_ADDR_GEN_MODE_EUI64,
            Kind = "vxlan",
            Vxlan = new VxlanLink(4096, 4789, InetAddress.Parse("192.0.2.1"))
            {
                Ttl = 64,
                Df = IflaVxlanDf.VXLAN_DF_SET,
                UdpCsum = true,
                UdpZeroCsum6Tx = false,
                UdpZeroCsum6Rx = false,
            },
        }));

    [Test]
    public void A_veth_link_is_read_with_its_peer_and_alias() =>
        Assert.That(Read("reply-link-veth", LinkMessage.Parse)[0], Is.EqualTo(new LinkMessage
        {
            Index = 10,
            Name = "ovl0",
            Flags = Iff.IFF_UP | Iff.IFF_BROADCAST | Iff.IFF_RUNNING | Iff.IFF_MULTICAST | Iff.IFF_LOWER_UP,
            Address = new MacAddress(0x026f766c0002),
            Mtu = 1400,
            Link = 11,
            LinkNetnsid = 0,
            Alias = "pod-1",
            Group = 80,
            AddrGenMode = In6AddrGenMode.IN6_ADDR_GEN_MODE_NONE,
            Kind = "veth",
        }));

    [Test]
    public void Addresses_are_read() =>
        Assert.That(Read("reply-address", AddressMessage.Parse), Is.EqualTo(new[]
        {
            new AddressMessage { Index = 10, Prefix = Cidr.Parse("10.42.1.5/32"), Flags = IfaF.IFA_F_PERMANENT },
            new AddressMessage { Index = 10, Prefix = Cidr.Parse("fd00:42::5/128"), Flags = IfaF.IFA_F_PERMANENT | IfaF.IFA_F_NODAD },
        }));

    [TestCase("reply-route-v4", new[]
    {
        "unreachable 10.42.1.0/24 proto 79",
        "10.42.1.5/32 dev 10 proto 79",
        "10.42.2.0/24 via 10.42.2.0 dev 20 proto 79 onlink",
        "blackhole 10.42.99.0/24 proto 79 metric 5",
    })]
    [TestCase("reply-route-v6", new[]
    {
        "fd00:42::7/128 dev 10 proto 79 metric 1024",
        "unreachable fd00:42:1::/64 dev 1 proto 79 metric 1024",
        "fd00:42:2::/64 via fd00:42:2:: dev 20 proto 79 metric 1024 onlink",
    })]
    public void Routes_are_read_and_print_as_ip_route_does(string name, string[] expected)
    {
        var routes = Read(name, RouteMessage.Parse);
        Assert.That(routes.Select(route => route.ToString()), Is.EqualTo(expected));
        Assert.That(routes.Select(route => route.Table), Is.All.EqualTo(RtTable.RT_TABLE_MAIN));
    }

    [Test]
    public void Permanent_neighbours_are_read() =>
        Assert.That(Read("reply-neighbor", NeighborMessage.Parse).Where(neighbor => neighbor.State == Nud.NUD_PERMANENT), Is.EqualTo(new[]
        {
            NeighborMessage.Permanent(20, InetAddress.Parse("10.42.2.0"), new(0x020000000002)),
            NeighborMessage.Permanent(20, InetAddress.Parse("fd00:42:2::"), new(0x020000000002)),
        }));

    [Test]
    public void Forwarding_entries_are_read() =>
        Assert.That(Read("reply-fdb", NeighborMessage.Parse), Is.EqualTo(new[]
        {
            NeighborMessage.Forwarding(20, new(0x020000000002), InetAddress.Parse("192.0.2.2")),
        }));

    [Test]
    public void Random_bytes_throw_nothing_but_format_exceptions() =>
        Gen.Byte.Array[0, 200].Sample(bytes => ReadAnything(bytes));

    /// <summary>Reads bytes as every kind of message.</summary>
    internal static void ReadAnything(byte[] payload)
    {
        try
        {
            foreach (var message in new NetlinkMessages(payload))
                ReadOne(message, LinkMessage.Parse);
        }
        catch (NetlinkFormatException)
        {
            // As below.
        }
        ReadOne(new NetlinkMessage(16, 0, 1, payload), LinkMessage.Parse);
        ReadOne(new NetlinkMessage(20, 0, 1, payload), AddressMessage.Parse);
        ReadOne(new NetlinkMessage(24, 0, 1, payload), RouteMessage.Parse);
        ReadOne(new NetlinkMessage(28, 0, 1, payload), NeighborMessage.Parse);
        foreach (var type in (NlmsgType[])[NlmsgType.NLMSG_ERROR, NlmsgType.NLMSG_DONE])
            foreach (var flags in (NlmF[])[NlmF.NLM_F_ACK_TLVS, NlmF.NLM_F_ACK_TLVS | NlmF.NLM_F_CAPPED])
                ReadOne(new NetlinkMessage((ushort)type, (ushort)flags, 1, payload), NetlinkAcknowledgement.Read);
    }

    private static void ReadOne<T>(NetlinkMessage message, Parser<T> parse)
    {
        try
        {
            parse(message);
        }
        catch (NetlinkFormatException)
        {
            // The one exception that bad bytes may cause.
        }
    }

    private static List<T> Read<T>(string name, Parser<T> parse)
    {
        var rows = new List<T>();
        foreach (var message in new NetlinkMessages(Golden.Read("rtnetlink/" + name).Bytes))
            rows.Add(parse(message));
        return rows;
    }
}
