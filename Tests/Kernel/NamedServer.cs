using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Overlay.Dataplane.Netlink;

namespace Overlay.Tests.Kernel;

/// <summary>What a server told the one who connected.</summary>
/// <param name="Server">Who it is.</param>
/// <param name="Client">The address that it sees.</param>
internal sealed record Introduction(string Server, IPAddress Client);

/// <summary>A TCP server, on every address of a namespace, that tells everybody who it is and whom it sees.</summary>
internal sealed class NamedServer : IDisposable
{
    // In the guest everything takes longer.
    private static readonly TimeSpan Moment = TimeSpan.FromMilliseconds(Guest.Guest.IsHere ? 1000 : 300);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(Guest.Guest.IsHere ? 60 : 20);

    private readonly Socket _socket;

    private NamedServer(Socket socket) => _socket = socket;

    /// <summary>Starts one.</summary>
    public static NamedServer Start(string name, Netns netns, int port)
    {
        var socket = netns.Run(() =>
        {
            var made = new Socket(AddressFamily.InterNetworkV6, SocketType.Stream, ProtocolType.Tcp) { DualMode = true };
            made.Bind(new IPEndPoint(IPAddress.IPv6Any, port));
            made.Listen(512);
            return made;
        });
        _ = ServeAsync(socket, name);
        return new(socket);
    }

    /// <summary>
    /// Connects several times and collects what is answered: waits until <paramref name="expected"/> have answered, and a moment longer, as nothing tells an
    /// answer that will never come from one that is late.
    /// </summary>
    public static IReadOnlyList<Introduction> Ask(Netns from, IPAddress address, int port, int times, int expected)
    {
        var sockets = new List<Socket>();
        try
        {
            from.Run(() =>
            {
                for (var i = 0; i < times; i++)
                    sockets.Add(Connect(address, port));
            });
            var answers = new List<Introduction>();
            var waiting = sockets.ToList();
            var clock = Stopwatch.StartNew();
            Collect(until: () => answers.Count >= expected || clock.Elapsed > Patience);
            clock.Restart();
            Collect(until: () => clock.Elapsed > Moment || waiting.Count == 0);
            return answers;

            void Collect(Func<bool> until)
            {
                for (; !until(); Thread.Sleep(5))
                {
                    foreach (var socket in waiting.Where(socket => socket.Poll(0, SelectMode.SelectRead)).ToList())
                    {
                        waiting.Remove(socket);
                        if (Read(socket) is { } answer)
                            answers.Add(answer);
                    }
                }
            }
        }
        finally
        {
            foreach (var socket in sockets)
                socket.Dispose();
        }
    }

    public void Dispose() => _socket.Dispose();

    private static Socket Connect(IPAddress address, int port)
    {
        var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { Blocking = false };
        try
        {
            socket.Connect(address, port);
        }
        catch (SocketException)
        {
            // Under way, or refused at once: there will be an answer or there will be none.
        }

        return socket;
    }

    private static Introduction? Read(Socket socket)
    {
        var buffer = new byte[256];
        try
        {
            var words = Encoding.UTF8.GetString(buffer, 0, socket.Receive(buffer)).Split(' ');
            return words.Length == 2 ? new(words[0], IPAddress.Parse(words[1])) : null;
        }
        catch (SocketException)
        {
            return null;
        }
    }

    private static async Task ServeAsync(Socket socket, string name)
    {
        try
        {
            while (true)
            {
                using var client = await socket.AcceptAsync();
                var address = ((IPEndPoint)client.RemoteEndPoint!).Address;
                client.Send(Encoding.UTF8.GetBytes($"{name} {(address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address)}"));
                client.Shutdown(SocketShutdown.Send);
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The test is over.
        }
    }
}
