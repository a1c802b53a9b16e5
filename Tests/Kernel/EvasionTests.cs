using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Overlay.Dataplane.Desired;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Kernel;

/// <summary>What a pod, or a stranger on the underlay, can send to get round policy. Each time something allowed follows by the same way, so that silence before it proves something.</summary>
public class EvasionTests
{
    private const int Port = 7300;
    private const int VxlanPort = 4789;
    private static readonly IPAddress Stranger = IPAddress.Parse("192.0.2.9");
    private static readonly IPAddress Elsewhere = IPAddress.Parse("198.51.100.2");

    private TestCluster _cluster = null!;

    [TearDown]
    public void EndCluster() => _cluster?.Dispose();

    [Test]
    public void Only_nodes_send_to_the_tunnel_port_of_a_node()
    {
        _cluster = TestCluster.Create(2);
        _cluster.AddOutside(Stranger);
        var (near, far) = (_cluster.Nodes[0], _cluster.Nodes[1]);
        var (sender, victim, trusted) = (near.AddPod("shop/sender"), near.AddPod("shop/victim"), far.AddPod("shop/trusted"));
        var other = far.AddPod("shop/other");
        TestCluster.Eventually(() => near.State.Contains(trusted.IPv4.ToString()) || sender.Connects(trusted.IPv4, 1) is false, "both nodes know each other");
        using var here = Receiver(victim);
        using var there = Receiver(other);

        // From a pod to its own node, from a pod to the other, from outside to both: as if from the pod of the other node.
        Send(sender.Net, null, near, Frame(near, trusted.IPv4, victim.IPv4, "pod to its node"));
        Send(sender.Net, null, far, Frame(far, victim.IPv4, other.IPv4, "pod to a node"));
        far.Net.Run($"ip address add {Elsewhere}/32 dev uplink");
        Send(sender.Net, null, Elsewhere, Frame(far, victim.IPv4, other.IPv4, "pod to an address of a node that its Node does not tell of, masqueraded as its own node's"));
        Send(_cluster.Switch, Stranger, near, Frame(near, trusted.IPv4, victim.IPv4, "stranger to a node"));
        Send(_cluster.Switch, Stranger, far, Frame(far, victim.IPv4, other.IPv4, "stranger to the other"));
        Send(far.Net, null, near, Frame(near, trusted.IPv4, victim.IPv4, "node"));
        Send(near.Net, null, far, Frame(far, victim.IPv4, other.IPv4, "node"));
        Assert.That((Next(here), Next(there)), Is.EqualTo(("node", "node")), "what came first");
        Assert.That(far.Net.Run("nft list table inet overlay"), Does.Match("counter packets 2 bytes [0-9]+ drop comment \"VXLAN not between nodes\""), "that of the stranger and that which was masqueraded");
        var chains = near.Net.Run("nft list table inet overlay");
        Assert.That(chains, Does.Match("counter packets [1-9][0-9]* bytes [0-9]+ drop comment \"VXLAN not between nodes\"").And.Match("counter packets [1-9][0-9]* bytes [0-9]+ drop comment \"VXLAN from a pod\""));
    }

    [Test]
    public void A_link_local_address_gets_a_pod_no_further_than_its_own()
    {
        _cluster = TestCluster.Create(1);
        var node = _cluster.Nodes[0];
        var pod = node.AddPod("shop/web");
        using var server = node.Net.Netns.Run(() =>
        {
            var socket = new Socket(AddressFamily.InterNetworkV6, SocketType.Stream, ProtocolType.Tcp);
            socket.Bind(new IPEndPoint(IPAddress.IPv6Any, Port));
            socket.Listen();
            return socket;
        });
        Assert.That(Connects(pod, null, IPAddress.Parse("fd00:42:1::")), "without a policy a pod reaches its node");
        _cluster.Apply("admin.yaml", """
            apiVersion: policy.networking.k8s.io/v1alpha2
            kind: ClusterNetworkPolicy
            metadata: { name: no-nodes }
            spec: { tier: Admin, priority: 1, subject: { namespaces: {} }, egress: [{ action: Deny, to: [{ nodes: {} }, { networks: ["::/0"] }] }] }
            """);
        _cluster.AwaitPolicies();
        var index = long.Parse(pod.Net.Run("ip -o link show eth0").Split(':')[0]);
        var own = IPAddress.Parse(pod.Net.Run("ip -6 -o address show dev eth0 scope link").Split(' ', StringSplitOptions.RemoveEmptyEntries)[3].Split('/')[0]);
        own.ScopeId = index;
        var gateway = IPAddress.Parse("fe80::1");
        gateway.ScopeId = index;
        Assert.That(Connects(pod, null, gateway), Is.False);
        foreach (var address in (string[])["fd00:42:1::"])
        {
            Assert.That(Connects(pod, null, IPAddress.Parse(address)), Is.False, address);
            Assert.That(Connects(pod, own, IPAddress.Parse(address)), Is.False, $"{address} from {own}");
        }

        _cluster.Delete("admin.yaml");
        _cluster.AwaitPolicies();
        Assert.That(Connects(pod, null, IPAddress.Parse("fd00:42:1::")), "neighbours are found all the while");
    }

