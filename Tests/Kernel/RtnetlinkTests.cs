using System.Text.Json.Nodes;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Route;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Kernel;

/// <summary>What our messages make is what <c>ip -j</c> and <c>bridge -j</c> show, and our dumps read the same.</summary>
public sealed class RtnetlinkTests
{
    private const Rtprot Ours = (Rtprot)79;
    private static readonly MacAddress RemoteVtep = new(0x020000000002);

    private NetnsFixture _net = null!;
    private NetlinkSocket _socket = null!;

    [SetUp]
    public void MakeNamespace()
    {
        _net = NetnsFixture.Create();
        _socket = _net.Open(NetlinkProtocol.NETLINK_ROUTE);
    }

    [TearDown]
    public void EndNamespace()
    {
        _socket?.Dispose();
        _net?.Dispose();
    }

    [Test]
    public void A_veth_has_its_peer_in_the_pods_namespace_from_the_start()
    {
        using var pod = NetnsFixture.Create();
        Do((writer, sequence) => LinkMessage.WriteNewVeth(writer, sequence,
            new LinkSettings { Index = 40, Name = "ovl0", Address = new(0x026f766c0001), Mtu = 1450, Group = 79 },
            new LinkSettings { Index = 2, Name = "eth0", NetnsDescriptor = pod.Netns.Descriptor, Address = new(0x020000000009), Mtu = 1450 }));
        Do((writer, sequence) => LinkMessage.WriteSet(writer, sequence,
            new LinkSettings { Index = 40, Up = true, Alias = "container-1", AddrGenMode = In6AddrGenMode.IN6_ADDR_GEN_MODE_NONE }));

        var host = Json(_net, "ip -j -d link show ovl0")[0]!;
        Assert.That($"{host["ifindex"]} {host["address"]} {host["mtu"]} {host["group"]} {host["ifalias"]} {host["inet6_addr_gen_mode"]} {host["linkinfo"]!["info_kind"]}",
            Is.EqualTo("40 02:6f:76:6c:00:01 1450 79 container-1 none veth"));
        var peer = Json(pod, "ip -j -d link show eth0")[0]!;
        Assert.That($"{peer["ifindex"]} {peer["address"]} {peer["mtu"]}", Is.EqualTo("2 02:00:00:00:00:09 1450"));

        var link = LinkMessage.Get(_socket, "ovl0")!;
        Assert.That(link, Is.EqualTo(LinkMessage.Get(_socket, 40)));
        Assert.That((link.IsUp, link.Alias, link.Group, link.Kind, link.Link, link.Mtu, link.AddrGenMode),
            Is.EqualTo((true, "container-1", 79u, "veth", (int?)2, 1450, (In6AddrGenMode?)In6AddrGenMode.IN6_ADDR_GEN_MODE_NONE)));
    }

    [Test]
    public void Links_of_a_kind_that_the_kernel_does_not_know_are_none() =>
        Assert.That(LinkMessage.Dump(_socket, "no-such-kind"), Is.Empty, "the kernel itself would send all");

    [TestCase("192.0.2.1", "local")]
    [TestCase("2001:db8::1", "local6")]
    public void A_vxlan_link_is_as_asked_for_and_reads_back_equal(string local, string key)
    {
        var wanted = new VxlanLink(4096, 4789, InetAddress.Parse(local)) { UdpCsum = true, UdpZeroCsum6Tx = false, UdpZeroCsum6Rx = false };
        Do((writer, sequence) => LinkMessage.WriteNewVxlan(writer, sequence,
            new LinkSettings { Name = "overlay-vxlan", Address = new(0x02aabbccddee), Mtu = 1450 }, wanted));
        var shown = Json(_net, "ip -j -d link show overlay-vxlan")[0]!;
        var data = shown["linkinfo"]!["info_data"]!;
        Assert.That($"{shown["address"]} {data["id"]} {data["port"]} {data["learning"]} {data[key]}", Is.EqualTo($"02:aa:bb:cc:dd:ee 4096 4789 false {local}"));
        Assert.That(LinkMessage.Dump(_socket, "vxlan").Select(link => (link.Name, link.Vxlan)), Is.EqualTo(new[] { ("overlay-vxlan", wanted) }));
    }

