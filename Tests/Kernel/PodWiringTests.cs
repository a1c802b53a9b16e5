using System.Net;
using System.Net.Sockets;
using Overlay.Dataplane.Cni;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Kernel;
using Overlay.Dataplane.Netlink;
using Overlay.PolicyEngine.Model;
using IpamAddress = Overlay.CniShim.Protocol.IpamAddress;

namespace Overlay.Tests.Kernel;

public class PodWiringTests
{
    private NetnsFixture _node = null!;
    private NetnsFixture _pod = null!;
    private NodeKernel _kernel = null!;
    private PodWiring _wiring = null!;
    private PodCheck _check = null!;

    [SetUp]
    public void MakeNodeAndPod()
    {
        _node = NetnsFixture.Create();
        _pod = NetnsFixture.Create();
        _node.Run("ip link set lo up");
        _kernel = _node.Netns.Run(NodeKernel.Open);
        _wiring = new(_kernel);
        _check = new(_kernel);
    }

    [TearDown]
    public void RemoveBoth()
    {
        _kernel?.Dispose();
        _pod?.Dispose();
        _node?.Dispose();
    }

    [Test]
    public void A_wired_pod_has_its_addresses_at_once_and_reaches_its_gateway()
    {
        var pod = Attachment();
        Wire(pod);

        Assert.That(_pod.Run("ip address show dev eth0"), Does.Contain("inet 10.42.0.5/32").And.Contain("inet6 fd00:42::5/128").And.Contain("mtu 1450").And.Contain(pod.PodMac.ToString()));
        Assert.That(_pod.Run("ip -6 address show dev eth0 scope global tentative"), Is.Empty, "an address that waits for duplicate detection");
        Assert.That(_pod.Run("ip route show"), Does.Contain("default via 169.254.1.1 dev eth0"));
        Assert.That(_pod.Run("ip -6 route show"), Does.Contain("default via fe80::1 dev eth0"));
        Assert.That(_pod.Run("ip neigh show dev eth0"), Does.Contain("169.254.1.1 lladdr 02:6f:76:6c:00:01 PERMANENT").And.Contain("fe80::1 lladdr 02:6f:76:6c:00:01 PERMANENT"));
        Assert.That(_node.Run("ip route show"), Does.Contain($"10.42.0.5 dev {pod.HostInterface} proto 79 scope link"));
        Assert.That(_node.Run($"ip -d link show {pod.HostInterface}"), Does.Contain("alias shop/web container-1"));

        _node.Run("ip address add 10.42.0.0/32 dev lo");
        AssertConnects("10.42.0.0");
        _node.Run("ip address add fd00:42::/128 dev lo");
        AssertConnects("fd00:42::");
        EnableForwarding(); // not before: a router takes fd00:42::/128 for an anycast address
        Assert.That(Damage(pod), Is.Empty);
    }

    [Test]
    public void A_second_interface_leaves_the_first_its_way_out_and_is_one_when_that_goes()
    {
        var first = Attachment();
        var second = first with
        {
            IfName = "net1",
            HostInterface = Ownership.PodInterface("container-1", "net1"),
            PodMac = Ownership.PodMac("container-1", "net1"),
            Addresses = [InetAddress.Parse("10.42.0.6"), InetAddress.Parse("fd00:42::6")],
        };
        Wire(first);
        _wiring.Wire(second, 1450);
        AssertWayOut("eth0");
        _wiring.Unwire(second.HostInterface);
        _kernel.Retired.Flush();
        AssertWayOut("eth0");

        _wiring.Wire(second, 1450);
        _wiring.Unwire(first.HostInterface);
        _kernel.Retired.Flush();
        AssertWayOut("net1");

        void AssertWayOut(string device)
        {
            foreach (var elsewhere in (string[])["192.0.2.1", "2001:db8::1"])
                Assert.That(_pod.Run($"ip route get {elsewhere}"), Does.Contain($" dev {device} "));
        }
    }

    [Test]
    public void Another_providers_way_out_stays()
    {
        _pod.Run("ip link add other type veth peer name far");
        _pod.Run("ip link set other up");
        _pod.Run("ip address add 198.51.100.2/24 dev other");
        _pod.Run("ip route add default via 198.51.100.1 dev other");
        Wire(Attachment());
        Assert.That(_pod.Run("ip route get 192.0.2.1"), Does.Contain(" dev other "));
        Assert.That(_pod.Run("ip route get 2001:db8::1"), Does.Contain(" dev eth0 "), "of a family that it has none for");
    }

    [Test]
    public void Unwiring_leaves_nothing_and_is_no_failure_the_second_time()
    {
        var pod = Attachment();
        Wire(pod);
        _wiring.Unwire(pod.HostInterface);
        _wiring.Unwire(pod.HostInterface);
        Assert.That(_node.Run($"ip -o link show {pod.HostInterface}"), Does.Contain("state DOWN").And.Match("group (7304812|0x6f766c)"), "out of service at once");
        _kernel.Retired.Flush();
        _kernel.Retired.Flush();
        Assert.That(_node.Run("ip -o link show"), Does.Not.Contain("ovl"));
        Assert.That(_pod.TryRun("ip link show eth0").ExitCode, Is.Not.Zero);
        Assert.That(_node.Run("ip route show proto 79"), Is.Empty);
    }

