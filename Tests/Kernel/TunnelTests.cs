using System.Net;
using System.Net.Sockets;
using Overlay.Dataplane.Desired;
using Overlay.PolicyEngine.Model;
using Overlay.Tests.Guest;
using Overlay.Tests.Oracles;
using PacketDotNet;
using ProtocolType = System.Net.Sockets.ProtocolType;

namespace Overlay.Tests.Kernel;

/// <summary>
/// Three nodes and a pod on each, and every way between them, with real packets: node-1 and node-2 are of one subnet, node-3 is of another. A fixture for each encapsulation; those that this
/// machine's kernel may lack run in the guest.
/// </summary>
/// <param name="encapsulation">Of all nodes.</param>
/// <param name="crossSubnet">Of all nodes.</param>
/// <param name="underlay">The families that the nodes have addresses of.</param>
public abstract class TunnelTests(Encapsulation encapsulation, bool crossSubnet, params AddressFamily[] underlay)
{
    private const int Port = 7000;
    private const int Full = 1500;
    private static readonly AddressFamily[] Families = [AddressFamily.InterNetwork, AddressFamily.InterNetworkV6];

    private TestCluster _cluster = null!;
    private ProbeServers _servers = null!;
    private TestPod[] _pods = null!;

    private static IEnumerable<TestCaseData> Ways =>
        from family in Families
        from pair in ((int From, int To)[])[(0, 1), (0, 2), (2, 1)]
        select new TestCaseData(family, pair.From, pair.To).SetArgDisplayNames(family.ToString(), $"node-{pair.From + 1}", $"node-{pair.To + 1}");

    [OneTimeSetUp]
    public void Build()
    {
        if (Guest.Guest.Keeps(this))
            return;
        _servers = new();
        _cluster = TestCluster.CreateEmpty();
        _cluster.Configuration = new() { Encapsulation = encapsulation, CrossSubnet = crossSubnet };
        for (var i = 1; i <= Nodes; i++)
        {
            string[] addresses = [.. underlay.Select(family => family == AddressFamily.InterNetwork ? $"192.168.{Subnet(i)}.{i}" : $"fd0{Subnet(i)}::{i}")];
            _cluster.ApplyNode($"node-{i}", addresses, [$"10.42.{i}.0/24", $"fd00:42:{i}::/64"]);
            _cluster.Join($"node-{i}", addresses);
        }

        Parallel.ForEach(_cluster.Nodes, node => node.StartAgent("--encapsulation", encapsulation.ToString().ToLowerInvariant(), "--cross-subnet", crossSubnet ? "true" : "false"));
        _pods = [.. _cluster.Nodes.Select((node, i) => node.AddPod($"shop/pod-{i + 1}"))];
        for (var i = 1; i <= Nodes; i++)
            _cluster.Apply($"pod-{i}.yaml", $$"""{ apiVersion: v1, kind: Pod, metadata: { name: pod-{{i}}, namespace: shop, labels: { number: "{{i}}" } } }""");
    }

    [OneTimeTearDown]
    public void End()
    {
        _servers?.Dispose();
        _cluster?.Dispose();
    }

    // Plain routes reach one subnet only.
    private int Nodes => encapsulation == Encapsulation.None ? 2 : 3;

    private static int Subnet(int node) => node == 3 ? 8 : 7;

    private bool IsDirect(int from, int to) => encapsulation == Encapsulation.None || (crossSubnet && Subnet(from + 1) == Subnet(to + 1));

    private AddressFamily Outer => underlay[0];

    private int Mtu => Full - PeerRows.Overhead(encapsulation, Outer == AddressFamily.InterNetwork ? Family.IPv4 : Family.IPv6);

