using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;

namespace Overlay.Tests.Kernel;

/// <summary>An established TCP connection or UDP exchange between two pods, over which both ends send numbers.</summary>
internal sealed class Conversation : IDisposable
{
    private const int TCP_INFO = 11;
    private const int TotalRetransmissionsAt = 100; // offsetof(struct tcp_info, tcpi_total_retrans), linux/tcp.h

    private readonly Socket _client;
    private readonly Socket _server;
    private CancellationTokenSource? _stop;
    private Task<int>? _pump;
    private int _number;

    private Conversation(ProtocolType protocol, int port, string name, Socket client, Socket server)
    {
        (Protocol, Port, Name, _client, _server) = (protocol, port, name, client, server);
    }

    public ProtocolType Protocol { get; }

    /// <summary>Where the server is, when it is a pod.</summary>
    public TestNode? ServerNode { get; private init; }

    /// <summary>The server's; no two conversations of a test share one.</summary>
    public int Port { get; }

    public string Name { get; }

    /// <summary>Segments that either end has sent more than once; 0 for UDP.</summary>
    public int Retransmissions => Protocol == ProtocolType.Tcp ? Retransmitted(_client) + Retransmitted(_server) : 0;

    /// <summary>Has a client talk to a server's port, and exchanges a number each way.</summary>
    /// <param name="protocol">Tcp or Udp.</param>
    /// <param name="client">Who begins.</param>
    /// <param name="server">Who answers.</param>
    /// <param name="port">Where the server listens.</param>
    /// <param name="to">Whom the client addresses: the server, or a Service of it.</param>
    public static Conversation Begin(ProtocolType protocol, TestPod client, TestPod server, int port, IPAddress to)
    {
        var (from, at) = (client.Address(to.AddressFamily), server.Address(to.AddressFamily));
        var (caller, listener) = Connect(protocol, client.Net, from, server.Net, at, port, to);
        return Begun(new(protocol, port, $"{protocol} {client.Name} -> {to} port {port} at {server.Node.Name}", caller, listener) { ServerNode = server.Node });
    }

    /// <summary>The same over TCP between any two namespaces.</summary>
    public static Conversation Begin(NetnsFixture client, IPAddress from, NetnsFixture server, IPAddress to, int port)
    {
        var (caller, listener) = Connect(ProtocolType.Tcp, client, from, server, to, port, to);
        return Begun(new(ProtocolType.Tcp, port, $"{from} -> {to} port {port}", caller, listener));
    }

    private static Conversation Begun(Conversation conversation)
    {
        conversation.Exchange();
        return conversation;
    }

    private static (Socket Client, Socket Server) Connect(ProtocolType protocol, NetnsFixture client, IPAddress from, NetnsFixture server, IPAddress at, int port, IPAddress to)
    {
        var type = protocol == ProtocolType.Tcp ? SocketType.Stream : SocketType.Dgram;
        var listener = server.Netns.Run(() => Bound(new(to.AddressFamily, type, protocol), new(at, port)));
        var caller = client.Netns.Run(() => Bound(new(to.AddressFamily, type, protocol), new(from, 0)));
        caller.ReceiveTimeout = 30_000;
        if (protocol == ProtocolType.Tcp)
        {
            listener.Listen(1);
            caller.Connect(to, port);
            (var waiting, listener) = (listener, listener.Accept());
            waiting.Dispose();
            caller.NoDelay = listener.NoDelay = true;
        }
        else
        {
            caller.Connect(to, port);
            caller.Send(new byte[4]);
            EndPoint sender = new IPEndPoint(from, 0);
            listener.ReceiveFrom(new byte[4], ref sender);
            listener.Connect(sender);
        }

        listener.ReceiveTimeout = 30_000;
        return (caller, listener);
    }

    /// <summary>The client sends a number, the server answers it; nothing else may come.</summary>
    public void Exchange()
    {
        var number = SendFromClient();
        Assert.That(Receive(_server), Is.EqualTo(number), Name);
        Send(_server, -number);
        Assert.That(Receive(_client), Is.EqualTo(-number), Name);
    }

    public int SendFromClient()
    {
        Send(_client, ++_number);
        return _number;
    }

    public int SendFromServer()
    {
        Send(_server, ++_number);
        return _number;
    }

    /// <summary>Whether something is there to be read at either end.</summary>
    public bool HasArrived => _client.Poll(0, SelectMode.SelectRead) || _server.Poll(0, SelectMode.SelectRead);

    /// <summary>After one number each way was sent in vain: TCP delivers them late, UDP never; then it goes on.</summary>
    public void GoOn(int fromClient, int fromServer)
    {
        if (Protocol == ProtocolType.Tcp)
        {
            Assert.That(Receive(_server), Is.EqualTo(fromClient), Name);
            Assert.That(Receive(_client), Is.EqualTo(fromServer), Name);
        }

        Exchange();
    }

    /// <summary>Exchanges numbers without a pause until <see cref="EndPumping"/>. A number that is lost ends it with an exception after 30 s.</summary>
    public void Pump()
    {
        _stop = new();
        var stop = _stop.Token;
        _pump = Task.Factory.StartNew(
            () =>
            {
                var count = 0;
                for (; !stop.IsCancellationRequested; count++)
                {
                    Exchange();
                    Thread.Sleep(1);
                }

                return count;
            },
            CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    /// <summary>Ends the pump; returns how many numbers went there and back.</summary>
    public int EndPumping()
    {
        _stop!.Cancel();
        return _pump!.GetAwaiter().GetResult();
    }

    public void Dispose()
    {
        _stop?.Cancel();
        _client.Dispose();
        _server.Dispose();
        ((IAsyncResult?)_pump)?.AsyncWaitHandle.WaitOne();
        _stop?.Dispose();
    }

    private static Socket Bound(Socket socket, IPEndPoint address)
    {
        socket.Bind(address);
        return socket;
    }

    private static void Send(Socket socket, int number)
    {
        var bytes = new byte[4];
        BinaryPrimitives.WriteInt32BigEndian(bytes, number);
        socket.Send(bytes);
    }

    private static int Receive(Socket socket)
    {
        var bytes = new byte[4];
        Assert.That(socket.Receive(bytes), Is.EqualTo(4));
        return BinaryPrimitives.ReadInt32BigEndian(bytes);
    }

    private static int Retransmitted(Socket socket)
    {
        var info = new byte[256];
        socket.GetRawSocketOption((int)ProtocolType.Tcp, TCP_INFO, info);
        return BitConverter.ToInt32(info, TotalRetransmissionsAt);
    }
}
