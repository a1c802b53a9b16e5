using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Overlay.Dataplane.Desired;

namespace Overlay.Dataplane.Datastore.Kubernetes;

/// <summary>The API server: where it is, who we are to it, and everything that is asked of it. Credentials that are exchanged while we run are taken up when the old ones are refused.</summary>
internal sealed class ApiServer : IDisposable
{
    private const int LargestStatus = 64 * 1024;
    private const int LargestObject = 16 * 1024 * 1024; // etcd's own limit is a tenth of this
    private readonly OverlayConfiguration _configuration;
    private readonly ListWatchTiming _timing;
    private readonly Lock _renewing = new();
    private volatile ApiConnection _connection;
    private DateTime _looked = DateTime.UtcNow;

    private ApiServer(OverlayConfiguration configuration, ListWatchTiming timing, Identity identity) =>
        (_configuration, _timing, _connection) = (configuration, timing, new(identity));

    /// <summary>Its address; ends in a slash.</summary>
    public Uri Url => _connection.Url;

    /// <summary>Reads address and credentials from the kubeconfig, or from what Kubernetes gives every pod; nothing is connected to yet.</summary>
    /// <param name="configuration">Of the node.</param>
    /// <param name="timing">How long the head of an answer may take, and how often credentials may be read anew.</param>
    /// <exception cref="IOException">They cannot be had or used: one clear sentence.</exception>
    public static ApiServer Open(OverlayConfiguration configuration, ListWatchTiming timing) => new(configuration, timing, Identity.Read(configuration));

    /// <summary>Asks for what is at a path; the body is for the caller to read, and the response to dispose.</summary>
    /// <param name="path">Such as <c>/api/v1/pods?limit=500</c>.</param>
    /// <param name="cancellation">Stops it.</param>
    /// <exception cref="ApiException">The server refused.</exception>
    /// <exception cref="HttpRequestException">It cannot be reached.</exception>
    /// <exception cref="IOException">It does not answer in time.</exception>
    public Task<HttpResponseMessage> GetAsync(string path, CancellationToken cancellation) => SendAsync(HttpMethod.Get, path, null, cancellation);

    /// <summary>The whole body of what is at a path.</summary>
    /// <inheritdoc cref="GetAsync" path="/param"/>
    /// <inheritdoc cref="GetAsync" path="/exception"/>
    public async Task<byte[]> GetObjectAsync(string path, CancellationToken cancellation)
    {
        using var response = await GetAsync(path, cancellation).ConfigureAwait(false);
        return await ReadAsync(response, LargestObject, cancellation).ConfigureAwait(false);
    }