    [TestCaseSource(nameof(Ways))]
    public void Full_size_packets_cross_whole_and_as_the_encapsulation_has_them(AddressFamily family, int from, int to)
    {
        if (to >= Nodes || from >= Nodes)
            Assert.Pass("there is no third node: plain routes reach one subnet only");
        var (sender, receiver) = (_pods[from], _pods[to]);
        using var capture = Capture.Start(_cluster.Switch, TestCluster.Bridge);
        Exchange(sender.Net, receiver.Net, new(sender.Address(family), receiver.Address(family), "UDP", Port), Mtu - (family == AddressFamily.InterNetwork ? 20 : 40) - 8);
        foreach (var (one, other) in ((TestPod, TestPod)[])[(sender, receiver), (receiver, sender)])
        {
            bool IsWanted(EthernetPacket frame) => Inner(frame) is { } packet && packet.SourceAddress.Equals(one.Address(family)) && packet.DestinationAddress.Equals(other.Address(family)) && packet.TotalPacketLength == Mtu;
            capture.Await(IsWanted, $"a full-size packet of {Mtu} bytes from {one.Name} to {other.Name}");
            var frame = capture.Frames.First(IsWanted);
            var outer = frame.Extract<IPPacket>();
            if (IsDirect(from, to))
            {
                Assert.That(outer, Is.SameAs(Inner(frame)), "no tunnel");
                continue;
            }

            Assert.That(outer, Is.Not.SameAs(Inner(frame)));
            Assert.That(outer.Version == IPVersion.IPv4, Is.EqualTo(Outer == AddressFamily.InterNetwork));
            Assert.That((outer.SourceAddress.ToString(), outer.DestinationAddress.ToString()), Is.EqualTo((one.Node.Addresses[0], other.Node.Addresses[0])));
            Assert.That(outer.TotalPacketLength, Is.EqualTo(Full), "what is full-size to the pod is full-size on the underlay, to the byte");
            Assert.That(outer.Protocol, Is.EqualTo(encapsulation == Encapsulation.Vxlan ? PacketDotNet.ProtocolType.Udp : family == AddressFamily.InterNetwork ? PacketDotNet.ProtocolType.IPv4 : PacketDotNet.ProtocolType.IPv6));
            if (Inner(frame) is IPv4Packet inside)
                Assert.That(inside.FragmentFlags & 2, Is.EqualTo(2), "don't fragment");
        }

        capture.AssertComplete();
    }

    [TestCaseSource(nameof(Families))]
    public void A_node_and_pods_of_other_nodes_reach_each_other(AddressFamily family)
    {
        for (var i = 1; i < Nodes; i++)
        {
            foreach (var protocol in (string[])["TCP", "UDP", "ICMP"])
            {
                var port = protocol == "ICMP" ? 0 : Port + 1;
                if (encapsulation == Encapsulation.None && !underlay.Contains(family))
                    continue; // the node has no address of that family at all
                Exchange(_cluster.Nodes[0].Net, _pods[i].Net, new(family == AddressFamily.InterNetwork ? IPAddress.Any : IPAddress.IPv6Any, _pods[i].Address(family), protocol, port));
                if (underlay.Contains(family))
                    Exchange(_pods[0].Net, _cluster.Nodes[i].Net, new(_pods[0].Address(family), Underlay(i, family), protocol, port));
            }
        }
    }

    [Test]
    public void Policy_holds_over_every_way()
    {
        _cluster.Apply("policy.yaml", """
            apiVersion: networking.k8s.io/v1
            kind: NetworkPolicy
            metadata: { name: second, namespace: shop }
            spec: { podSelector: { matchLabels: { number: "2" } }, policyTypes: [Ingress], ingress: [{ from: [{ podSelector: { matchLabels: { number: "1" } } }], ports: [{ port: 7002 }] }] }
            """);
        try
        {
            _cluster.AwaitPolicies();
            var expected = new List<(Probe, bool)>();
            foreach (var (family, from, port) in from family in Families from i in Enumerable.Range(0, Nodes).Where(i => i != 1) from port in (int[])[7002, 7003] select (family, i, port))
            {
                var flow = new Flow(_pods[from].Address(family), _pods[1].Address(family), "TCP", port);
                _servers.Serve(flow, _pods[1].Net.Netns);
                expected.Add((Probe.Open(flow, _pods[from].Net.Netns), from == 0 && port == 7002));
            }

            Assert.That(ProbeBatch.Wrong(expected).Select(probe => probe.Flow.ToString()), Is.Empty, () => string.Join('\n', _cluster.Nodes.Select(node => node.Log)));
            expected.ForEach(pair => pair.Item1.Dispose());
        }
        finally
        {
            _cluster.Delete("policy.yaml");
            _cluster.AwaitPolicies();
        }
    }