    [Test]
    public void Neighbour_discovery_with_a_neighbours_address_goes_nowhere([Values(133, 134, 135, 136, 137)] int type)
    {
        _cluster = TestCluster.Create(2);
        var (sender, neighbour, target) = (_cluster.Nodes[0].AddPod("shop/sender"), _cluster.Nodes[0].AddPod("shop/neighbour"), _cluster.Nodes[1].AddPod("shop/target"));
        TestCluster.Eventually(() => Ping(target), "the nodes know each other");
        using var receiver = target.Net.Netns.Run(() => new Socket(AddressFamily.InterNetworkV6, SocketType.Raw, ProtocolType.IcmpV6) { ReceiveTimeout = 10_000 });
        SendIcmpv6(sender, neighbour.IPv6, target.IPv6, (byte)type, "spoofed");
        SendIcmpv6(neighbour, neighbour.IPv6, target.IPv6, 128, "allowed");
        var buffer = new byte[256];
        string said;
        do
        {
            var length = receiver.Receive(buffer);
            said = Encoding.ASCII.GetString(buffer, 8, Math.Max(0, length - 8));
        }
        while (said is not ("spoofed" or "allowed"));
        Assert.That(said, Is.EqualTo("allowed"));

        bool Ping(TestPod to)
        {
            to.Serve(Port);
            return neighbour.Connects(to.IPv6, Port);
        }
    }

    // RFC 4861 section 4.2: a router for half an hour. accept_ra 2, as on nodes that get their own default route so, lets a kernel listen that forwards.
    [Test]
    public void A_pod_cannot_make_itself_the_router_of_its_node([Values("fe80::bad", null)] string? source)
    {
        _cluster = TestCluster.Create(1);
        var node = _cluster.Nodes[0];
        node.Net.Run("sysctl -q -w net.ipv6.conf.default.accept_ra=2");
        var (sender, neighbour) = (node.AddPod("shop/sender"), node.AddPod("shop/neighbour"));
        var device = sender.Net.Run("ip -o link show dev eth0").Split(':')[0];
        foreach (var to in (string[])["fe80::1", "ff02::1"])
            SendIcmpv6(sender, source is null ? sender.IPv6 : IPAddress.Parse(source), IPAddress.Parse($"{to}%{device}"), 134, [64, 0, 1800 >> 8, 1800 & 0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
        neighbour.Serve(Port);
        Assert.That(sender.Connects(neighbour.IPv6, Port), "what was sent later arrives");
        Assert.That(node.Net.Run("ip -6 route show default"), Is.Empty);
    }

    private static Socket Receiver(TestPod pod) => pod.Net.Netns.Run(() =>
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp) { ReceiveTimeout = 10_000 };
        socket.Bind(new IPEndPoint(IPAddress.Any, Port));
        return socket;
    });

    private static string Next(Socket socket)
    {
        var buffer = new byte[256];
        return Encoding.ASCII.GetString(buffer, 0, socket.Receive(buffer));
    }

    private static void Send(NetnsFixture from, IPAddress? source, TestNode to, byte[] frame) => Send(from, source, IPAddress.Parse(to.Addresses[0]), frame);

