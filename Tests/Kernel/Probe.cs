using System.Collections.Concurrent;
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
    private Socket? _socket;
    private SourcePorts? _sourcePorts;

    private protected Probe(Flow flow, Netns netns)
    {
        Flow = flow;
        Netns = netns;
    }

    public Flow Flow { get; }

    /// <summary>Where the sender is.</summary>
    public Netns Netns { get; }

    /// <summary>Whether an answer to the last attempt is there.</summary>
    public bool IsAnswered => IsAnsweredWithin(TimeSpan.Zero);

    private protected Socket Socket => _socket ?? throw new InvalidOperationException("Send comes before IsAnswered.");

    /// <summary>A probe of <paramref name="flow"/> from <paramref name="netns"/>.</summary>
    /// <param name="flow">Which packets.</param>
    /// <param name="netns">Where the flow's source address is.</param>
    /// <param name="payload">Bytes to carry, with UDP alone.</param>
    /// <param name="sourcePorts">Where every attempt gets a port that none before it had; otherwise the kernel picks one.</param>
    public static Probe Open(Flow flow, Netns netns, int payload = 8, SourcePorts? sourcePorts = null)
    {
        var probe = Make(flow, netns, payload);
        probe._sourcePorts = sourcePorts;
        return probe;
    }

    private static Probe Make(Flow flow, Netns netns, int payload) => flow.Protocol switch
    {
        "TCP" => new ConnectProbe(flow, netns),
        "UDP" => new DatagramProbe(flow, netns, new UdpExchange(payload)),
        "ICMP" => new DatagramProbe(flow, netns, new EchoExchange(flow.Source.AddressFamily)),
        "SCTP" => new DatagramProbe(flow, netns, new SctpExchange(flow.Source.AddressFamily, (ushort)flow.Port)),
        _ => throw new FormatException($"'{flow.Protocol}' is not TCP, UDP, SCTP or ICMP."),
    };

    /// <summary>Makes an attempt, as a new connection.</summary>
    public void Send() => Netns.Run(SendInside);

    /// <summary>As <see cref="Send"/>, on a thread that is in <see cref="Netns"/>.</summary>
    public void SendInside()
    {
        _socket?.Dispose();
        _socket = CreateSocket();
        _socket.Blocking = false;
        var port = _sourcePorts?.Next(Flow) ?? 0;
        _socket.Bind(new IPEndPoint(Flow.Source, this is DatagramProbe { IsRaw: true } ? 0 : port));
        try
        {
            Start(_socket, port);
        }
        catch (SocketException)
        {
            // No route, nobody there, or still under way: there will be an answer or there will be none.
        }
    }

    /// <summary>Whether an answer to the last attempt is there or comes within this time.</summary>
    public abstract bool IsAnsweredWithin(TimeSpan patience);

    public void Dispose() => _socket?.Dispose();

    private protected abstract Socket CreateSocket();

    /// <summary>Sends from a bound socket.</summary>
    private protected abstract void Start(Socket socket, int sourcePort);
}

/// <summary>TCP: the attempt is a SYN, the answer an established connection.</summary>
internal sealed class ConnectProbe(Flow flow, Netns netns) : Probe(flow, netns)
{
    public override bool IsAnsweredWithin(TimeSpan patience) => Socket.Poll(patience, SelectMode.SelectWrite) && (int)Socket.GetSocketOption(SocketOptionLevel.Socket, SocketOptionName.Error)! == 0;

    private protected override Socket CreateSocket() => new(Flow.Source.AddressFamily, SocketType.Stream, ProtocolType.Tcp);

    private protected override void Start(Socket socket, int sourcePort) => socket.Connect(Flow.Destination, Flow.Port);
}

/// <summary>A protocol without connections: the attempt is one packet, the answer one that fits it.</summary>
internal sealed class DatagramProbe(Flow flow, Netns netns, DatagramExchange exchange) : Probe(flow, netns)
{
    private readonly byte[] _buffer = new byte[2048];

    /// <summary>Whether the socket has no ports: packets bring their own.</summary>
    public bool IsRaw => exchange is RawExchange;

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

    private protected override void Start(Socket socket, int sourcePort)
    {
        if (exchange is SctpExchange sctp && sourcePort > 0)
            sctp.SetSourcePort((ushort)sourcePort);

        // Full-size packets must pass as they are, not in pieces.
        if (Flow.Source.AddressFamily == AddressFamily.InterNetwork)
            socket.DontFragment = true;
        socket.SendTo(exchange.Request, new IPEndPoint(Flow.Destination, IsRaw ? 0 : Flow.Port));
    }
}

/// <summary>
/// Source ports that are used once: an attempt with the ports of an earlier one would be part of its connection to the kernel, whatever policy says meanwhile.
/// </summary>
internal sealed class SourcePorts
{
    private const int First = 10_000;
    private readonly ConcurrentDictionary<(IPAddress, string), int> _next = [];

    /// <summary>The next port of the flow's source and protocol.</summary>
    public int Next(Flow flow)
    {
        var port = _next.AddOrUpdate((flow.Source, flow.Protocol), First, (_, last) => last + 1);
        return port <= ushort.MaxValue ? port : throw new InvalidOperationException($"{flow.Source} has used every {flow.Protocol} port.");
    }
}

/// <summary>The answering ends of flows, one for each (namespace, address, protocol, port); the kernel answers echoes.</summary>
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
        _ = exchange is null ? AcceptAsync(socket) : AnswerAsync(socket, exchange);
    }

    /// <summary>Sends from <paramref name="from"/>, again and again, until <paramref name="to"/> has answered.</summary>
    /// <param name="flow">Which packets.</param>
    /// <param name="from">Where the sender is.</param>
    /// <param name="to">Where the flow's destination is.</param>
    /// <param name="payload">Bytes to carry, with UDP alone.</param>
    /// <param name="explain">What is told when no answer comes.</param>
    public void Exchange(Flow flow, NetnsFixture from, NetnsFixture to, int payload, Func<string> explain)
    {
        Serve(flow, to.Netns);
        using var probe = Probe.Open(flow, from.Netns, payload);
        TestCluster.Eventually(
            () =>
            {
                probe.Send();
                return probe.IsAnsweredWithin(TimeSpan.FromSeconds(1));
            },
            $"{flow} is answered",
            explain);
    }

    public void Dispose()
    {
        foreach (var socket in _sockets.Values)
            socket.Dispose();
    }

    private static async Task AcceptAsync(Socket socket)
    {
        try
        {
            while (true)
                (await socket.AcceptAsync()).Dispose();
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The test is over.
        }
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
