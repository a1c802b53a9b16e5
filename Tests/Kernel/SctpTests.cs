using System.Net;
using System.Net.Sockets;
using Overlay.Tests.Guest;

namespace Overlay.Tests.Kernel;

/// <summary>Policies about SCTP, with the kernel's own SCTP at both ends: associations that carry data.</summary>
[InGuest]
public class SctpTests
{
    private const int IPPROTO_SCTP = 132;
    private const int Open = 7400;
    private const int Closed = 7401;

    private TestCluster _cluster = null!;

    [TearDown]
    public void End() => _cluster?.Dispose();

    [Test]
    public void An_association_comes_about_where_a_policy_lets_it([Values(AddressFamily.InterNetwork, AddressFamily.InterNetworkV6)] AddressFamily family)
    {
        _cluster = TestCluster.Create(2);
        foreach (var name in (string[])["friend", "stranger", "server"])
            _cluster.Apply($"{name}.yaml", $$"""{ apiVersion: v1, kind: Pod, metadata: { name: {{name}}, namespace: shop, labels: { app: {{name}} } } }""");
        var (friend, stranger, server) = (_cluster.Nodes[0].AddPod("shop/friend"), _cluster.Nodes[0].AddPod("shop/stranger"), _cluster.Nodes[1].AddPod("shop/server"));
        using var open = Listen(server, family, Open);
        using var closed = Listen(server, family, Closed);
        TestCluster.Eventually(() => Talks(stranger, server, family, open, Open), "without a policy everybody talks");
        _cluster.Apply("policy.yaml", $$"""
            apiVersion: networking.k8s.io/v1
            kind: NetworkPolicy
            metadata: { name: server, namespace: shop }
            spec: { podSelector: { matchLabels: { app: server } }, ingress: [{ from: [{ podSelector: { matchLabels: { app: friend } } }], ports: [{ protocol: SCTP, port: {{Open}} }] }] }
            """);
        _cluster.AwaitPolicies();
        Assert.That(Talks(friend, server, family, open, Open), "a friend, the port that is open");
        Assert.That(Talks(friend, server, family, closed, Closed), Is.False, "a friend, another port");
        Assert.That(Talks(stranger, server, family, open, Open), Is.False, "a stranger");
    }

    private static Socket Listen(TestPod pod, AddressFamily family, int port) => pod.Net.Netns.Run(() =>
    {
        var socket = Libc.OpenStream(family, IPPROTO_SCTP);
        socket.Bind(new IPEndPoint(pod.Address(family), port));
        socket.Listen();
        return socket;
    });

    // Whether an association comes about, a byte is carried each way, and the server sees the client's own address.
    private static bool Talks(TestPod client, TestPod server, AddressFamily family, Socket listener, int port)
    {
        using var socket = client.Net.Netns.Run(() => Libc.OpenStream(family, IPPROTO_SCTP));
        socket.Bind(new IPEndPoint(client.Address(family), 0));
        socket.Blocking = false;
        try
        {
            socket.Connect(server.Address(family), port);
        }
        catch (SocketException e) when (e.SocketErrorCode is SocketError.InProgress or SocketError.WouldBlock)
        {
        }

        if (!listener.Poll(TimeSpan.FromSeconds(5), SelectMode.SelectRead))
            return false;
        using var accepted = listener.Accept();
        accepted.Send([1]);
        var buffer = new byte[1];
        Assert.That(socket.Poll(TimeSpan.FromSeconds(20), SelectMode.SelectRead), "a byte arrives");
        Assert.That(socket.Receive(buffer), Is.EqualTo(1));
        socket.Send([2]);
        Assert.That(accepted.Receive(buffer), Is.EqualTo(1));
        Assert.That(((IPEndPoint)accepted.RemoteEndPoint!).Address, Is.EqualTo(client.Address(family)));
        return true;
    }
}