    private static void Send(NetnsFixture from, IPAddress? source, IPAddress to, byte[] frame)
    {
        using var socket = from.Netns.Run(() => new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp));
        if (source is not null)
            socket.Bind(new IPEndPoint(source, 0));
        socket.SendTo(frame, new IPEndPoint(to, VxlanPort));
    }

    // RFC 7348 section 5: flags, VNI 4096; an Ethernet frame to the node's end of the tunnel; IPv4 and UDP without checksum.
    private static byte[] Frame(TestNode node, IPAddress source, IPAddress destination, string text)
    {
        var payload = Encoding.ASCII.GetBytes(text);
        var frame = new byte[8 + 14 + 20 + 8 + payload.Length];
        frame[0] = 0x08;
        BinaryPrimitives.WriteUInt32BigEndian(frame.AsSpan(4), 4096u << 8);
        Ownership.VtepMac(node.Name).WriteTo(frame.AsSpan(8));
        new MacAddress(0x020000000001).WriteTo(frame.AsSpan(14));
        BinaryPrimitives.WriteUInt16BigEndian(frame.AsSpan(20), 0x0800);
        var packet = frame.AsSpan(22);
        packet[0] = 0x45;
        BinaryPrimitives.WriteUInt16BigEndian(packet[2..], (ushort)packet.Length);
        packet[8] = 64;
        packet[9] = (byte)IpProtocol.Udp;
        source.GetAddressBytes().CopyTo(packet[12..]);
        destination.GetAddressBytes().CopyTo(packet[16..]);
        BinaryPrimitives.WriteUInt16BigEndian(packet[10..], Checksum(packet[..20]));
        BinaryPrimitives.WriteUInt16BigEndian(packet[20..], 5555);
        BinaryPrimitives.WriteUInt16BigEndian(packet[22..], Port);
        BinaryPrimitives.WriteUInt16BigEndian(packet[24..], (ushort)(8 + payload.Length));
        payload.CopyTo(packet[28..]);
        return frame;
    }

    // With an IPv6 header of our own (IPPROTO_RAW), hop limit 255 as neighbour discovery has it.
    private static void SendIcmpv6(TestPod from, IPAddress source, IPAddress destination, byte type, string text) =>
        SendIcmpv6(from, source, destination, type, [0, 0, 0, 0, .. Encoding.ASCII.GetBytes(text)]);

    private static void SendIcmpv6(TestPod from, IPAddress source, IPAddress destination, byte type, byte[] body)
    {
        var packet = new byte[40 + 4 + body.Length];
        packet[0] = 0x60;
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(4), (ushort)(4 + body.Length));
        packet[6] = 58;
        packet[7] = 255;
        source.GetAddressBytes().CopyTo(packet, 8);
        destination.GetAddressBytes().CopyTo(packet, 24);
        packet[40] = type;
        body.CopyTo(packet, 44);
        var pseudo = new byte[packet.Length + (body.Length % 2)];
        packet.AsSpan(8, 32).CopyTo(pseudo);
        BinaryPrimitives.WriteUInt32BigEndian(pseudo.AsSpan(32), (uint)(4 + body.Length));
        pseudo[39] = 58;
        packet.AsSpan(40).CopyTo(pseudo.AsSpan(40));
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(42), Checksum(pseudo));
        using var socket = from.Net.Netns.Run(() => new Socket(AddressFamily.InterNetworkV6, SocketType.Raw, (ProtocolType)255));
        socket.SendTo(packet, new IPEndPoint(destination, 0));
    }

    // RFC 1071.
    private static ushort Checksum(ReadOnlySpan<byte> bytes)
    {
        uint sum = 0;
        for (var i = 0; i + 1 < bytes.Length; i += 2)
            sum += BinaryPrimitives.ReadUInt16BigEndian(bytes[i..]);
        while (sum >> 16 != 0)
            sum = (sum & 0xffff) + (sum >> 16);
        return (ushort)~sum;
    }

    private static bool Connects(TestPod pod, IPAddress? source, IPAddress address)
    {
        using var socket = pod.Net.Netns.Run(() => new Socket(AddressFamily.InterNetworkV6, SocketType.Stream, ProtocolType.Tcp));
        if (source is not null)
            socket.Bind(new IPEndPoint(source, 0));
        using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        try
        {
            socket.ConnectAsync(new IPEndPoint(address, Port), timeout.Token).AsTask().Wait(CancellationToken.None);
            return true;
        }
        catch (AggregateException refused) when (refused.InnerException is OperationCanceledException or SocketException)
        {
            return false;
        }
    }
}
