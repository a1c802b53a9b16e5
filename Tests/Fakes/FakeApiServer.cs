using System.Collections.Concurrent;
using System.Net.Sockets;
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection;

namespace Overlay.Tests.Fakes;

/// <summary>
/// An API server in this process, on a loopback port, with TLS: lists, watches, reads, patches of status and creation as kube-apiserver does them, and everything that can go
/// wrong with them, when a test asks for it. <c>ApiSemanticsTests</c> holds it to a real one.
/// </summary>
public sealed partial class FakeApiServer : IAsyncDisposable
{
    private TestCertificates _certificates = TestCertificates.Create();
    private readonly ConcurrentDictionary<string, ConnectionContext> _connections = [];
    private readonly IPAddress _address;
    private WebApplication? _listener;
    private Socket? _reservation;

    private FakeApiServer(IPAddress address)
    {
        _address = address;
        AcceptToken(Token);
    }

    /// <summary><c>https://127.0.0.1:PORT/</c>. The certificate is good for <c>localhost</c>, too.</summary>
    public Uri Url { get; private set; } = new("https://127.0.0.1:0");

    /// <summary>The certificate of its authority, PEM.</summary>
    public string CertificateAuthorityPem => _certificates.Authority.ExportCertificatePem();

    /// <summary>Starts one.</summary>
    /// <param name="address">A loopback address; 127.0.0.1 if null.</param>
    public static async Task<FakeApiServer> StartAsync(IPAddress? address = null)
    {
        var server = new FakeApiServer(address ?? IPAddress.Loopback);
        await server.ResumeListeningAsync();
        return server;
    }

    /// <summary>Writes a kubeconfig that names the token as a file.</summary>
    /// <param name="folder">Gets <c>kubeconfig</c> and <c>token</c>.</param>
    /// <returns>The path of the kubeconfig.</returns>
    public string WriteKubeconfig(string folder) => KubeconfigFile.Write(folder, Url, CertificateAuthorityPem, Token);

    /// <summary>As when the server dies: every connection is reset, new ones are refused; what is stored stays.</summary>
    public async Task StopListeningAsync()
    {
        if (_listener is null)
            return;
        foreach (var connection in _connections.Values)
            connection.Abort();
        await _listener.StopAsync(new CancellationToken(true));
        await _listener.DisposeAsync();
        _listener = null;
        // Bound but not listening: connections are refused, and nobody else gets the port.
        _reservation = new(_address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        _reservation.Bind(new IPEndPoint(_address, Url.Port));
    }

    /// <summary>Has a new authority, and a certificate of it: every connection is reset, and new ones show the new certificate.</summary>
    public async Task RenewAuthorityAsync()
    {
        await StopListeningAsync();
        _certificates.Dispose();
        _certificates = TestCertificates.Create();
        await ResumeListeningAsync();
    }

    /// <summary>Listens again, on the same port.</summary>
    public async Task ResumeListeningAsync()
    {
        var builder = WebApplication.CreateEmptyBuilder(new());
        builder.WebHost.UseKestrelCore().UseKestrelHttpsConfiguration();
        builder.WebHost.ConfigureKestrel(options =>
        {
            options.Limits.MinRequestBodyDataRate = null;
            options.Limits.MinResponseDataRate = null;
            options.Listen(_address, Url.Port, listen =>
            {
                listen.Use(next => connection => TrackAsync(connection, next));
                listen.UseHttps(_certificates.Server, https =>
                {
                    https.ClientCertificateMode = ClientCertificateMode.AllowCertificate;
                    https.AllowAnyClientCertificate(); // who it is, a request is asked
                });
            });
        });
        // A flush is done when the socket has the bytes: so a reset comes behind them, at the byte that was asked for.
        builder.Services.Configure<SocketTransportOptions>(options => options.MaxWriteBufferSize = 2);
        _listener = builder.Build();
        _listener.Run(AnswerAsync);
        _reservation?.Dispose();
        await _listener.StartAsync();
        Url = new UriBuilder(new Uri(_listener.Urls.Single()).AbsoluteUri).Uri;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await StopListeningAsync();
        _reservation?.Dispose();
        _certificates.Dispose();
    }

    private async Task TrackAsync(ConnectionContext connection, ConnectionDelegate next)
    {
        _connections[connection.ConnectionId] = connection;
        try
        {
            await next(connection);
        }
        finally
        {
            _connections.TryRemove(connection.ConnectionId, out _);
        }
    }
}
