using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Route;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Dataplane.Netlink;

/// <summary>What our writers send is what <c>ip</c> and <c>bridge</c> send, byte for byte (Tests/Golden/README.md).</summary>
public class RtnetlinkRequestTests
{
    // Indexes and the descriptor as they were when the goldens were captured.
    private const int Ovl0 = 10;
    private const int Vx4 = 20;
    private const int Vx6 = 21;
    private const int Br0 = 30;
    private const int Nlpod = 4;
    private const Rtprot Ours = (Rtprot)79;
    private static readonly MacAddress RemoteVtep = new(0x020000000002);

    private static readonly Dictionary<string, Action<NetlinkWriter>> Requests = new()
    {
        ["link-add-veth"] = writer => LinkMessage.WriteNewVeth(writer, 0,
            new LinkSettings { Index = Ovl0, Name = "ovl0", Address = new(0x026f766c0001), Mtu = 1450, Group = 79 },
            new LinkSettings { Index = 11, Name = "eth0", NetnsDescriptor = Nlpod, Address = new(0x020000000009), Mtu = 1450 }),
        ["link-add-vxlan-v4"] = writer => LinkMessage.WriteNewVxlan(writer, 0,
            new LinkSettings { Index = Vx4, Name = "vx4", Address = new(0x02aabbccddee), Mtu = 1450 },
            new VxlanLink(4096, 4789, Ip("192.0.2.1")) { Ttl = 64, Df = IflaVxlanDf.VXLAN_DF_SET, UdpCsum = true }),
        ["link-add-vxlan-v6"] = writer => LinkMessage.WriteNewVxlan(writer, 0,
            new LinkSettings { Index = Vx6, Name = "vx6" },
            new VxlanLink(4097, 4790, Ip("2001:db8::1")) { UdpZeroCsum6Tx = true, UdpZeroCsum6Rx = true }),
        ["link-add-bridge"] = writer => LinkMessage.WriteNewBridge(writer, 0, new LinkSettings { Index = Br0, Name = "br0" }),
        ["link-set-up"] = Set(new LinkSettings { Index = Ovl0, Up = true }),
        ["link-set-down"] = Set(new LinkSettings { Index = Ovl0, Up = false }),
        ["link-set-master"] = Set(new LinkSettings { Index = Ovl0, Master = Br0 }),
        ["link-set-nomaster"] = Set(new LinkSettings { Index = Ovl0, Master = 0 }),
        ["link-set-several"] = Set(new LinkSettings { Index = Ovl0, Address = new(0x026f766c0002), Mtu = 1400, Alias = "pod-1", Group = 80 }),
        ["link-set-addrgenmode"] = Set(new LinkSettings { Index = Ovl0, AddrGenMode = In6AddrGenMode.IN6_ADDR_GEN_MODE_NONE }),
        ["link-set-name"] = Set(new LinkSettings { Index = Br0, Name = "br1" }),
        ["link-set-netns"] = Set(new LinkSettings { Index = Br0, NetnsDescriptor = Nlpod }),
        ["link-delete"] = writer => LinkMessage.WriteDelete(writer, 0, Vx6),
        ["link-delete-group"] = writer => LinkMessage.WriteDeleteGroup(writer, 0, 80),
        ["address-add-v4"] = writer => AddressMessage.WriteNew(writer, 0, new() { Index = Ovl0, Prefix = Cidr.Parse("10.42.1.5/32") }),
        ["address-add-v6-nodad"] = writer => AddressMessage.WriteNew(writer, 0, new() { Index = Ovl0, Prefix = Cidr.Parse("fd00:42::5/128"), Flags = IfaF.IFA_F_NODAD }),
        ["address-add-noprefixroute"] = writer => AddressMessage.WriteNew(writer, 0, new() { Index = Ovl0, Prefix = Cidr.Parse("10.42.9.6/24"), Flags = IfaF.IFA_F_NOPREFIXROUTE }),
        ["address-delete"] = writer => AddressMessage.WriteDelete(writer, 0, new() { Index = Ovl0, Prefix = Cidr.Parse("10.42.9.6/24") }),
        ["address-show"] = writer => AddressMessage.WriteDump(writer, 0, Vx4),
        ["route-add-host-v4"] = Add(new() { Destination = Cidr.Parse("10.42.1.5/32"), OutputInterface = Ovl0, Protocol = Ours }),
        ["route-add-host-v6"] = Add(new() { Destination = Cidr.Parse("fd00:42::7/128"), OutputInterface = Ovl0, Protocol = Ours }),
        ["route-replace-onlink-v4"] = writer => RouteMessage.WriteReplace(writer, 0, Remote("10.42.2.0/24")),
        ["route-replace-onlink-v6"] = writer => RouteMessage.WriteReplace(writer, 0, Remote("fd00:42:2::/64")),
        ["route-add-unreachable-v4"] = Add(new() { Destination = Cidr.Parse("10.42.1.0/24"), Type = Rtn.RTN_UNREACHABLE, Protocol = Ours }),
        ["route-add-unreachable-v6"] = Add(new() { Destination = Cidr.Parse("fd00:42:1::/64"), Type = Rtn.RTN_UNREACHABLE, Protocol = Ours }),
        ["route-add-blackhole"] = Add(new() { Destination = Cidr.Parse("10.42.99.0/24"), Type = Rtn.RTN_BLACKHOLE, Priority = 5, Protocol = Ours }),
        ["route-add-default"] = Add(new() { Destination = Cidr.Parse("0.0.0.0/0"), Gateway = Ip("169.254.1.1"), OutputInterface = Ovl0, Flags = RtnhF.RTNH_F_ONLINK }),
        ["route-add-src-table"] = Add(new() { Destination = Cidr.Parse("10.42.7.0/24"), PrefSrc = Ip("10.42.1.5"), Priority = 7, Table = (RtTable)1000, OutputInterface = Ovl0, Protocol = Ours }),
        ["route-delete-unicast"] = writer => RouteMessage.WriteDelete(writer, 0, new() { Destination = Cidr.Parse("10.42.1.5/32"), OutputInterface = Ovl0, Protocol = Ours }),
        ["route-delete-unreachable"] = writer => RouteMessage.WriteDelete(writer, 0, new() { Destination = Cidr.Parse("10.42.1.0/24"), Type = Rtn.RTN_UNREACHABLE, Protocol = Ours }),
        ["route-show-v4"] = writer => RouteMessage.WriteDump(writer, 0, Family.IPv4, Ours, RtTable.RT_TABLE_MAIN),
        ["route-show-v6"] = writer => RouteMessage.WriteDump(writer, 0, Family.IPv6, Ours, RtTable.RT_TABLE_MAIN),
        ["neighbor-replace-v4"] = Replace(NeighborMessage.Permanent(Vx4, Ip("10.42.2.0"), RemoteVtep)),
        ["neighbor-replace-v6"] = Replace(NeighborMessage.Permanent(Vx4, Ip("fd00:42:2::"), RemoteVtep)),
        ["neighbor-delete"] = writer => NeighborMessage.WriteDelete(writer, 0, NeighborMessage.Permanent(Vx4, Ip("10.42.2.0"), RemoteVtep)),
        ["neighbor-show"] = writer => NeighborMessage.WriteDump(writer, 0, Af.AF_UNSPEC, Vx4),
        ["fdb-replace-v4"] = Replace(NeighborMessage.Forwarding(Vx4, RemoteVtep, Ip("192.0.2.2"))),
        ["fdb-replace-v6"] = Replace(NeighborMessage.Forwarding(Vx6, RemoteVtep, Ip("2001:db8::2"))),
        ["fdb-delete"] = writer => NeighborMessage.WriteDelete(writer, 0, NeighborMessage.Forwarding(Vx4, RemoteVtep, Ip("192.0.2.2"))),
    };

