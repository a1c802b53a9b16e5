using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Overlay.Dataplane.Netlink;

namespace Overlay.Tests.Kernel;

/// <summary>A UDP server, on every address of a namespace, that tells everybody who it is and whom it sees.</summary>
internal sealed class NamedDatagramServer : IDisposable
{
    private readonly Socket _socket;

    private NamedDatagramServer(Socket socket) => _socket = socket;

    /// <summary>Starts one.</summary>
    public static NamedDatagramServer Start(string name, Netns netns, int port)
    {
        var socket = netns.Run(() =>
        {
            var made = new Socket(AddressFamily.InterNetworkV6, SocketType.Dgram, ProtocolType.Udp) { DualMode = true };
            made.Bind(new IPEndPoint(IPAddress.IPv6Any, port));
            return made;
        });
        _ = ServeAsync(socket, name);
        return new(socket);
    }

    public void Dispose() => _socket.Dispose();

    private static async Task ServeAsync(Socket socket, string name)
    {
        var buffer = new byte[64];
        while (true)
        {
            try
            {
                var received = await socket.ReceiveFromAsync(buffer, new IPEndPoint(IPAddress.IPv6Any, 0));
                var address = ((IPEndPoint)received.RemoteEndPoint).Address;
                await socket.SendToAsync(Encoding.UTF8.GetBytes($"{name} {(address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address)}"), received.RemoteEndPoint);
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

/// <summary>A client that asks from one port: to the kernel all that it asks of one address is one connection.</summary>
internal sealed class SteadySender : IDisposable
{
    private readonly Socket _socket;
    private readonly IPEndPoint _server;

    private SteadySender(Socket socket, IPEndPoint server) => (_socket, _server) = (socket, server);

    /// <summary>Opens one; nothing is sent yet.</summary>
    public static SteadySender Open(Netns from, IPAddress address, int port) =>
        new(from.Run(() => new Socket(address.AddressFamily, SocketType.Dgram, ProtocolType.Udp)), new(address, port));

    /// <summary>Asks again every 50 ms until somebody answers, or until the time is up: then null.</summary>
    public Introduction? Ask(TimeSpan patience)
    {
        var buffer = new byte[256];
        for (var clock = Stopwatch.StartNew(); clock.Elapsed < patience;)
        {
            try
            {
                _socket.SendTo([1], _server);
                if (!_socket.Poll(TimeSpan.FromMilliseconds(50), SelectMode.SelectRead))
                    continue;
                EndPoint sender = new IPEndPoint(_server.Address, 0);
                var words = Encoding.UTF8.GetString(buffer, 0, _socket.ReceiveFrom(buffer, ref sender)).Split(' ');
                if (sender.Equals(_server))
                    return new(words[0], IPAddress.Parse(words[1]));
            }
            catch (SocketException)
            {
                // An ICMP error in the place of an answer.
            }
        }

        return null;
    }

    public void Dispose() => _socket.Dispose();
}
