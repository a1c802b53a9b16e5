using System.Net;
using System.Net.Sockets;

namespace Overlay.Tests.Kernel;

/// <summary>Makes a server of this machine's loopback reachable in a network namespace, under an address there.</summary>
internal sealed class Relay : IDisposable
{
    private readonly Socket _listener;
    private readonly IPEndPoint _target;

    private Relay(Socket listener, IPEndPoint target) => (_listener, _target) = (listener, target);

    /// <summary>Where it listens.</summary>
    public IPEndPoint Address => (IPEndPoint)_listener.LocalEndPoint!;

    /// <summary>Starts one.</summary>
    /// <param name="net">The namespace.</param>
    /// <param name="address">An address that it has.</param>
    /// <param name="target">The server, on loopback.</param>
    public static Relay Start(NetnsFixture net, IPAddress address, IPEndPoint target)
    {
        var relay = new Relay(
            net.Netns.Run(() =>
            {
                var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
                socket.Bind(new IPEndPoint(address, 0));
                socket.Listen(64);
                return socket;
            }),
            target);
        _ = Task.Run(relay.AcceptAsync);
        return relay;
    }

    public void Dispose() => _listener.Dispose();

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
                _ = CarryAsync(await _listener.AcceptAsync());
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The test is over.
        }
    }

    // A server that is gone, or resets, is so for the client, too.
    private async Task CarryAsync(Socket client)
    {
        using var server = new Socket(_target.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        client.LingerState = new(enable: true, seconds: 0);
        using (client)
        {
            try
            {
                await server.ConnectAsync(_target);
                await await Task.WhenAny(CopyAsync(client, server), CopyAsync(server, client));
            }
            catch (SocketException)
            {
                // Told by closing.
            }
        }
    }

    private static async Task CopyAsync(Socket from, Socket to)
    {
        var buffer = new byte[16384];
        while (await from.ReceiveAsync(buffer) is var read and > 0)
            await to.SendAsync(buffer.AsMemory(0, read));
    }
}
