using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using Overlay.Dataplane.Desired;
using Overlay.Tests.Oracles;
using PacketDotNet;

namespace Overlay.Tests.Kernel;

/// <summary>What the underlay carries, as libpcap sees it and PacketDotNet decodes it.</summary>
public class WireTests
{
    private const int Port = 7000;
    private static readonly AddressFamily[] Families = [AddressFamily.InterNetwork, AddressFamily.InterNetworkV6];

    private readonly List<IDisposable> _open = [];
    private TestCluster _cluster = null!;
    private ProbeServers _servers = null!;

    [SetUp]
    public void OpenServers() => _open.Add(_servers = new ProbeServers());

    [TearDown]
    public void EndCluster()
    {
        foreach (var item in Enumerable.Reverse(_open))
            item.Dispose();
        _open.Clear();
        _cluster?.Dispose();
    }

    [TestCase(false, 1450)]
    [TestCase(true, 1430)]
    public void Pods_packets_cross_the_underlay_in_the_tunnel_as_they_were_sent(bool ipv6Underlay, int mtu)
    {
        _cluster = TestCluster.Create(2, ipv6Underlay);
        var (web, db) = (_cluster.Nodes[0].AddPod("shop/web"), _cluster.Nodes[1].AddPod("shop/db"));
        var capture = StartCapture();
        foreach (var family in Families)
            Exchange(web, db.Net, new(web.Address(family), db.Address(family), "UDP", Port), mtu - (family == AddressFamily.InterNetwork ? 20 : 40) - 8);

        foreach (var family in Families)
        {
            foreach (var (from, to) in ((TestPod, TestPod)[])[(web, db), (db, web)])
            {
                var packet = Tunnelled.Await(capture, from.Address(family), to.Address(family));
                Assert.That(packet.Outer.Version, Is.EqualTo(ipv6Underlay ? IPVersion.IPv6 : IPVersion.IPv4));
                Assert.That(packet.Outer.SourceAddress, Is.EqualTo(Underlay(from)));
                Assert.That(packet.Outer.DestinationAddress, Is.EqualTo(Underlay(to)));
                Assert.That(packet.OuterUdp.DestinationPort, Is.EqualTo(4789));
                Assert.That(packet.Vxlan.Flags, Is.EqualTo(0x08));
                Assert.That(packet.Vxlan.Vni, Is.EqualTo(4096));
                Assert.That(packet.InnerFrame.SourceHardwareAddress, Is.EqualTo(VtepMac(from)));
                Assert.That(packet.InnerFrame.DestinationHardwareAddress, Is.EqualTo(VtepMac(to)));
                Assert.That(packet.Inner.TimeToLive, Is.EqualTo(63), "one hop so far, the sender's node");
                Assert.That(packet.Inner.TotalPacketLength, Is.EqualTo(mtu));
                Assert.That(packet.Outer.TotalPacketLength, Is.EqualTo(1500), "what is full-size to the pod is full-size on the underlay, to the byte");
                Assert.That((IsFragment(packet.Inner), IsFragment(packet.Outer)), Is.EqualTo((false, false)));
            }
        }

        AssertNoneOutsideTheTunnel(capture, [.. Families.SelectMany(family => (IPAddress[])[web.Address(family), db.Address(family)])]);
    }

