using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Kernel;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Kernel;

public class RoutingTests
{
    private static readonly InetAddress NodeA = InetAddress.Parse("192.168.7.1");
    private static readonly InetAddress NodeB = InetAddress.Parse("192.168.7.2");
    private NetnsFixture _net = null!;

    [SetUp]
    public void MakeNamespace()
    {
        _net = NetnsFixture.Create();
        _net.Run("ip link add uplink type veth peer name far");
        _net.Run("ip link set uplink up");
        _net.Run("ip address add 192.168.7.1/24 dev uplink");
    }

    [TearDown]
    public void RemoveNamespace() => _net?.Dispose();

    [Test]
    public void Rows_are_what_ip_and_bridge_print()
    {
        using var kernel = Open(Rows());
        Assert.That(kernel.Routing.Apply(), Is.Empty);

        Assert.That(_net.Run("ip -d link show overlay-vxlan"), Does.Contain("vxlan id 4096 local 192.168.7.1").And.Contain("dstport 4789").And.Contain("nolearning").And.Contain("mtu 1450").And.Contain("02:00:00:00:00:0a").And.Contain(",UP"));
        Assert.That(_net.Run("ip address show dev overlay-vxlan"), Does.Contain("inet 10.42.0.0/32").And.Contain("inet6 fd00:42::/128").And.Not.Contain("fe80").And.Not.Contain("tentative"));
        Assert.That(_net.Run("ip neigh show dev overlay-vxlan"), Does.Contain("10.42.1.0 lladdr 02:00:00:00:00:0b PERMANENT").And.Contain("fd00:42:1:: lladdr 02:00:00:00:00:0b PERMANENT"));
        Assert.That(_net.Run("bridge fdb show dev overlay-vxlan"), Does.Contain("02:00:00:00:00:0b dst 192.168.7.2 self permanent"));
        Assert.That(Lines(_net.Run("ip route show proto 79")), Is.EquivalentTo(new[] { "unreachable 10.42.0.0/24", "10.42.1.0/24 via 10.42.1.0 dev overlay-vxlan onlink" }));
        Assert.That(_net.Run("ip -6 route show proto 79"), Does.Contain("unreachable fd00:42::/64").And.Contain("fd00:42:1::/64 via fd00:42:1:: dev overlay-vxlan"));
    }

    [Test]
    public void A_restarted_agent_finds_everything_done()
    {
        using (var first = Open(Rows()))
            Assert.That(first.Routing.Apply(), Is.Empty);
        using var second = Open(Rows());
        Assert.That(second.Routing.PendingCount, Is.Zero, string.Join('\n', second.Routing.Apply()));
    }

    [Test]
    public void What_somebody_removes_is_found_and_put_back()
    {
        using var kernel = Open(Rows());
        kernel.Routing.Apply();
        _net.Run("ip route del 10.42.1.0/24");
        _net.Run("ip neigh del fd00:42:1:: dev overlay-vxlan");
        _net.Run("bridge fdb del 02:00:00:00:00:0b dev overlay-vxlan dst 192.168.7.2");

        var drift = kernel.Routing.Resync();
        Assert.That(drift, Has.Count.EqualTo(3), string.Join('\n', drift));
        Assert.That(drift, Has.Some.Contains("10.42.1.0/24 via 10.42.1.0 dev overlay-vxlan"));
        Assert.That(kernel.Routing.Apply(), Is.Empty);
        Assert.That(kernel.Routing.Resync(), Is.Empty);
        Assert.That(_net.Run("ip route show proto 79"), Does.Contain("10.42.1.0/24"));
    }

    [Test]
    public void A_device_that_vanished_comes_back_with_all_that_was_on_it()
    {
        using var kernel = Open(Rows());
        kernel.Routing.Apply();
        _net.Run("ip link del overlay-vxlan");

        Assert.That(kernel.Routing.Resync(), Is.Not.Empty);
        Assert.That(kernel.Routing.Apply(), Is.Empty);
        Assert.That(kernel.Routing.PendingCount, Is.Zero);
        Assert.That(_net.Run("bridge fdb show dev overlay-vxlan"), Does.Contain("dst 192.168.7.2"));
    }

    [Test]
    public void Another_vni_makes_the_device_anew_and_another_mtu_does_not()
    {
        using var kernel = Open(Rows());
        kernel.Routing.Apply();
        var index = Index();

        var links = Rows().Links;
        kernel.Want(Rows() with { Links = [links[0] with { Mtu = 1400 }] });
        Assert.That(kernel.Routing.Apply(), Is.Empty);
        Assert.That(Index(), Is.EqualTo(index));
        Assert.That(_net.Run("ip link show overlay-vxlan"), Does.Contain("mtu 1400"));

        kernel.Want(Rows() with { Links = [links[0] with { Kind = new LinkKind.Vxlan(5000, 4789, NodeA) }] });
        Assert.That(kernel.Routing.Apply(), Is.Empty);
        Assert.That(kernel.Routing.PendingCount, Is.Zero);
        Assert.That(_net.Run("ip -d link show overlay-vxlan"), Does.Contain("vxlan id 5000"));
        Assert.That(_net.Run("ip route show proto 79"), Does.Contain("10.42.1.0/24 via 10.42.1.0 dev overlay-vxlan"));
    }

