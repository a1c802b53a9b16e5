using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Overlay.Dataplane.Netlink;
using Overlay.Tests.Oracles;

namespace Overlay.Tests.Kernel;

/// <summary>
/// The sending end of a flow: a real socket in the sender's namespace, bound to the flow's source. <see cref="Send"/> makes one attempt, which never waits;
/// <see cref="IsAnswered"/> says whether the other end has answered it.
/// </summary>
internal abstract class Probe : IDisposable
{
    private readonly Netns _netns;
    private Socket? _socket;

    private protected Probe(Flow flow, Netns netns)
    {
        Flow = flow;
        _netns = netns;
    }

    public Flow Flow { get; }

    /// <summary>Whether an answer to the last attempt is there.</summary>
    public bool IsAnswered => IsAnsweredWithin(TimeSpan.Zero);

    private protected Socket Socket => _socket ?? throw new InvalidOperationException("Send comes before IsAnswered.");

    /// <summary>A probe of <paramref name="flow"/> from <paramref name="netns"/>.</summary>
    /// <param name="flow">Which packets.</param>
    /// <param name="netns">Where the flow's source address is.</param>
    /// <param name="payload">Bytes to carry, with UDP alone.</param>
    public static Probe Open(Flow flow, Netns netns, int payload = 8) => flow.Protocol switch
    {
        "TCP" => new ConnectProbe(flow, netns),
        "UDP" => new DatagramProbe(flow, netns, new UdpExchange(payload)),
        "ICMP" => new DatagramProbe(flow, netns, new EchoExchange(flow.Source.AddressFamily)),
        "SCTP" => new DatagramProbe(flow, netns, new SctpExchange(flow.Source.AddressFamily, (ushort)flow.Port)),
        _ => throw new FormatException($"'{flow.Protocol}' is not TCP, UDP, SCTP or ICMP."),
    };

    /// <summary>Makes an attempt, as a new connection.</summary>
    public void Send()
    {
        _socket?.Dispose();
        _socket = _netns.Run(() =>
        {
            var socket = CreateSocket();
            socket.Blocking = false;
            socket.Bind(new IPEndPoint(Flow.Source, 0));
            try
            {
                Start(socket);
            }
            catch (SocketException)
            {
                // No route, nobody there, or still under way: there will be an answer or there will be none.
            }

            return socket;
        });
    }

    /// <summary>Whether an answer to the last attempt is there or comes within this time.</summary>
    public abstract bool IsAnsweredWithin(TimeSpan patience);

    public void Dispose() => _socket?.Dispose();

    private protected abstract Socket CreateSocket();

    private protected abstract void Start(Socket socket);
}

/// <summary>TCP: the attempt is a SYN, the answer an established connection.</summary>
internal sealed class ConnectProbe(Flow flow, Netns netns) : Probe(flow, netns)
{
    public override bool IsAnsweredWithin(TimeSpan patience) => Socket.Poll(patience, SelectMode.SelectWrite) && (int)Socket.GetSocketOption(SocketOptionLevel.Socket, SocketOptionName.Error)! == 0;

    private protected override Socket CreateSocket() => new(Flow.Source.AddressFamily, SocketType.Stream, ProtocolType.Tcp);

    private protected override void Start(Socket socket) => socket.Connect(Flow.Destination, Flow.Port);
}

/// <summary>A protocol without connections: the attempt is one packet, the answer one that fits it.</summary>
internal sealed class DatagramProbe(Flow flow, Netns netns, DatagramExchange exchange) : Probe(flow, netns)
{
    private readonly byte[] _buffer = new byte[65536];

    public override bool IsAnsweredWithin(TimeSpan patience)
    {
        var clock = Stopwatch.StartNew();
        while (Socket.Poll(patience > clock.Elapsed ? patience - clock.Elapsed : TimeSpan.Zero, SelectMode.SelectRead))
        {
            try
            {
                EndPoint from = new IPEndPoint(Flow.Source, 0);
                var length = Socket.ReceiveFrom(_buffer, ref from);
                if (((IPEndPoint)from).Address.Equals(Flow.Destination) && exchange.IsReply(exchange.Payload(_buffer.AsSpan(0, length))))
                    return true;
            }
            catch (SocketException)
            {
                // An ICMP error in the place of an answer.
            }
        }

        return false;
    }

    private protected override Socket CreateSocket() => exchange.CreateSocket(Flow.Source.AddressFamily);

    private protected override void Start(Socket socket)
    {
        // Full-size packets must pass as they are, not in pieces.
        if (Flow.Source.AddressFamily == AddressFamily.InterNetwork)
            socket.DontFragment = true;
        socket.SendTo(exchange.Request, new IPEndPoint(Flow.Destination, exchange is RawExchange ? 0 : Flow.Port));
    }
}

/// <summary>The answering ends of flows, one for each (namespace, address, protocol, port); TCP connections are left to the kernel to accept, echoes too.</summary>
internal sealed class ProbeServers : IDisposable
{
    private readonly Dictionary<(NetnsIdentity, IPAddress, string, int), Socket> _sockets = [];

    /// <summary>Makes the flow's destination answer, unless it does already.</summary>
    public void Serve(Flow flow, Netns netns)
    {
        var key = (netns.Identity, flow.Destination, flow.Protocol, flow.Protocol == "SCTP" ? 0 : flow.Port);
        if (flow.Protocol == "ICMP" || _sockets.ContainsKey(key))
            return;
        DatagramExchange? exchange = flow.Protocol switch
        {
            "UDP" => new UdpExchange(0),
            "SCTP" => new SctpExchange(flow.Source.AddressFamily, 0),
            _ => null,
        };
        var socket = netns.Run(() =>
        {
            var made = exchange?.CreateSocket(flow.Destination.AddressFamily) ?? new Socket(flow.Destination.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            made.Bind(new IPEndPoint(flow.Destination, key.Item4));
            if (exchange is null)
                made.Listen(512);
            return made;
        });
        _sockets.Add(key, socket);
        if (exchange is not null)
            _ = AnswerAsync(socket, exchange);
    }

    public void Dispose()
    {
        foreach (var socket in _sockets.Values)
            socket.Dispose();
    }

    private static async Task AnswerAsync(Socket socket, DatagramExchange exchange)
    {
        var anybody = socket.LocalEndPoint!;
        var buffer = new byte[65536];
        while (true)
        {
            try
            {
                var received = await socket.ReceiveFromAsync(buffer, anybody);
                if (exchange.Reply(exchange.Payload(buffer.AsSpan(0, received.ReceivedBytes))) is { } reply)
                    await socket.SendToAsync(reply, received.RemoteEndPoint);
            }
            catch (SocketException e) when (e.SocketErrorCode is not SocketError.OperationAborted)
            {
                // The answer to an earlier one came back as an ICMP error.
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                return;
            }
        }
    }
}