    [Test]
    public void A_link_can_be_given_a_master_an_mtu_an_address_a_name_and_a_namespace()
    {
        using var other = NetnsFixture.Create();
        AddBridge(30, "br0");
        AddVeth(31, "ovl0");
        Do((writer, sequence) => LinkMessage.WriteSet(writer, sequence, new LinkSettings { Index = 31, Master = 30, Mtu = 1400, Address = new(0x02000000000a), Name = "ovl1" }));
        var link = LinkMessage.Get(_socket, 31)!;
        Assert.That((link.Name, link.Master, link.Mtu, link.Address), Is.EqualTo(("ovl1", (int?)30, 1400, (MacAddress?)new MacAddress(0x02000000000a))));
        Do((writer, sequence) => LinkMessage.WriteSet(writer, sequence, new LinkSettings { Index = 31, Master = 0 }));
        Do((writer, sequence) => LinkMessage.WriteSet(writer, sequence, new LinkSettings { Index = 31, NetnsDescriptor = other.Netns.Descriptor }));
        Assert.That(LinkMessage.Get(_socket, "ovl1"), Is.Null);
        Assert.That(Json(other, "ip -j link show ovl1")[0]!["mtu"]!.GetValue<int>(), Is.EqualTo(1400));
    }

    [Test]
    public void A_group_of_links_is_deleted_at_once()
    {
        AddVeth(31, "ovl0");
        AddVeth(33, "ovl1");
        AddBridge(40, "br0");
        foreach (var index in (int[])[31, 33])
            Do((writer, sequence) => LinkMessage.WriteSet(writer, sequence, new LinkSettings { Index = index, Group = 80 }));
        Do((writer, sequence) => LinkMessage.WriteDeleteGroup(writer, sequence, 80));
        Assert.That(LinkMessage.Dump(_socket).Select(link => link.Name), Is.EqualTo(new[] { "lo", "br0" }));
        Do((writer, sequence) => LinkMessage.WriteDelete(writer, sequence, 40));
        Assert.That(LinkMessage.Dump(_socket), Has.Count.EqualTo(1));
    }

    [Test]
    public void An_IPv6_address_without_duplicate_detection_can_be_used_at_once()
    {
        AddVeth(31, "ovl0");
        Do((writer, sequence) => AddressMessage.WriteNew(writer, sequence, Address("10.42.1.5/32")));
        Do((writer, sequence) => AddressMessage.WriteNew(writer, sequence, Address("fd00:42::5/128") with { Flags = IfaF.IFA_F_NODAD }));
        var shown = Json(_net, "ip -j address show ovl0")[0]!["addr_info"]!.AsArray();
        Assert.That(shown.Select(address => $"{address!["local"]}/{address["prefixlen"]} {address["scope"]} {address["tentative"]}"),
            Is.EqualTo(new[] { "10.42.1.5/32 global ", "fd00:42::5/128 global " }));
        Assert.That(AddressMessage.Dump(_socket, 31).Select(address => address.Prefix), Is.EqualTo(new[] { Cidr.Parse("10.42.1.5/32"), Cidr.Parse("fd00:42::5/128") }));

        Do((writer, sequence) => AddressMessage.WriteDelete(writer, sequence, Address("10.42.1.5/32")));
        Do((writer, sequence) => AddressMessage.WriteDelete(writer, sequence, Address("fd00:42::5/128")));
        Assert.That(AddressMessage.Dump(_socket, 31), Is.Empty);
    }

    [Test]
    public void Routes_of_both_families_read_back_as_written_and_are_deleted_by_the_same_record()
    {
        AddVeth(31, "ovl0");

        // Before the namespace has a first IPv4 address there is no table "local", and without it no gateway is valid.
        Do((writer, sequence) => LinkMessage.WriteSet(writer, sequence, new LinkSettings { Index = 1, Up = true }));
        RouteMessage[] routes =
        [
            new() { Destination = Cidr.Parse("10.42.1.0/24"), Type = Rtn.RTN_UNREACHABLE, Protocol = Ours },
            new() { Destination = Cidr.Parse("10.42.1.5/32"), OutputInterface = 31, Protocol = Ours },
            new() { Destination = Cidr.Parse("10.42.2.0/24"), Gateway = InetAddress.Parse("10.42.2.0"), OutputInterface = 31, Flags = RtnhF.RTNH_F_ONLINK, Protocol = Ours },
            new() { Destination = Cidr.Parse("fd00:42::5/128"), OutputInterface = 31, Protocol = Ours },
            new() { Destination = Cidr.Parse("fd00:42:1::/64"), Type = Rtn.RTN_UNREACHABLE, Protocol = Ours },
            new() { Destination = Cidr.Parse("fd00:42:2::/64"), Gateway = InetAddress.Parse("fd00:42:2::"), OutputInterface = 31, Flags = RtnhF.RTNH_F_ONLINK, Protocol = Ours },
        ];
        foreach (var route in routes)
            Do((writer, sequence) => RouteMessage.WriteNew(writer, sequence, route));
        _net.Run("ip route add 10.9.0.0/16 dev ovl0 proto 4");

        Assert.That(Json(_net, "ip -j -4 route show proto 79").Select(Words), Is.EqualTo(new[]
        {
            "unreachable 10.42.1.0/24   ",
            " 10.42.1.5  ovl0 ",
            " 10.42.2.0/24 10.42.2.0 ovl0 onlink",
        }));
        Assert.That(Json(_net, "ip -j -6 route show proto 79").Select(Words), Is.EqualTo(new[]
        {
            " fd00:42::5  ovl0 ",
            "unreachable fd00:42:1::/64  lo ",
            " fd00:42:2::/64 fd00:42:2:: ovl0 onlink",
        }));
        Assert.That(OursInKernel().Select(route => (route.Destination, route.Type, route.Gateway)),
            Is.EqualTo(routes.Select(route => (route.Destination, route.Type, route.Gateway))));

        foreach (var route in routes)
            Do((writer, sequence) => RouteMessage.WriteDelete(writer, sequence, route));
        Assert.That(OursInKernel(), Is.Empty);
        Assert.That(Json(_net, "ip -j -4 route show proto 4"), Has.Count.EqualTo(1), "a foreign route is not shown and not touched");
    }

