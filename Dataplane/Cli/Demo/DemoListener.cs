using System.Net;
using System.Net.Sockets;
using System.Text;
using Overlay.Dataplane.Netlink;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Cli.Demo;

/// <summary>
/// The program of a pod: it listens on every <see cref="DemoScenario.Ports"/> entry over both families and answers with the pod's name, over TCP
/// filled up so that full-size packets travel. It lives in the demo's process; only its sockets are in the pod's namespace.
/// </summary>
internal sealed class DemoListener : IDisposable
{
    /// <summary>Bytes of an answer over TCP: several segments.</summary>
    public const int AnswerLength = 4096;

    private readonly List<Socket> _sockets;

    private DemoListener(List<Socket> sockets) => _sockets = sockets;

    /// <summary>Starts to listen.</summary>
    /// <param name="netns">The pod's namespace.</param>
    /// <param name="name">What to answer.</param>
    public static DemoListener Start(Netns netns, string name)
    {
        var sockets = new List<Socket>();
        foreach (var port in DemoScenario.Ports)
        {
            foreach (var family in FamilyFacts.Both)
            {
                var socket = netns.Run(() => Open(family, port.Protocol));
                sockets.Add(socket);
                socket.Bind(new IPEndPoint(family == Family.IPv4 ? IPAddress.Any : IPAddress.IPv6Any, port.Number));
                if (port.Protocol == IpProtocol.Tcp)
                    socket.Listen();
                _ = port.Protocol == IpProtocol.Tcp ? AcceptAsync(socket, name) : AnswerAsync(socket, name);
            }
        }

        return new(sockets);
    }

    /// <summary>Opens a socket in the calling thread's namespace.</summary>
    public static Socket Open(Family family, IpProtocol protocol)
    {
        var addressFamily = family == Family.IPv4 ? AddressFamily.InterNetwork : AddressFamily.InterNetworkV6;
        return protocol == IpProtocol.Tcp
            ? new(addressFamily, SocketType.Stream, ProtocolType.Tcp)
            : new(addressFamily, SocketType.Dgram, ProtocolType.Udp);
    }

    /// <summary>Stops to listen.</summary>
    public void Dispose() => _sockets.ForEach(socket => socket.Dispose());

    private static async Task AcceptAsync(Socket listener, string name)
    {
        var answer = Encoding.ASCII.GetBytes(name.PadRight(AnswerLength));
        while (true)
        {
            try
            {
                _ = SendAndCloseAsync(await listener.AcceptAsync(), answer);
            }
            catch (SocketException)
            {
                return; // Disposed of.
            }
            catch (ObjectDisposedException)
            {
                return;
            }
        }
    }

    private static async Task SendAndCloseAsync(Socket connection, byte[] answer)
    {
        using (connection)
        {
            try
            {
                await connection.SendAsync(answer);
                connection.Shutdown(SocketShutdown.Send);
                await connection.ReceiveAsync(new byte[1]); // Until the other side closes, or its packets no longer come.
            }
            catch (SocketException)
            {
                // The prober gave up; it knows.
            }
        }
    }

    private static async Task AnswerAsync(Socket socket, string name)
    {
        var answer = Encoding.ASCII.GetBytes(name);
        var question = new byte[1];
        var anybody = new IPEndPoint(socket.AddressFamily == AddressFamily.InterNetwork ? IPAddress.Any : IPAddress.IPv6Any, 0);
        while (true)
        {
            try
            {
                var received = await socket.ReceiveFromAsync(question, SocketFlags.None, anybody);
                await socket.SendToAsync(answer, SocketFlags.None, received.RemoteEndPoint);
            }
            catch (SocketException exception) when (exception.SocketErrorCode is not (SocketError.OperationAborted or SocketError.Interrupted))
            {
                // An ICMP error for an earlier answer; the next question may be answered.
            }
            catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
            {
                return;
            }
        }
    }
}
