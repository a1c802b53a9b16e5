using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Overlay.Dataplane.Http;

/// <summary>
/// Answers <c>GET</c> of a few paths: HTTP/1.1 with one request a connection, which is all that Prometheus and kubelet need. It runs beside the agent's loop, so it answers also
/// while that is busy. Whoever reaches the address may read it.
/// </summary>
internal sealed class HttpEndpoint : IDisposable
{
    private const int MaximumRequest = 8192;
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(5);

    private readonly SemaphoreSlim _clients = new(16);
    private readonly Socket _listener;
    private readonly IReadOnlyDictionary<string, Func<CancellationToken, Task<HttpAnswer>>> _pages;

    private HttpEndpoint(Socket listener, IReadOnlyDictionary<string, Func<CancellationToken, Task<HttpAnswer>>> pages)
    {
        _listener = listener;
        _pages = pages;
    }

    /// <summary>Starts to listen: from here on clients connect and wait; they are served once <see cref="RunAsync"/> runs.</summary>
    /// <param name="key">The configuration key of the address, for errors: <c>metrics.address</c>.</param>
    /// <param name="address">ADDRESS:PORT; without an address every one of the machine. Empty: nothing is served.</param>
    /// <param name="pages">What is asked for an answer, by path; called by any thread.</param>
    /// <returns>Null when there is no address.</returns>
    /// <exception cref="IOException">The address is not this machine's, or taken.</exception>
    public static HttpEndpoint? Listen(string key, string address, IReadOnlyDictionary<string, Func<CancellationToken, Task<HttpAnswer>>> pages)
    {
        if (address.Length == 0)
            return null;
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
            return new(listener, pages);
        }
        catch (SocketException error)
        {
            listener.Dispose();
            throw new IOException($"Cannot serve {key.Split('.')[0]} on {address} ({key}): {error.Message}.", error);
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
                for (ReadOnlyMemory<byte> rest = Encoding.UTF8.GetBytes(await AnswerAsync(request, deadline.Token).ConfigureAwait(false)); !rest.IsEmpty;)
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

    private async Task<string> AnswerAsync(string request, CancellationToken cancellation)
    {
        var words = request.Split("\r\n")[0].Split(' ');
        if (words.Length != 3 || !words[2].StartsWith("HTTP/1.", StringComparison.Ordinal) || !request.EndsWith("\r\n\r\n", StringComparison.Ordinal))
            return Response(new("400 Bad Request", HttpAnswer.PlainText, "This is no HTTP/1.1 request.\n"));
        if (words[0] is not ("GET" or "HEAD"))
            return Response(new("405 Method Not Allowed", HttpAnswer.PlainText, "Only GET and HEAD.\n"), "Allow: GET, HEAD\r\n");
        var response = Response(_pages.TryGetValue(words[1].Split('?')[0], out var page)
            ? await page(cancellation).ConfigureAwait(false)
            : new("404 Not Found", HttpAnswer.PlainText, $"There is {string.Join(", ", _pages.Keys.Order(StringComparer.Ordinal))}.\n"));
        return words[0] == "HEAD" ? response[..(response.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4)] : response;
    }

    private static string Response(HttpAnswer answer, string more = "") =>
        $"HTTP/1.1 {answer.Status}\r\nContent-Type: {answer.MediaType}\r\nContent-Length: {Encoding.UTF8.GetByteCount(answer.Body)}\r\n{more}Connection: close\r\n\r\n{answer.Body}";
}