    [Test]
    public void Replacing_a_route_leaves_one()
    {
        AddVeth(31, "ovl0");
        AddVeth(33, "ovl1");
        foreach (var index in (int[])[31, 33, 33])
            Do((writer, sequence) => RouteMessage.WriteReplace(writer, sequence, new() { Destination = Cidr.Parse("10.42.1.5/32"), OutputInterface = index, Protocol = Ours }));
        Assert.That(OursInKernel().Select(route => route.OutputInterface), Is.EqualTo(new int?[] { 33 }));
    }

    [Test]
    public void A_route_the_kernel_refuses_is_reported_with_its_reason()
    {
        AddVeth(31, "ovl0");
        var route = new RouteMessage { Destination = Cidr.Parse("10.42.2.0/24"), Gateway = InetAddress.Parse("10.42.2.0"), OutputInterface = 31, Protocol = Ours };
        var exception = Assert.Throws<NetlinkException>(() => Do((writer, sequence) => RouteMessage.WriteNew(writer, sequence, route), $"RTM_NEWROUTE {route}"))!;
        Assert.That(exception.Message, Is.EqualTo("RTM_NEWROUTE 10.42.2.0/24 via 10.42.2.0 dev 31 proto 79: ENETUNREACH (\"Nexthop has invalid gateway\")"));
    }

    [Test]
    public void Permanent_neighbours_and_forwarding_entries_read_back_as_written()
    {
        Do((writer, sequence) => LinkMessage.WriteNewVxlan(writer, sequence, new LinkSettings { Index = 20, Name = "vx4", Up = true }, new VxlanLink(4096, 4789, InetAddress.Parse("192.0.2.1"))));
        NeighborMessage[] neighbors =
        [
            NeighborMessage.Permanent(20, InetAddress.Parse("10.42.2.0"), RemoteVtep),
            NeighborMessage.Permanent(20, InetAddress.Parse("fd00:42:2::"), RemoteVtep),
        ];
        var moved = NeighborMessage.Forwarding(20, RemoteVtep, InetAddress.Parse("192.0.2.9"));
        foreach (var neighbor in (NeighborMessage[])[.. neighbors, NeighborMessage.Forwarding(20, RemoteVtep, InetAddress.Parse("192.0.2.2")), moved])
            Do((writer, sequence) => NeighborMessage.WriteReplace(writer, sequence, neighbor));

        Assert.That(Json(_net, "ip -j neighbour show dev vx4 nud permanent").Select(entry => $"{entry!["dst"]} {entry["lladdr"]}"),
            Is.EquivalentTo(new[] { "10.42.2.0 02:00:00:00:00:02", "fd00:42:2:: 02:00:00:00:00:02" }));
        Assert.That(Json(_net, "bridge -j fdb show dev vx4").Select(entry => $"{entry!["mac"]} {entry["dst"]} {entry["state"]}"),
            Is.EqualTo(new[] { "02:00:00:00:00:02 192.0.2.9 permanent" }), "a replaced entry has one destination");
        Assert.That(Permanent(Af.AF_UNSPEC), Is.EquivalentTo(neighbors));
        Assert.That(Permanent(Af.AF_BRIDGE), Is.EqualTo(new[] { moved }));

        foreach (var neighbor in (NeighborMessage[])[.. neighbors, moved])
            Do((writer, sequence) => NeighborMessage.WriteDelete(writer, sequence, neighbor));
        Assert.That(Permanent(Af.AF_UNSPEC), Is.Empty);
        Assert.That(Permanent(Af.AF_BRIDGE), Is.Empty);
    }

