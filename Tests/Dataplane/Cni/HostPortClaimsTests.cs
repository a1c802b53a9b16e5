using Overlay.CniShim.Protocol;
using Overlay.Dataplane.Cni;
using Overlay.PolicyEngine.Model;
using Attachment = Overlay.Dataplane.Desired.Attachment;

namespace Overlay.Tests.Dataplane.Cni;

/// <summary>Port mappings of a runtime as host ports of a pod, and who may have them.</summary>
public class HostPortClaimsTests
{
    private static readonly InetAddress IPv4 = InetAddress.Parse("10.42.1.5"), IPv6 = InetAddress.Parse("fd00:42:1::5"), Node = InetAddress.Parse("192.0.2.1");

    [Test]
    public void Without_an_address_a_port_is_at_every_address_of_both_families() =>
        Assert.That(Read(Of(8080, 80)), Is.EqualTo(new HostPort[] { new(IpProtocol.Tcp, 8080, null, IPv4, 80), new(IpProtocol.Tcp, 8080, null, IPv6, 80) }));

    [Test]
    public void An_unspecified_address_means_all_of_its_family() => Assert.Multiple(() =>
    {
        Assert.That(Read(Of(53, 5353, "UDP", "0.0.0.0")), Is.EqualTo(new HostPort[] { new(IpProtocol.Udp, 53, null, IPv4, 5353) }));
        Assert.That(Read(Of(53, 5353, "Sctp", "::")), Is.EqualTo(new HostPort[] { new(IpProtocol.Sctp, 53, null, IPv6, 5353) }));
    });

    [Test]
    public void An_address_means_itself_alone() => Assert.That(Read(Of(8080, 80, at: "192.0.2.1")), Is.EqualTo(new HostPort[] { new(IpProtocol.Tcp, 8080, Node, IPv4, 80) }));

    [Test]
    public void Port_0_asks_for_nothing() => Assert.That(Read(Of(0, 80), Of(0, 0, "icmp", "nowhere")), Is.Empty);

    [Test]
    public void What_is_asked_for_twice_is_had_once() => Assert.That(Read(Of(8080, 80), Of(8080, 80)), Has.Count.EqualTo(2));

    [Test]
    public void A_pod_may_have_one_port_at_one_address_and_another_at_all_others() => Assert.That(Read(Of(8080, 80), Of(8080, 81, at: "192.0.2.1")), Has.Count.EqualTo(3));

    [TestCase(-1, 80, "tcp", "", "hostPort -1 is not from 1 to 65535")]
    [TestCase(65536, 80, "tcp", "", "hostPort 65536 is not from 1 to 65535")]
    [TestCase(80, 0, "tcp", "", "containerPort 0 of hostPort 80 is not from 1 to 65535")]
    [TestCase(80, 65536, "tcp", "", "containerPort 65536 of hostPort 80 is not from 1 to 65535")]
    [TestCase(80, 80, "icmp", "", "protocol \"icmp\" of hostPort 80 is not tcp, udp or sctp")]
    [TestCase(80, 80, "6", "", "protocol \"6\" of hostPort 80 is not tcp, udp or sctp")]
    [TestCase(80, 80, "tcp", "node-1", "hostIP \"node-1\" of hostPort 80 is no address")]
    [TestCase(4789, 80, "udp", "", "host port udp/4789 is that of the tunnels between nodes; choose another")]
    public void What_cannot_be_is_refused(int hostPort, int containerPort, string protocol, string at, string fault) =>
        Assert.That(Fault([Of(hostPort, containerPort, protocol, at)]), Is.EqualTo(fault));

    [Test]
    public void A_family_that_the_pod_has_not_is_refused_where_an_address_of_it_is_asked_for() => Assert.Multiple(() =>
    {
        Assert.That(HostPortClaims.Read([Of(80, 80, at: "2001:db8::1")], [IPv4], [], 4789, out _), Is.EqualTo("hostPort 80 is asked for at 2001:db8::1, and the pod has no address of that family"));
        Assert.That(HostPortClaims.Read([Of(80, 80, at: "::")], [IPv4], [], 4789, out var ports), Is.Null);
        Assert.That(ports, Is.Empty);
    });

    [Test]
    public void One_port_for_two_ports_of_the_pod_is_refused() =>
        Assert.That(Fault([Of(8080, 80), Of(8080, 81)]), Is.EqualTo("host port tcp/8080 is asked for twice, for different ports of the pod"));

    [TestCase("", true)]
    [TestCase("0.0.0.0", true)]
    [TestCase("192.0.2.1", true)]
    [TestCase("192.0.2.2", false)]
    [TestCase("::", false)]
    public void A_port_of_another_pod_is_refused_where_the_two_overlap(string at, bool refused) => Assert.That(
        Fault([Of(8080, 80, at: at)], new HostPort(IpProtocol.Tcp, 8080, Node, InetAddress.Parse("10.42.1.9"), 80)),
        Is.EqualTo(refused ? $"host port tcp/8080{(at == "192.0.2.1" ? " at 192.0.2.1" : "")} is taken by pod shop/first (container c1); DEL that container, or choose another port" : null));

    [Test]
    public void The_same_number_of_another_protocol_is_another_port() =>
        Assert.That(Fault([Of(8080, 80, "udp")], new HostPort(IpProtocol.Tcp, 8080, null, InetAddress.Parse("10.42.1.9"), 80)), Is.Null);

    private static PortMapping Of(int hostPort, int containerPort, string protocol = "tcp", string at = "") => new() { HostPort = hostPort, ContainerPort = containerPort, Protocol = protocol, HostIP = at };

    private static EquatableArray<HostPort> Read(params PortMapping[] mappings)
    {
        Assert.That(HostPortClaims.Read(mappings, [IPv4, IPv6], [], 4789, out var ports), Is.Null);
        return ports;
    }

    private static string? Fault(PortMapping[] mappings, params HostPort[] taken) => HostPortClaims.Read(
        mappings, [IPv4, IPv6], [new Attachment("c1", "eth0", new("shop", "first"), "", "", "ovl1", default, [], "overlay") { HostPorts = new(taken) }], 4789, out _);
}
