using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Overlay.PolicyEngine.Model;
using Overlay.Tests.Guest;

namespace Overlay.Tests.Kernel;

/// <summary>What a pod, or a stranger on the underlay, can put into a node's IP-in-IP tunnel: nothing. Each time something of a node follows by the same way, so that silence before it proves something.</summary>
[InGuest]
public class IpInIpEvasionTests
{
    private const int Port = 7300;
    private const int IPPROTO_IPIP = 4;

    private TestCluster _cluster = null!;

    [TearDown]
    public void End() => _cluster?.Dispose();

    [TestCase("192.168.7.#", "192.0.2.9")]
    [TestCase("fd07::#", "2001:db8::9")]
    public void Only_nodes_send_into_the_tunnel_of_a_node(string underlay, string strangers)
    {
        _cluster = TestCluster.CreateEmpty();
        for (var i = 1; i <= 2; i++)
        {
            string[] addresses = [underlay.Replace("#", $"{i}", StringComparison.Ordinal)];
            _cluster.ApplyNode($"node-{i}", addresses, [$"10.42.{i}.0/24", $"fd00:42:{i}::/64"]);
            _cluster.Join($"node-{i}", addresses);
        }

        foreach (var node in _cluster.Nodes)
            node.StartAgent("--encapsulation", "ipip");
        var stranger = IPAddress.Parse(strangers);
        _cluster.AddOutside(stranger);
        var (near, far) = (_cluster.Nodes[0], _cluster.Nodes[1]);
        var (sender, victim, trusted) = (near.AddPod("shop/sender"), near.AddPod("shop/victim"), far.AddPod("shop/trusted"));
        trusted.Serve(Port + 1);
        TestCluster.Eventually(() => sender.Connects(trusted.IPv4, Port + 1), "the nodes know each other");
        using var here = Receiver(victim);
        using var there = Receiver(trusted);

        // As if from the pod of the other node.
        Send(sender.Net, null, near, Inner(trusted.IPv4, victim.IPv4, "pod to its node"));
        Send(sender.Net, null, far, Inner(victim.IPv4, trusted.IPv4, "pod to a node"));
        Send(_cluster.Switch, stranger, near, Inner(trusted.IPv4, victim.IPv4, "stranger to a node"));
        Send(_cluster.Switch, stranger, far, Inner(victim.IPv4, trusted.IPv4, "stranger to the other"));
        Send(far.Net, null, near, Inner(trusted.IPv4, victim.IPv4, "node"));
        Send(near.Net, null, far, Inner(victim.IPv4, trusted.IPv4, "node"));
        Assert.That((Next(here), Next(there)), Is.EqualTo(("node", "node")), "what came first");
        var ruleset = near.Net.Run("nft list table inet overlay");
        Assert.That(ruleset, Does.Match("counter packets [1-9][0-9]* bytes [0-9]+ drop comment \"IP-in-IP not between nodes\"").And.Match("counter packets [1-9][0-9]* bytes [0-9]+ drop comment \"IP-in-IP from a pod\""));
    }

    private static Socket Receiver(TestPod pod) => pod.Net.Netns.Run(() =>
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp) { ReceiveTimeout = 60_000 };
        socket.Bind(new IPEndPoint(IPAddress.Any, Port));
        return socket;
    });

    private static string Next(Socket socket)
    {
        var buffer = new byte[256];
        return Encoding.ASCII.GetString(buffer, 0, socket.Receive(buffer));
    }

    private static void Send(NetnsFixture from, IPAddress? source, TestNode to, byte[] packet)
    {
        var destination = IPAddress.Parse(to.Addresses[0]);
        using var socket = from.Netns.Run(() => Libc.OpenRaw(destination.AddressFamily, IPPROTO_IPIP));
        if (source is not null)
            socket.Bind(new IPEndPoint(source, 0));
        socket.SendTo(packet, new IPEndPoint(destination, 0));
    }

    // IPv4 and UDP without checksum.
    private static byte[] Inner(IPAddress source, IPAddress destination, string text)
    {
        var payload = Encoding.ASCII.GetBytes(text);
        var packet = new byte[20 + 8 + payload.Length];
        packet[0] = 0x45;
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(2), (ushort)packet.Length);
        packet[8] = 64;
        packet[9] = (byte)IpProtocol.Udp;
        source.GetAddressBytes().CopyTo(packet, 12);
        destination.GetAddressBytes().CopyTo(packet, 16);
        uint sum = 0;
        for (var i = 0; i < 20; i += 2)
            sum += BinaryPrimitives.ReadUInt16BigEndian(packet.AsSpan(i));
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(10), (ushort)~((sum & 0xffff) + (sum >> 16))); // RFC 1071
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(20), 5555);
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(22), Port);
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(24), (ushort)(8 + payload.Length));
        payload.CopyTo(packet, 28);
        return packet;
    }
}