    [Test]
    public void What_an_interrupted_add_left_behind_is_replaced()
    {
        var pod = Attachment();
        Wire(pod);
        Wire(pod);
        EnableForwarding();
        Assert.That(Damage(pod), Is.Empty);
    }

    [Test]
    public void An_interface_of_that_name_in_the_pod_is_refused_and_kept()
    {
        _pod.Run("ip link add eth0 type bridge");
        var error = Assert.Throws<NetlinkException>(() => _wiring.Wire(Attachment(), 1450))!;
        Assert.That(error.Message, Does.Contain("already has an interface eth0"));
        Assert.That(_pod.Run("ip -d link show eth0"), Does.Contain("bridge"));
        Assert.That(_node.Run("ip -o link show"), Does.Not.Contain("ovl"));
    }

    [Test]
    public void A_namespace_that_is_gone_or_the_hosts_own_is_refused_before_anything_is_made()
    {
        Assert.Throws<NetnsException>(() => _wiring.Wire(Attachment() with { NetnsPath = "/run/netns/overlay-test-no-such" }, 1450));
        Assert.Throws<NetnsException>(() => _wiring.Wire(Attachment() with { NetnsPath = "/proc/self/ns/net" }, 1450));
        Assert.Throws<NetnsException>(() => _wiring.Wire(Attachment() with { NetnsPath = "/etc/hostname" }, 1450));
        Assert.That(_node.Run("ip -o link show"), Does.Not.Contain("ovl"));
    }

    // Some runtimes do that to every new namespace.
    [Test]
    public void IPv6_that_is_switched_off_in_the_pods_namespace_is_switched_on()
    {
        _pod.Run("sysctl -q -w net.ipv6.conf.default.disable_ipv6=1");
        var pod = Attachment();
        Wire(pod);
        Assert.That(_pod.Run("ip -6 address show dev eth0 scope global"), Does.Contain("inet6 fd00:42::5/128"));
        Assert.That(_pod.Run("ip -6 route show"), Does.Contain("default via fe80::1 dev eth0"));
        Assert.That(_pod.Run("ip -4 route show"), Does.Contain("default via 169.254.1.1 dev eth0"));
    }

    [Test]
    public void A_pod_of_one_family_gets_only_that_family()
    {
        var pod = Attachment() with { Addresses = [InetAddress.Parse("fd00:42::5")] };
        Wire(pod);
        Assert.That(_pod.Run("ip -4 route show"), Is.Empty);
        Assert.That(_pod.Run("ip -6 route show"), Does.Contain("default via fe80::1"));
        EnableForwarding();
        Assert.That(Damage(pod), Is.Empty);
    }

    [Test]
    public void A_pod_has_all_addresses_that_it_is_given()
    {
        var pod = Attachment() with { Addresses = [InetAddress.Parse("10.42.0.5"), InetAddress.Parse("10.43.0.5"), InetAddress.Parse("fd00:42::5"), InetAddress.Parse("fd00:43::5")] };
        Wire(pod);
        EnableForwarding();
        Assert.That(Damage(pod), Is.Empty);
        Assert.That(_pod.Run("ip route show"), Does.StartWith("default via 169.254.1.1 dev eth0"));
    }

    // As an agent, which lives in its node's namespace.
    private IReadOnlyList<string> Damage(Attachment pod) => _node.Netns.Run(() => _check.Damage(new() { Command = "CHECK", Addresses = [.. pod.Addresses.Select(address => new IpamAddress { Address = Cidr.Host(address).ToString() })] }, pod));

    private void EnableForwarding() => _node.Run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");

    private void AssertConnects(string nodeAddress)
    {
        var address = IPAddress.Parse(nodeAddress);
        using var listener = _node.Netns.Run(() =>
        {
            var server = new TcpListener(address, 8080);
            server.Start();
            return server;
        });
        _pod.Netns.Run(() =>
        {
            using var client = new TcpClient(address.AddressFamily);
            Assert.DoesNotThrow(() => client.Connect(address, 8080));
        });
    }

    private Attachment Attachment() => new(
        "container-1",
        "eth0",
        new("shop", "web"),
        "",
        _pod.Path,
        Ownership.PodInterface("container-1", "eth0"),
        Ownership.PodMac("container-1", "eth0"),
        [InetAddress.Parse("10.42.0.5"), InetAddress.Parse("fd00:42::5")],
        "overlay");

    private void Wire(Attachment pod)
    {
        _wiring.Wire(pod, 1450);
        _kernel.Want(NodeRows.Empty with
        {
            Routes = pod.Addresses.Select(address => new Route(Cidr.Host(address), RouteType.Unicast, pod.HostInterface, null)).ToEquatableArray(),
            Neighbors = pod.Addresses.Select(address => new Neighbor(new(pod.HostInterface, address), pod.PodMac)).ToEquatableArray(),
        });
        _kernel.Routing.Resync();
        _wiring.Route(pod);
    }
}
