using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using k8s;

namespace Overlay.Dataplane.Datastore.Kubernetes;

/// <summary>
/// Connections to the API server as one identity: whoever has another needs another of these, since a connection shows its certificate once, when it comes about. Over HTTP/2 all watches
/// share one, whose pings find out when the other end is gone; where there is only HTTP/1.1, TCP's keep-alives do.
/// </summary>
/// <param name="identity">Who we are, and whom we believe.</param>
internal sealed class ApiConnection(Identity identity) : IDisposable
{
    private static readonly TimeSpan PingEvery = TimeSpan.FromSeconds(15);

    /// <summary>Who we are.</summary>
    public Identity Identity => identity;

    /// <summary>Where the server is; ends in a slash.</summary>
    public Uri Url { get; } = new(identity.Configuration.Host.TrimEnd('/') + "/");

    /// <summary>Sends requests; has no deadline of its own but <see cref="ToConnect"/>.</summary>
    public HttpClient Http { get; } = new(CreateHandler(identity)) { Timeout = Timeout.InfiniteTimeSpan };

    /// <summary>How long a connection may take to come about, with its TLS.</summary>
    public static TimeSpan ToConnect { get; } = TimeSpan.FromSeconds(10);

    /// <summary>Answers that are being read go on.</summary>
    public void Dispose() => Http.Dispose();

    private static SocketsHttpHandler CreateHandler(Identity identity) => new()
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
            RemoteCertificateValidationCallback = (_, certificate, chain, errors) => IsTrusted(identity.Configuration, certificate, chain, errors),
            LocalCertificateSelectionCallback = (_, _, _, _, _) => identity.Certificate!,
        },
    };

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