    [TestCase(false)]
    [TestCase(true)]
    public void No_packet_of_the_pod_network_is_on_the_underlay_outside_of_the_tunnel(bool ipv6Underlay)
    {
        _cluster = TestCluster.Create(2, ipv6Underlay);
        _cluster.Apply("db.yaml", """{ apiVersion: v1, kind: Pod, metadata: { name: db, namespace: shop, labels: { app: db } } }""");
        var (node, other) = (_cluster.Nodes[0], _cluster.Nodes[1]);
        var (web, db, gone, far) = (node.AddPod("shop/web"), other.AddPod("shop/db"), other.AddPod("shop/gone"), other.AddPod("shop/far"));
        var capture = StartCapture();
        Assert.That(gone.Remove().ExitCode, Is.Zero);
        foreach (var family in Families)
        {
            foreach (var protocol in (string[])["TCP", "UDP", "ICMP"])
            {
                var port = protocol == "ICMP" ? 0 : Port;
                Exchange(web, db.Net, new(web.Address(family), db.Address(family), protocol, port));
                // A process of the node takes whatever address the route gives it: the VTEP's.
                Exchange(node.Net, db.Net, new(Any(family), db.Address(family), protocol, port));
                Send(web, gone.Address(family), protocol);
                Send(node.Net, new(Any(family), gone.Address(family), protocol, port));
                foreach (var nobody in (string[])(family == AddressFamily.InterNetwork ? ["10.42.1.200", "10.42.2.200"] : ["fd00:42:1::200", "fd00:42:2::200"]))
                    Send(web, IPAddress.Parse(nobody), protocol);
            }
        }

        _cluster.Apply("isolated.yaml", """
            apiVersion: networking.k8s.io/v1
            kind: NetworkPolicy
            metadata: { name: db, namespace: shop }
            spec: { podSelector: { matchLabels: { app: db } }, policyTypes: [Ingress, Egress] }
            """);
        TestCluster.Eventually(() => !web.Connects(db.IPv4, Port), "db is isolated", () => other.Log);
        foreach (var family in Families)
        {
            foreach (var protocol in (string[])["TCP", "UDP", "ICMP"])
            {
                Send(web, db.Address(family), protocol);
                Send(db, web.Address(family), protocol);
            }

            // Everything before has passed when this has.
            Exchange(web, far.Net, new(web.Address(family), far.Address(family), "UDP", Port + 1));
            Tunnelled.Await(capture, far.Address(family), web.Address(family));
        }

        Tunnelled.Await(capture, IPAddress.Parse("10.42.1.0"), db.IPv4);
        AssertNoneOutsideTheTunnel(capture, [
            .. Families.SelectMany(family => (IPAddress[])[web.Address(family), db.Address(family), gone.Address(family), far.Address(family)]),
            .. ((string[])["10.42.1.0", "10.42.2.0", "10.42.1.200", "10.42.2.200", "fd00:42:1::", "fd00:42:2::", "fd00:42:1::200", "fd00:42:2::200"]).Select(IPAddress.Parse)]);
    }

    [Test]
    public void Packets_to_a_node_that_has_no_tunnel_from_here_do_not_leave()
    {
        _cluster = TestCluster.Create(1);
        var node = _cluster.Nodes[0];
        _cluster.ApplyNode("other-underlay", ["fd07::5"], ["10.42.5.0/24", "fd00:42:5::/64"]);
        TestCluster.Eventually(() => node.Log.Contains("degraded: Node other-underlay"), "the agent knows the other node", () => node.Log);
        var (web, marker) = (node.AddPod("shop/web"), IPAddress.Parse("203.0.113.9"));
        _cluster.AddOutside(marker);
        var capture = StartCapture();
        Send(web, IPAddress.Parse("10.42.5.9"), "UDP");
        Exchange(web, _cluster.Switch, new(web.IPv4, marker, "UDP", Port));
        capture.Await(frame => frame.Extract<IPPacket>()?.SourceAddress.Equals(marker) == true, "the answer from outside");
        AssertNoneOutsideTheTunnel(capture, [web.IPv4, IPAddress.Parse("10.42.5.9")]);

        var db = _cluster.AddNode("other-underlay", ["192.168.7.5", "fd07::5"], ["10.42.5.0/24", "fd00:42:5::/64"]).AddPod("shop/db");
        foreach (var family in Families)
            Exchange(web, db.Net, new(web.Address(family), db.Address(family), "TCP", Port));
    }

    [Test]
    public void What_leaves_the_pod_network_carries_the_nodes_address_and_only_that()
    {
        _cluster = TestCluster.Create(0);
        for (var i = 1; i <= 2; i++)
            _cluster.AddNode($"node-{i}", [$"192.168.7.{i}", $"fd07::{i}"], [$"10.42.{i}.0/24", $"fd00:42:{i}::/64"]);
        var (node, web) = (_cluster.Nodes[0], _cluster.Nodes[0].AddPod("shop/web"));
        var capture = StartCapture();
        foreach (var (outside, address, cidr, other) in ((string, string, string, string)[])[("203.0.113.9", "192.168.7.1", "10.42.1.0/24", "192.168.7.2"), ("2001:db8:ffff::9", "fd07::1", "fd00:42:1::/64", "fd07::2")])
        {
            var (host, self) = (IPAddress.Parse(outside), IPAddress.Parse(address));
            var pod = web.Address(host.AddressFamily);
            _cluster.AddOutside(host);
            _cluster.Switch.Run($"ip route add {cidr} via {address} dev {TestCluster.Bridge}");
            foreach (var protocol in (string[])["TCP", "UDP", "ICMP"])
                Exchange(web, _cluster.Switch, new(pod, host, protocol, protocol == "ICMP" ? 0 : Port));
            Exchange(web, _cluster.Nodes[1].Net, new(pod, IPAddress.Parse(other), "UDP", Port));
            capture.Await(frame => frame.Extract<IPPacket>()?.SourceAddress.ToString() == other, "the answer of the other node");
            AssertNoneOutsideTheTunnel(capture, [pod]);
            Assert.That(capture.Frames.Select(frame => frame.Extract<IPPacket>()).Where(packet => packet?.DestinationAddress.Equals(host) == true).Select(packet => packet!.SourceAddress), Is.All.EqualTo(self));

            // Who asks a pod from outside is answered by the pod. It also shows that such frames are seen.
            Exchange(_cluster.Switch, web.Net, new(host, pod, "UDP", Port));
            capture.Await(frame => frame.Extract<IPPacket>()?.SourceAddress.Equals(pod) == true, "the pod's own answer");
            Assert.That(capture.Frames.Where(frame => frame.Extract<VxlanPacket>() is null && TellsOf(frame, pod)), Is.Not.Empty);
        }

        Assert.That(node.StopAgent(), Is.Zero);
        node.StartAgent("--masquerade", "false");
        capture.Dispose();
        capture = StartCapture();
        Exchange(web, _cluster.Switch, new(web.IPv4, IPAddress.Parse("203.0.113.9"), "UDP", Port + 1));
        capture.Await(frame => frame.Extract<IPPacket>() is { } packet && packet.SourceAddress.Equals(web.IPv4) && packet.DestinationAddress.ToString() == "203.0.113.9", "without masquerade it is the pod's");
    }

