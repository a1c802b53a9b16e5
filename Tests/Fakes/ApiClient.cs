using System.Net;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json.Nodes;

namespace Overlay.Tests.Fakes;

/// <summary>A plain HttpClient for an API server, with a token; over HTTP/2 like the agent, if nothing else is asked for.</summary>
internal sealed class ApiClient : IDisposable
{
    private readonly X509Certificate2 _authority;

    public ApiClient(Uri url, string authorityPem, string token, Version? version = null)
    {
        _authority = X509Certificate2.CreateFromPem(authorityPem);
        var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        policy.CustomTrustStore.Add(_authority);
        Http = new(new SocketsHttpHandler { SslOptions = new SslClientAuthenticationOptions { CertificateChainPolicy = policy } }) 
        {
            BaseAddress = url,
            DefaultRequestVersion = version ?? HttpVersion.Version20,
            DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };
        Http.DefaultRequestHeaders.Authorization = new("Bearer", token);
    }

    /// <summary>The client itself; addresses are relative to the server's.</summary>
    public HttpClient Http { get; }

    /// <summary>GET: status code, and the body, which must be JSON.</summary>
    public Task<(int Code, JsonNode Body)> GetAsync(string path) => SendAsync(HttpMethod.Get, path, null);

    /// <summary>GET of text.</summary>
    public async Task<string> TextAsync(string path, int expected = 200)
    {
        using var response = await Http.GetAsync(path);
        Assert.That((int)response.StatusCode, Is.EqualTo(expected), path);
        return await response.Content.ReadAsStringAsync();
    }

    /// <summary>A request with a body.</summary>
    public async Task<(int Code, JsonNode Body)> SendAsync(HttpMethod method, string path, string? body, string contentType = "application/json")
    {
        using var request = new HttpRequestMessage(method, path) { Version = Http.DefaultRequestVersion, VersionPolicy = Http.DefaultVersionPolicy, Content = body is null ? null : new StringContent(body, Encoding.UTF8, new System.Net.Http.Headers.MediaTypeHeaderValue(contentType)) };
        using var response = await Http.SendAsync(request);
        var text = await response.Content.ReadAsStringAsync();
        Assert.That(response.Content.Headers.ContentType?.MediaType, Is.EqualTo("application/json"), $"{method} {path}: {(int)response.StatusCode} {text}");
        return ((int)response.StatusCode, JsonNode.Parse(text)!);
    }

    /// <summary>Begins a watch; the headers of its answer have come.</summary>
    public async Task<Watch> WatchAsync(string path)
    {
        var response = await Http.GetAsync(path, HttpCompletionOption.ResponseHeadersRead);
        Assert.That((int)response.StatusCode, Is.EqualTo(200), path);
        return new(response, await response.Content.ReadAsStreamAsync());
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Http.Dispose();
        _authority.Dispose();
    }

    /// <summary>A running watch.</summary>
    public sealed class Watch(HttpResponseMessage response, Stream body) : IAsyncDisposable
    {
        private readonly StreamReader _reader = new(body);

        /// <summary>The next line; null at the end. Waits for half a minute at most.</summary>
        public async Task<string?> NextLineAsync()
        {
            using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(30));
            return await _reader.ReadLineAsync(deadline.Token);
        }

        /// <summary>The next event; null at the end.</summary>
        public async Task<JsonNode?> NextObjectAsync() => await NextLineAsync() is { } line ? JsonNode.Parse(line) : null;

        /// <summary>Type and name of the next event; null at the end.</summary>
        public async Task<string?> NextAsync() => await NextObjectAsync() is { } next ? $"{next["type"]} {next["object"]!["metadata"]!["name"]}" : null;

        /// <inheritdoc/>
        public ValueTask DisposeAsync()
        {
            _reader.Dispose();
            response.Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