    private static IEnumerable<string> Names => Requests.Keys;

    [TestCaseSource(nameof(Names))]
    public void A_request_has_the_bytes_that_iproute2_sends(string name)
    {
        using var writer = new NetlinkWriter();
        Requests[name](writer);
        var golden = Golden.Read("rtnetlink/" + name);
        Assert.That(Convert.ToHexString(writer.Written), Is.EqualTo(Convert.ToHexString(golden.Bytes)), golden.Command);
    }

    [Test]
    public void Every_captured_request_is_compared() =>
        Assert.That(Requests.Keys.Select(name => "rtnetlink/" + name),
            Is.EquivalentTo(Golden.Names("rtnetlink", "*").Where(name => !name.Contains("/reply-", StringComparison.Ordinal))));

    [Test]
    public void A_link_cannot_be_created_with_what_the_kernel_would_ignore()
    {
        using var writer = new NetlinkWriter();
        Assert.That(() => LinkMessage.WriteNewBridge(writer, 0, new LinkSettings { Name = "br0", Alias = "x" }), Throws.ArgumentException);
        Assert.That(() => LinkMessage.WriteNewBridge(writer, 0, new LinkSettings()), Throws.ArgumentException);
    }

    [Test]
    public void Deleting_the_default_group_is_refused()
    {
        using var writer = new NetlinkWriter();
        Assert.That(() => LinkMessage.WriteDeleteGroup(writer, 0, 0), Throws.ArgumentException);
        Assert.That(() => LinkMessage.WriteDelete(writer, 0, 0), Throws.ArgumentException);
    }

    private static RouteMessage Remote(string podCidr) => new()
    {
        Destination = Cidr.Parse(podCidr),
        Gateway = Cidr.Parse(podCidr).First,
        OutputInterface = Vx4,
        Protocol = Ours,
        Flags = RtnhF.RTNH_F_ONLINK,
    };

    private static Action<NetlinkWriter> Set(LinkSettings link) => writer => LinkMessage.WriteSet(writer, 0, link);

    private static Action<NetlinkWriter> Add(RouteMessage route) => writer => RouteMessage.WriteNew(writer, 0, route);

    private static Action<NetlinkWriter> Replace(NeighborMessage neighbor) => writer => NeighborMessage.WriteReplace(writer, 0, neighbor);

    private static InetAddress Ip(string text) => InetAddress.Parse(text);
}
