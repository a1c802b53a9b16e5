using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using k8s;
using Overlay.Dataplane.Desired;

namespace Overlay.Dataplane.Datastore.Kubernetes;

/// <summary>
/// The API server: where it is, who we are to it, and one HTTP client for everything that is asked of it. Over HTTP/2 all watches share a connection, whose pings find out when
/// the other end is gone; where there is only HTTP/1.1, TCP's keep-alives do.
/// </summary>
internal sealed class ApiServer : IDisposable
{
    private const int LargestStatus = 64 * 1024;
    private const int LargestObject = 16 * 1024 * 1024; // etcd's own limit is a tenth of this
    private static readonly TimeSpan ToConnect = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan PingEvery = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan Reload = TimeSpan.FromSeconds(2);

    private readonly OverlayConfiguration _configuration;
    private readonly TimeSpan _toAnswer;
    private readonly HttpClient _http;
    private readonly Lock _reloading = new();
    private volatile Identity _identity;

    private ApiServer(OverlayConfiguration configuration, TimeSpan toAnswer, Identity identity)
    {
        _configuration = configuration;
        _toAnswer = toAnswer;
        _identity = identity;
        Url = new Uri(identity.Configuration.Host.TrimEnd('/') + "/");
        var handler = new SocketsHttpHandler
        {
            AutomaticDecompression = DecompressionMethods.GZip,
            ConnectTimeout = ToConnect,
            ConnectCallback = ConnectAsync,
            EnableMultipleHttp2Connections = true,
            InitialHttp2StreamWindowSize = 512 * 1024,
            KeepAlivePingDelay = PingEvery,
            KeepAlivePingTimeout = PingEvery,
            KeepAlivePingPolicy = HttpKeepAlivePingPolicy.WithActiveRequests,
            SslOptions = new()
            {
                RemoteCertificateValidationCallback = (_, certificate, chain, errors) => IsTrusted(_identity.Configuration, certificate, chain, errors),
                LocalCertificateSelectionCallback = (_, _, _, _, _) => _identity.Certificate!,
            },
        };
        _http = new(handler) { Timeout = Timeout.InfiniteTimeSpan, BaseAddress = Url };
    }

    /// <summary>Its address; ends in a slash.</summary>
    public Uri Url { get; }

    /// <summary>Reads address and credentials from the kubeconfig, or from what Kubernetes gives every pod; nothing is connected to yet.</summary>
    /// <param name="configuration">Of the node.</param>
    /// <param name="timing">How long the head of an answer may take.</param>
    /// <exception cref="IOException">They cannot be had or used: one clear sentence.</exception>
    public static ApiServer Open(OverlayConfiguration configuration, ListWatchTiming timing) => new(configuration, timing.Answer, Identity.Read(configuration));

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
        using var request = new HttpRequestMessage(method, new Uri(Url, path.TrimStart('/'))) { Version = HttpVersion.Version20, VersionPolicy = HttpVersionPolicy.RequestVersionOrLower, Content = content };
        request.Headers.Accept.Add(new("application/json"));
        if (_identity.Configuration.TlsServerName is { Length: > 0 } name)
            request.Headers.Host = name; // the client takes from here which name the certificate is to have, whatever its TLS options say
        request.Headers.UserAgent.Add(new("overlay", typeof(ApiServer).Assembly.GetName().Version?.ToString(3)));
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(_toAnswer);
        try
        {
            var identity = _identity;
            if (identity.Credentials is { } credentials)
                await credentials.ProcessHttpRequestAsync(request, deadline.Token).ConfigureAwait(false);
            var response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, deadline.Token).ConfigureAwait(false);
            if (response.IsSuccessStatusCode)
                return response;
            using (response)
            {
                if (response.StatusCode == HttpStatusCode.Unauthorized)
                    ReadIdentityAnew(identity);
                throw await RefusalAsync(method, path, response, deadline.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new IOException($"no answer within {_toAnswer.TotalSeconds:0} s");
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _http.Dispose();

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

    // Tokens and certificates are exchanged now and then; whoever is refused looks whether there are new ones.
    private void ReadIdentityAnew(Identity refused)
    {
        lock (_reloading)
        {
            if (_identity != refused || DateTime.UtcNow - refused.Since < Reload)
                return;
            try
            {
                _identity = Identity.Read(_configuration);
            }
            catch (IOException)
            {
                // In the middle of being exchanged; the next refusal looks again.
            }
        }
    }

    // A certificate counts when it is the server's by name and one of the configured authorities has signed it: then nobody else's word is good enough.
    private static bool IsTrusted(KubernetesClientConfiguration configuration, X509Certificate? certificate, X509Chain? chain, SslPolicyErrors errors)
    {
        if (configuration.SkipTlsVerify || configuration.SslCaCerts is not { Count: > 0 })
            return configuration.SkipTlsVerify || errors == SslPolicyErrors.None;
        return (errors & ~SslPolicyErrors.RemoteCertificateChainErrors) == 0 && IsSigned(configuration, certificate, chain);
    }

    private static bool IsSigned(KubernetesClientConfiguration configuration, X509Certificate? certificate, X509Chain? presented)
    {
        if (certificate is not X509Certificate2 leaf)
            return false;
        using var chain = new X509Chain();
        chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        chain.ChainPolicy.CustomTrustStore.AddRange(configuration.SslCaCerts);
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        if (presented is not null)
            chain.ChainPolicy.ExtraStore.AddRange(presented.ChainElements.Select(element => element.Certificate).ToArray());
        return chain.Build(leaf);
    }

    private static async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, CancellationToken cancellation)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, (int)PingEvery.TotalSeconds);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, 5);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, 3);
            await socket.ConnectAsync(context.DnsEndPoint, cancellation).ConfigureAwait(false);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
