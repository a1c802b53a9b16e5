using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Overlay.Tests.Kernel;

/// <summary>HTTP by hand, inside the network namespace of a node.</summary>
internal static class HttpQuestion
{
    /// <summary>Sends one request, and returns all that comes back until the other side closes.</summary>
    /// <param name="node">Its network namespace.</param>
    /// <param name="host">Address of the node.</param>
    /// <param name="port">Its port.</param>
    /// <param name="request">The first line.</param>
    /// <exception cref="SocketException">Nobody listens there.</exception>
    public static string Ask(NetnsFixture node, string host, int port, string request)
    {
        using var client = node.Netns.Run(() =>
        {
            var socket = new Socket(IPAddress.Parse(host).AddressFamily, SocketType.Stream, ProtocolType.Tcp) { ReceiveTimeout = 30_000 };
            socket.Connect(IPAddress.Parse(host), port);
            return socket;
        });
        client.Send(Encoding.ASCII.GetBytes($"{request}\r\nHost: node\r\n\r\n"));
        var (text, buffer) = (new StringBuilder(), new byte[65536]);
        for (int read; (read = client.Receive(buffer)) > 0;)
            text.Append(Encoding.UTF8.GetString(buffer, 0, read));
        return text.ToString();
    }
}