    /// <summary>Sends a request and waits for the head of the answer.</summary>
    /// <param name="method">Such as POST.</param>
    /// <param name="path">Path and query.</param>
    /// <param name="content">The body, or null.</param>
    /// <param name="cancellation">Stops it.</param>
    /// <inheritdoc cref="GetAsync" path="/exception"/>
    public async Task<HttpResponseMessage> SendAsync(HttpMethod method, string path, HttpContent? content, CancellationToken cancellation)
    {
        var connection = _connection;
        using var request = new HttpRequestMessage(method, new Uri(connection.Url, path.TrimStart('/'))) { Version = HttpVersion.Version20, VersionPolicy = HttpVersionPolicy.RequestVersionOrLower, Content = content };
        request.Headers.Accept.Add(new("application/json"));
        if (connection.Identity.Configuration.TlsServerName is { Length: > 0 } name)
            request.Headers.Host = name; // the client takes from here which name the certificate is to have, whatever its TLS options say
        request.Headers.UserAgent.Add(new("overlay", typeof(ApiServer).Assembly.GetName().Version?.ToString(3)));
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(_timing.Answer);
        try
        {
            await connection.Identity.AuthorizeAsync(request, deadline.Token).ConfigureAwait(false);
            var response = await connection.Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, deadline.Token).ConfigureAwait(false);
            if (response.IsSuccessStatusCode)
                return response;
            using (response)
            {
                if (response.StatusCode == HttpStatusCode.Unauthorized)
                    Renew(connection);
                throw await RefusalAsync(method, path, response, deadline.Token).ConfigureAwait(false);
            }
        }
        catch (HttpRequestException)
        {
            // The authority that we know may be the old one, and the address.
            Renew(connection);
            throw;
        }
        catch (SocketException e)
        {
            // The client asks a connection that has just come about for its other end, and lets out what comes of it when that has hung up already.
            Renew(connection);
            throw new HttpRequestException(HttpRequestError.ConnectionError, e.Message, e);
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException && !cancellation.IsCancellationRequested)
        {
            throw new IOException(
                deadline.IsCancellationRequested ? $"no answer within {_timing.Answer.TotalSeconds:0} s"
                : e.InnerException is TimeoutException ? $"no connection within {ApiConnection.ToConnect.TotalSeconds:0} s"
                : "there are new credentials",
                e);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _connection.Dispose();

    /// <summary>What a Status object says, as an exception.</summary>
    /// <param name="what">What was asked, such as <c>GET /api/v1/pods</c>.</param>
    /// <param name="code">HTTP status; a Status' own code is stronger.</param>
    /// <param name="status">JSON of a Status, or anything else.</param>
    /// <param name="retryAfter">Of the response's head.</param>
    public static ApiException Refusal(string what, int code, ReadOnlyMemory<byte> status, TimeSpan? retryAfter = null)
    {
        var (reason, message) = ("", "");
        try
        {
            using var document = JsonDocument.Parse(status);
            if (document.RootElement is { ValueKind: JsonValueKind.Object } root)
            {
                reason = Text(root, "reason");
                message = Text(root, "message");
                code = root.TryGetProperty("code", out var own) && own.TryGetInt32(out var number) && number > 0 ? number : code;
                if (root.TryGetProperty("details", out var details) && details.ValueKind == JsonValueKind.Object && details.TryGetProperty("retryAfterSeconds", out var wait) && wait.TryGetInt32(out var seconds) && seconds > 0)
                    retryAfter ??= TimeSpan.FromSeconds(seconds);
            }
        }
        catch (JsonException)
        {
            // A proxy's page, or nothing: the code has to do.
        }

        return new((HttpStatusCode)code, reason, $"{what}: {code}{(message.Length > 0 ? $" {message}" : reason.Length > 0 ? $" {reason}" : "")}", retryAfter);

        static string Text(JsonElement root, string name) => root.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString()! : "";
    }

    private static async Task<ApiException> RefusalAsync(HttpMethod method, string path, HttpResponseMessage response, CancellationToken cancellation)
    {
        byte[] body;
        try
        {
            body = await ReadAsync(response, LargestStatus, cancellation).ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or HttpRequestException)
        {
            body = []; // What it has to say is cut off; that it refuses is known.
        }

        var wait = response.Headers.RetryAfter switch
        {
            { Delta: { } delta } => delta,
            { Date: { } date } => date - DateTimeOffset.UtcNow,
            _ => (TimeSpan?)null,
        };
        return Refusal($"{method} {path.Split('?')[0]}", (int)response.StatusCode, body, wait > TimeSpan.Zero ? wait : null);
    }

    private static async Task<byte[]> ReadAsync(HttpResponseMessage response, int largest, CancellationToken cancellation)
    {
        using var body = await response.Content.ReadAsStreamAsync(cancellation).ConfigureAwait(false);
        using var buffer = new MemoryStream();
        var piece = new byte[8192];
        while (await body.ReadAsync(piece, cancellation).ConfigureAwait(false) is var read and > 0)
        {
            if (buffer.Length + read > largest)
                throw new IOException($"the answer is longer than {largest} bytes");
            buffer.Write(piece, 0, read);
        }

        return buffer.ToArray();
    }

    // Tokens, certificates and authorities are exchanged now and then; whoever is refused, or refuses, looks whether there are new ones.
    private void Renew(ApiConnection failed)
    {
        lock (_renewing)
        {
            if (_connection != failed || DateTime.UtcNow - _looked < _timing.Renew)
                return;
            _looked = DateTime.UtcNow;
            try
            {
                var identity = Identity.Read(_configuration);
                if (identity.Fingerprint == failed.Identity.Fingerprint)
                    return;
                _connection = new(identity);
                failed.Dispose();
            }
            catch (IOException)
            {
                // In the middle of being exchanged; the next refusal looks again.
            }
        }
    }
}