    [Test]
    public void Rows_no_longer_wanted_go_and_nobody_elses_do()
    {
        _net.Run("ip route add 10.99.0.0/16 via 192.168.7.9 dev uplink proto 80");
        _net.Run("ip link add foreign type vxlan id 77 dstport 8472 local 192.168.7.1");
        using var kernel = Open(Rows());
        kernel.Routing.Apply();

        kernel.Want(NodeRows.Empty);
        Assert.That(kernel.Routing.Apply(), Is.Empty);
        Assert.That(_net.Run("ip route show proto 79") + _net.Run("ip -6 route show proto 79"), Is.Empty);
        Assert.That(_net.TryRun("ip link show overlay-vxlan").ExitCode, Is.Not.Zero);
        Assert.That(_net.Run("ip route show"), Does.Contain("10.99.0.0/16"));
        Assert.That(_net.Run("ip link show foreign"), Does.Contain("foreign"));
    }

    [Test]
    public void A_strangers_route_is_reported_not_replaced_and_stops_no_other()
    {
        _net.Run("ip route add 10.42.1.0/24 via 192.168.7.9 dev uplink proto 80");
        using var kernel = Open(Rows());
        var failures = kernel.Routing.Apply();

        Assert.That(failures, Has.Count.EqualTo(1));
        Assert.That(failures[0].ToString(), Does.Contain("10.42.1.0/24").And.Contain("EEXIST"));
        Assert.That(_net.Run("ip route show 10.42.1.0/24"), Does.Contain("192.168.7.9"));
        Assert.That(_net.Run("ip -6 route show proto 79"), Does.Contain("fd00:42:1::/64"));

        _net.Run("ip route del 10.42.1.0/24");
        Assert.That(kernel.Routing.Apply(), Is.Empty);
        Assert.That(_net.Run("ip route show 10.42.1.0/24"), Does.Contain("overlay-vxlan"));
    }

    [Test]
    public void A_stranger_with_our_devices_name_is_reported_not_replaced()
    {
        _net.Run("ip link add overlay-vxlan type bridge");
        using var kernel = Open(Rows());
        Assert.That(kernel.Routing.Apply().Select(failure => failure.Reason), Has.Some.Contains("a device of kind bridge has our name"));
        Assert.That(_net.Run("ip -d link show overlay-vxlan"), Does.Contain("bridge"));
    }

    [Test]
    public void Another_tunnel_of_the_same_VNI_and_port_is_named_and_left_alone()
    {
        _net.Run("ip link add vxlan.other type vxlan id 4096 dstport 4789 local 192.168.7.1 nolearning");
        using var kernel = Open(Rows());
        Assert.That(kernel.Routing.Apply().Select(failure => failure.Reason), Has.Some.Contains("device vxlan.other is such a tunnel already").And.Some.Contains("or set another vxlan.vni"));
        _net.Run("ip link delete vxlan.other");
        Assert.That(kernel.Routing.Apply(), Is.Empty);
        Assert.That(_net.Run("ip -d link show overlay-vxlan"), Does.Contain("vxlan id 4096"));

        _net.Run("ip link add vxlan.other type vxlan id 5000 dstport 4789 local 192.168.7.1 nolearning");
        kernel.Want(Rows() with { Links = [Rows().Links[0] with { Kind = new LinkKind.Vxlan(5000, 4789, NodeA) }] });
        Assert.That(kernel.Routing.Apply(), Is.Not.Empty);
        Assert.That(_net.Run("ip -d link show overlay-vxlan"), Does.Contain("vxlan id 4096"), "the one that is there goes on");
    }

    private static string[] Lines(string text) => text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line.Trim()).ToArray();

    private static NodeRows Rows()
    {
        var (macA, macB) = (new MacAddress(0x02_00_00_00_00_0a), new MacAddress(0x02_00_00_00_00_0b));
        var device = Ownership.VxlanDevice;
        var (v4, v6) = (InetAddress.Parse("10.42.1.0"), InetAddress.Parse("fd00:42:1::"));
        return new(
            [new(device, new LinkKind.Vxlan(4096, 4789, NodeA), macA, 1450)],
            [new(device, Cidr.Parse("10.42.0.0/32")), new(device, Cidr.Parse("fd00:42::/128"))],
            [new(new(device, v4), macB), new(new(device, v6), macB)],
            [new(new(device, macB), NodeB)],
            [
                new(Cidr.Parse("10.42.0.0/24"), RouteType.Unreachable, null, null),
                new(Cidr.Parse("fd00:42::/64"), RouteType.Unreachable, null, null),
                new(Cidr.Parse("10.42.1.0/24"), RouteType.Unicast, device, v4),
                new(Cidr.Parse("fd00:42:1::/64"), RouteType.Unicast, device, v6),
            ]);
    }

    private NodeKernel Open(NodeRows rows)
    {
        var kernel = _net.Netns.Run(NodeKernel.Open);
        kernel.Want(rows);
        kernel.Routing.Resync();
        return kernel;
    }

    private string Index() => _net.Run("ip link show overlay-vxlan").Split(':')[0];
}