    private Capture StartCapture()
    {
        var capture = Capture.Start(_cluster.Switch, TestCluster.Bridge);
        _open.Add(capture);
        return capture;
    }

    private void Exchange(TestPod from, NetnsFixture to, Flow flow, int payload = 8) => Exchange(from.Net, to, flow, payload);

    private void Exchange(NetnsFixture from, NetnsFixture to, Flow flow, int payload = 8) =>
        _servers.Exchange(flow, from, to, payload, () => string.Join('\n', _cluster.Nodes.Select(node => node.Log)));

    private static void Send(TestPod from, IPAddress to, string protocol) => Send(from.Net, new(from.Address(to.AddressFamily), to, protocol, protocol == "ICMP" ? 0 : Port));

    private static void Send(NetnsFixture from, Flow flow)
    {
        using var probe = Probe.Open(flow, from.Netns);
        probe.Send();
    }

    private static void AssertNoneOutsideTheTunnel(Capture capture, IPAddress[] pods)
    {
        var frames = capture.Frames;
        capture.AssertComplete();
        Assert.That(frames.Where(frame => frame.Extract<VxlanPacket>() is null && pods.Any(pod => TellsOf(frame, pod))).Select(frame => frame.PrintHex()), Is.Empty);
    }

    // Wherever in the frame the address is: IP header, ARP, neighbour discovery, the packet that an ICMP error quotes.
    private static bool TellsOf(EthernetPacket frame, IPAddress address) => frame.Bytes.AsSpan().IndexOf(address.GetAddressBytes()) >= 0;

    private static bool IsFragment(IPPacket packet) => packet switch
    {
        IPv4Packet ipv4 => ipv4.FragmentOffset != 0 || (ipv4.FragmentFlags & 1) != 0,
        _ => packet.Protocol == PacketDotNet.ProtocolType.IPv6FragmentHeader,
    };

    private static IPAddress Any(AddressFamily family) => family == AddressFamily.InterNetwork ? IPAddress.Any : IPAddress.IPv6Any;

    private static IPAddress Underlay(TestPod pod) => IPAddress.Parse(pod.Node.Addresses[0]);

    private static PhysicalAddress VtepMac(TestPod pod) => PhysicalAddress.Parse(Ownership.VtepMac(pod.Node.Name).ToString());

    /// <summary>A packet in the tunnel, layer by layer.</summary>
    private sealed record Tunnelled(IPPacket Outer, UdpPacket OuterUdp, VxlanPacket Vxlan, EthernetPacket InnerFrame, IPPacket Inner)
    {
        /// <summary>The first one between two pods, which comes or has come.</summary>
        public static Tunnelled Await(Capture capture, IPAddress from, IPAddress to)
        {
            bool Wanted(EthernetPacket frame) => Of(frame) is { } packet && packet.Inner.SourceAddress.Equals(from) && packet.Inner.DestinationAddress.Equals(to);
            capture.Await(Wanted, $"a packet from {from} to {to} in the tunnel");
            return Of(capture.Frames.First(Wanted))!;
        }

        private static Tunnelled? Of(EthernetPacket frame) => frame.Extract<VxlanPacket>() is { PayloadPacket: EthernetPacket inner } vxlan
            ? new(frame.Extract<IPPacket>(), frame.Extract<UdpPacket>(), vxlan, inner, inner.Extract<IPPacket>())
            : null;
    }
}
