using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Overlay.Dataplane.Metrics;

/// <summary>
/// Answers <c>GET /metrics</c>, and nothing else: HTTP/1.1 with one request a connection, which is all that Prometheus needs. It only reads what it is given, so it answers
/// also while the agent's loop is busy. Whoever reaches the address may read it.
/// </summary>
internal sealed class MetricsEndpoint : IDisposable
{
    private const int MaximumRequest = 8192;
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(5);

    private readonly SemaphoreSlim _clients = new(16);
    private readonly Socket _listener;
    private readonly Func<string> _metrics;

    private MetricsEndpoint(Socket listener, Func<string> metrics)
    {
        _listener = listener;
        _metrics = metrics;
    }

    /// <summary>Starts to listen: from here on clients connect and wait; they are served once <see cref="RunAsync"/> runs.</summary>
    /// <param name="address">ADDRESS:PORT; without an address every one of the machine.</param>
    /// <param name="metrics">The text; called by any thread.</param>
    /// <exception cref="IOException">The address is not this machine's, or taken.</exception>
    public static MetricsEndpoint Listen(string address, Func<string> metrics)
    {
        var colon = address.LastIndexOf(':');
        var host = address[..colon].Trim('[', ']');
        var endpoint = new IPEndPoint(host.Length > 0 ? IPAddress.Parse(host) : IPAddress.IPv6Any, int.Parse(address[(colon + 1)..], CultureInfo.InvariantCulture));
        var listener = new Socket(endpoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            if (host.Length == 0)
                listener.DualMode = true;
            listener.Bind(endpoint);
            listener.Listen(64);
            return new(listener, metrics);
        }
        catch (SocketException error)
        {
            listener.Dispose();
            throw new IOException($"Cannot serve metrics on {address} (metrics.address): {error.Message}.", error);
        }
    }

    /// <summary>Serves clients, a few at a time, until cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        while (true)
        {
            await _clients.WaitAsync(cancellation).ConfigureAwait(false);
            _ = ServeAsync(await _listener.AcceptAsync(cancellation).ConfigureAwait(false), cancellation);
        }
    }

    /// <summary>Stops to listen.</summary>
    public void Dispose() => _listener.Dispose();

    private async Task ServeAsync(Socket client, CancellationToken cancellation)
    {
        using (client)
        using (var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation))
        {
            deadline.CancelAfter(Deadline);
            try
            {
                var request = await ReceiveAsync(client, deadline.Token).ConfigureAwait(false);
                for (ReadOnlyMemory<byte> rest = Encoding.UTF8.GetBytes(Answer(request, _metrics)); !rest.IsEmpty;)
                    rest = rest[await client.SendAsync(rest, deadline.Token).ConfigureAwait(false)..];
                client.Shutdown(SocketShutdown.Send);
            }
            catch (Exception e) when (e is SocketException or OperationCanceledException)
            {
                // The client is gone or too slow; it may ask again.
            }
            finally
            {
                _clients.Release();
            }
        }
    }

    // The request up to the end of its headers, or what came of it.
    private static async Task<string> ReceiveAsync(Socket client, CancellationToken cancellation)
    {
        var (buffer, length) = (new byte[MaximumRequest], 0);
        while (length < buffer.Length && !buffer.AsSpan(0, length).EndsWith("\r\n\r\n"u8))
        {
            var received = await client.ReceiveAsync(buffer.AsMemory(length), cancellation).ConfigureAwait(false);
            if (received == 0)
                break;
            length += received;
        }

        return Encoding.ASCII.GetString(buffer, 0, length);
    }

    private static string Answer(string request, Func<string> metrics)
    {
        var words = request.Split("\r\n")[0].Split(' ');
        if (words.Length != 3 || !words[2].StartsWith("HTTP/1.", StringComparison.Ordinal) || !request.EndsWith("\r\n\r\n", StringComparison.Ordinal))
            return Response("400 Bad Request", "text/plain", "This is no HTTP/1.1 request.\n");
        if (words[0] is not ("GET" or "HEAD"))
            return Response("405 Method Not Allowed", "text/plain", "GET /metrics.\n", "Allow: GET, HEAD\r\n");
        var response = words[1].Split('?')[0] == "/metrics" ? Response("200 OK", PrometheusText.MediaType, metrics()) : Response("404 Not Found", "text/plain", "Metrics are at /metrics.\n");
        return words[0] == "HEAD" ? response[..(response.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4)] : response;
    }

    private static string Response(string status, string type, string body, string more = "") =>
        $"HTTP/1.1 {status}\r\nContent-Type: {type}\r\nContent-Length: {Encoding.UTF8.GetByteCount(body)}\r\n{more}Connection: close\r\n\r\n{body}";
}