    // What is learnt of a path is forgotten after ten minutes, or here at once. The kernel learns a path's MTU from errors of the underlay's routers; what it knows then is set here as such an error would set it.
    [TestCaseSource(nameof(Families))]
    public void A_pod_is_told_when_the_underlay_takes_no_full_size_packets(AddressFamily family)
    {
        var last = Nodes - 1;
        if (encapsulation == Encapsulation.None && !underlay.Contains(family))
            Assert.Pass("the way has a gateway of the other family, and no path of its own");
        var (version, address) = (Outer == AddressFamily.InterNetwork ? "-4" : "-6", _cluster.Nodes[last].Addresses[0]);
        var destination = encapsulation == Encapsulation.None ? _pods[last].Address(family).ToString() : address;
        if (encapsulation == Encapsulation.None)
            version = family == AddressFamily.InterNetwork ? "-4" : "-6";
        var via = encapsulation == Encapsulation.None ? $"via {_cluster.Nodes[last].Addresses[underlay.ToList().IndexOf(family)]} " : "";
        _cluster.Nodes[0].Net.Run($"ip {version} route add {destination} {via}dev uplink mtu lock 1400");
        try
        {
            _servers.Serve(new(_pods[0].Address(family), _pods[last].Address(family), "UDP", Port), _pods[last].Net.Netns);
            using var socket = _pods[0].Net.Netns.Run(() => new Socket(family, SocketType.Dgram, ProtocolType.Udp));
            if (family == AddressFamily.InterNetwork)
                socket.DontFragment = true;
            socket.Bind(new IPEndPoint(_pods[0].Address(family), 0));
            socket.Connect(_pods[last].Address(family), Port);
            var expected = 1400 - (Full - Mtu);
            TestCluster.Eventually(() => TrySend(socket, new byte[Mtu - 100]) == SocketError.MessageSize, $"the pod knows that {expected} bytes pass", () => _pods[0].Net.Run($"ip route get {_pods[last].Address(family)}"));
            Assert.That(_pods[0].Net.Run($"ip route get {_pods[last].Address(family)}"), Does.Contain($"mtu {expected}"));
        }
        finally
        {
            _cluster.Nodes[0].Net.Run($"ip {version} route del {destination} {via}dev uplink");
            foreach (var net in (NetnsFixture[])[_cluster.Nodes[0].Net, _pods[0].Net])
            {
                net.Run("ip -4 route flush cache");
                net.Run("ip -6 route flush cache");
            }
        }
    }

    [Test]
    public void A_restarted_agent_finds_nothing_to_change()
    {
        var node = _cluster.Nodes[0];
        var before = State(node);
        Assert.That(node.StopAgent(), Is.Zero);
        node.StartAgent("--encapsulation", encapsulation.ToString().ToLowerInvariant(), "--cross-subnet", crossSubnet ? "true" : "false");
        Assert.That(State(node), Is.EqualTo(before));
        var verified = node.Overlay("verify");
        Assert.That(verified.ExitCode, Is.Zero, verified.Output + verified.Error);
    }

    // Indexes of devices included: none was made anew.
    private static string State(TestNode node) => string.Join('\n', ((string[])["ip -o link show", "ip -o address show", "ip route show proto 79", "ip -6 route show proto 79", "ip neigh show nud permanent", "bridge fdb show"]).Select(command => node.Net.Run(command)));

    private static SocketError TrySend(Socket socket, byte[] payload)
    {
        try
        {
            socket.Send(payload);
            return SocketError.Success;
        }
        catch (SocketException e)
        {
            return e.SocketErrorCode;
        }
    }

    private IPAddress Underlay(int node, AddressFamily family) => _cluster.Nodes[node].Addresses.Select(IPAddress.Parse).Single(address => address.AddressFamily == family);

    // The packet that a pod sent, out of whatever tunnel; of a bare one itself.
    private static IPPacket? Inner(EthernetPacket frame)
    {
        if (frame.Extract<VxlanPacket>() is { PayloadPacket: EthernetPacket inside })
            return inside.Extract<IPPacket>();
        var outer = frame.Extract<IPPacket>();
        return outer?.PayloadPacket as IPPacket ?? outer;
    }

    private void Exchange(NetnsFixture from, NetnsFixture to, Flow flow, int payload = 8) =>
        _servers.Exchange(flow, from, to, payload, () => string.Join('\n', _cluster.Nodes.Select(node => $"{node.Log}\n{State(node)}")));
}

public class VxlanTunnelTests() : TunnelTests(Encapsulation.Vxlan, crossSubnet: false, AddressFamily.InterNetwork, AddressFamily.InterNetworkV6);

public class VxlanOverIPv6TunnelTests() : TunnelTests(Encapsulation.Vxlan, crossSubnet: false, AddressFamily.InterNetworkV6);

public class VxlanAcrossSubnetsTunnelTests() : TunnelTests(Encapsulation.Vxlan, crossSubnet: true, AddressFamily.InterNetwork, AddressFamily.InterNetworkV6);

public class PlainRouteTests() : TunnelTests(Encapsulation.None, crossSubnet: false, AddressFamily.InterNetwork, AddressFamily.InterNetworkV6);

public class PlainRouteOverIPv6Tests() : TunnelTests(Encapsulation.None, crossSubnet: false, AddressFamily.InterNetworkV6);

[InGuest]
public class IpInIpTunnelTests() : TunnelTests(Encapsulation.Ipip, crossSubnet: false, AddressFamily.InterNetwork);

[InGuest]
public class IpInIpOverIPv6TunnelTests() : TunnelTests(Encapsulation.Ipip, crossSubnet: false, AddressFamily.InterNetworkV6);

[InGuest]
public class IpInIpAcrossSubnetsTunnelTests() : TunnelTests(Encapsulation.Ipip, crossSubnet: true, AddressFamily.InterNetwork, AddressFamily.InterNetworkV6);