    [Test]
    public void Three_thousand_routes_are_written_in_one_batch_and_read_in_one_dump()
    {
        AddVeth(31, "ovl0");
        using var batch = new NetlinkWriter();
        var wanted = Enumerable.Range(0, 3000).Select(i => new Cidr(new InetAddress(Family.IPv4, 0x0a2a0000u + (uint)i), 32)).ToArray();
        foreach (var destination in wanted)
            RouteMessage.WriteNew(batch, _socket.NextSequence(), new() { Destination = destination, OutputInterface = 31, Protocol = Ours });
        Assert.That(_socket.Batch(batch), Is.Empty);
        Assert.That(RouteMessage.Dump(_socket, Family.IPv4, Ours).Select(route => route.Destination), Is.EqualTo(wanted));
    }

    [Test]
    public void A_table_without_routes_is_an_empty_dump() =>
        Assert.That(RouteMessage.Dump(_socket, Family.IPv4, Ours, (RtTable)4711), Is.Empty);

    [Test]
    public void What_is_not_there_is_null_or_an_errno_of_its_own()
    {
        AddVeth(31, "ovl0");
        Assert.That(LinkMessage.Get(_socket, "no-such"), Is.Null);
        Assert.That(Refused((writer, sequence) => LinkMessage.WriteDelete(writer, sequence, 99)), Is.EqualTo(Errno.ENODEV));
        Assert.That(Refused((writer, sequence) => AddressMessage.WriteDelete(writer, sequence, Address("10.0.0.1/32"))), Is.EqualTo(Errno.EADDRNOTAVAIL));
        Assert.That(Refused((writer, sequence) => RouteMessage.WriteDelete(writer, sequence, new() { Destination = Cidr.Parse("10.0.0.0/8"), Protocol = Ours })), Is.EqualTo(Errno.ESRCH));
        Assert.That(Refused((writer, sequence) => NeighborMessage.WriteDelete(writer, sequence, NeighborMessage.Permanent(31, InetAddress.Parse("10.0.0.1"), RemoteVtep))), Is.EqualTo(Errno.ENOENT));
    }

    private static AddressMessage Address(string prefix) => new() { Index = 31, Prefix = Cidr.Parse(prefix) };

    private static string Words(JsonNode? route) => $"{route!["type"]} {route["dst"]} {route["gateway"]} {route["dev"]} {string.Join(' ', route["flags"]!.AsArray().Where(flag => $"{flag}" != "linkdown"))}";

    private static JsonArray Json(NetnsFixture net, string command) => JsonNode.Parse(net.Run(command))!.AsArray();

    private List<RouteMessage> OursInKernel() => [.. RouteMessage.Dump(_socket, Family.IPv4, Ours), .. RouteMessage.Dump(_socket, Family.IPv6, Ours)];

    private IEnumerable<NeighborMessage> Permanent(Af family) =>
        NeighborMessage.Dump(_socket, family, 20).Where(neighbor => (neighbor.State & Nud.NUD_PERMANENT) != 0);

    private void AddBridge(int index, string name) =>
        Do((writer, sequence) => LinkMessage.WriteNewBridge(writer, sequence, new LinkSettings { Index = index, Name = name, Up = true }));

    private void AddVeth(int index, string name)
    {
        Do((writer, sequence) => LinkMessage.WriteNewVeth(writer, sequence, new LinkSettings { Index = index, Name = name }, new LinkSettings { Index = index + 1, Name = name + "-peer" }));
        Do((writer, sequence) => LinkMessage.WriteSet(writer, sequence, new LinkSettings { Index = index, AddrGenMode = In6AddrGenMode.IN6_ADDR_GEN_MODE_NONE }));
        foreach (var end in (int[])[index + 1, index])
            Do((writer, sequence) => LinkMessage.WriteSet(writer, sequence, new LinkSettings { Index = end, Up = true }));
    }

    private Errno Refused(Action<NetlinkWriter, uint> write) => Assert.Throws<NetlinkException>(() => Do(write))!.Errno;

    private void Do(Action<NetlinkWriter, uint> write, string operation = "test")
    {
        using var writer = new NetlinkWriter();
        write(writer, _socket.NextSequence());
        _socket.Request(writer, operation);
    }
}
