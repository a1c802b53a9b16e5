using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Overlay.Dataplane.Datastore.Kubernetes;
using Overlay.Dataplane.Desired;
using Overlay.Tests.Fakes;

namespace Overlay.Tests.Dataplane.Kubernetes;

/// <summary>Whom we believe to be the API server, and who we are to it.</summary>
public class ApiServerTests
{
    private DirectoryInfo _folder = null!;
    private FakeApiServer _server = null!;

    [SetUp]
    public async Task Start()
    {
        _folder = Directory.CreateTempSubdirectory("overlay-identity-");
        _server = await FakeApiServer.StartAsync();
    }

    [TearDown]
    public async Task Stop()
    {
        await _server.DisposeAsync();
        _folder.Delete(recursive: true);
    }

    [Test]
    public async Task The_server_whose_authority_and_name_are_right_is_believed([Values(null, "localhost")] string? name) =>
        Assert.That(await AskAsync(_server.Url, _server.CertificateAuthorityPem, name), Is.EqualTo("ok"));

    // The client library would: it looks at the authority alone.
    [Test]
    public void A_server_of_another_name_is_not() =>
        Assert.That(async () => await AskAsync(_server.Url, _server.CertificateAuthorityPem, "api.example"), Throws.InstanceOf<HttpRequestException>().With.InnerException.Message.Contains("certificate"));

    [Test]
    public void A_server_of_another_authority_is_not()
    {
        using var key = ECDsa.Create();
        var request = new CertificateRequest("CN=somebody else", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, false, 0, critical: true));
        using var stranger = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        Assert.That(async () => await AskAsync(_server.Url, stranger.ExportCertificatePem(), null), Throws.InstanceOf<HttpRequestException>().With.InnerException.Message.Contains("certificate"));
    }

    [Test]
    public async Task ApiServer_is_stronger_than_the_kubeconfig()
    {
        var kubeconfig = KubeconfigFile.Write(_folder.FullName, new("https://192.0.2.1:6443"), _server.CertificateAuthorityPem, _server.Token, "localhost");
        using var server = ApiServer.Open(new() { Kubeconfig = kubeconfig, ApiServer = _server.Url.GetLeftPart(UriPartial.Authority) }, new());
        using var answer = await server.GetAsync("/readyz", CancellationToken.None);
        Assert.That(answer.StatusCode, Is.EqualTo(HttpStatusCode.OK));
    }

    [Test]
    public void A_relative_token_file_is_beside_the_kubeconfig()
    {
        var kubeconfig = _server.WriteKubeconfig(_folder.FullName);
        File.WriteAllText(kubeconfig, File.ReadAllText(kubeconfig).Replace(_folder.FullName + "/", "", StringComparison.Ordinal));
        using var server = ApiServer.Open(new() { Kubeconfig = kubeconfig }, new());
        Assert.That(async () => (await server.GetAsync("/readyz", CancellationToken.None)).StatusCode, Is.EqualTo(HttpStatusCode.OK));
    }

    [Test]
    public void A_certificate_of_the_client_is_read_with_its_key()
    {
        using var key = RSA.Create(2048);
        using var made = new CertificateRequest("CN=system:node:node-1", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1).CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        var path = Path.Combine(_folder.FullName, "kubeconfig");
        File.WriteAllText(Path.Combine(_folder.FullName, "client.pem"), made.ExportCertificatePem() + "\n" + key.ExportRSAPrivateKeyPem());
        File.WriteAllText(path, """
            apiVersion: v1
            kind: Config
            clusters: [{ name: c, cluster: { server: "https://192.0.2.1:6443", insecure-skip-tls-verify: true } }]
            users: [{ name: u, user: { client-certificate: client.pem, client-key: client.pem } }]
            contexts: [{ name: x, context: { cluster: c, user: u } }]
            current-context: x
            """);
        var identity = Identity.Read(new() { Kubeconfig = path });
        Assert.That((identity.Certificate!.Subject, identity.Certificate.HasPrivateKey), Is.EqualTo(("CN=system:node:node-1", true)));
    }

    [TestCase("", "current-context")]
    [TestCase("hello", "")]
    [TestCase("apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{ name: x, context: { cluster: c, user: u } }]\nclusters: [{ name: c, cluster: { server: 'ftp://192.0.2.1' } }]\nusers: [{ name: u, user: { token: t } }]\n", "ftp://192.0.2.1")]
    [TestCase("apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{ name: x, context: { cluster: c, user: u } }]\nclusters: [{ name: c, cluster: { server: 'https://192.0.2.1', certificate-authority: none.crt } }]\nusers: [{ name: u, user: { token: t } }]\n", "none.crt")]
    [TestCase("apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{ name: x, context: { cluster: c, user: u } }]\nclusters: [{ name: c, cluster: { server: 'https://192.0.2.1' } }]\nusers: [{ name: u, user: { client-certificate: none.pem, client-key: none.pem } }]\n", "none.pem")]
    [TestCase("apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{ name: x, context: { cluster: c, user: u } }]\nclusters: [{ name: c, cluster: { server: 'https://192.0.2.1' } }]\nusers: [{ name: u, user: { exec: { apiVersion: client.authentication.k8s.io/v1, command: /no/such/plugin } } }]\n", "/no/such/plugin")]
    [TestCase("apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{ name: x }]\n", "")]
    [TestCase("apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{ name: x, context: { cluster: c, user: u } }]\nclusters: [{ name: c }]\nusers: [{ name: u }]\n", "")]
    [TestCase("clusters: {}", "")]
    [TestCase(":\n  - [", "")]
    [TestCase("apiVersion: v1\nkind: Config\ncurrent-context: none\n", "none")]
    public void A_kubeconfig_that_cannot_be_used_is_named_in_one_sentence(string text, string reason)
    {
        var path = Path.Combine(_folder.FullName, "kubeconfig");
        File.WriteAllText(path, text);
        Assert.That(() => Identity.Read(new() { Kubeconfig = path }), Throws.InstanceOf<IOException>().With.Message.Contains(path).And.Message.Contains(reason).And.Message.Not.Contains("\n"));
    }

    [Test]
    public void Without_any_credentials_it_is_said_what_to_set()
    {
        Assert.That(() => Identity.Read(new() { Kubeconfig = "/no/such/kubeconfig" }), Throws.InstanceOf<IOException>().With.Message.EqualTo("kubeconfig /no/such/kubeconfig does not exist."));
        Assert.That(() => Identity.Read(new() { Kubeconfig = _folder.FullName }), Throws.InstanceOf<IOException>().With.Message.Contains("is a folder"));
        if (k8s.KubernetesClientConfiguration.IsInCluster())
            Assert.Ignore("This is a pod of a cluster.");
        Assert.That(() => Identity.Read(new OverlayConfiguration()), Throws.InstanceOf<IOException>().With.Message.Contains("Set kubeconfig"));
    }

    // What the HTTP client lets out then is no HttpRequestException.
    [Test]
    public async Task Whoever_hangs_up_as_soon_as_he_is_connected_is_one_who_cannot_be_reached()
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen(512);
        using var stop = new CancellationTokenSource();
        var resetting = ResetAsync(listener, stop.Token);
        using var server = ApiServer.Open(new() { Kubeconfig = KubeconfigFile.Write(_folder.FullName, new($"https://{listener.LocalEndPoint}"), _server.CertificateAuthorityPem, "token") }, new());
        for (var i = 0; i < 1000; i++)
            Assert.That(() => server.GetAsync("/readyz", CancellationToken.None), Throws.InstanceOf<HttpRequestException>());
        await stop.CancelAsync();
        await resetting.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

        static async Task ResetAsync(Socket listener, CancellationToken stop)
        {
            while (true)
            {
                using var client = await listener.AcceptAsync(stop);
                client.LingerState = new(true, 0);
            }
        }
    }

    private async Task<string> AskAsync(Uri url, string authority, string? name)
    {
        using var server = ApiServer.Open(new() { Kubeconfig = KubeconfigFile.Write(_folder.FullName, url, authority, _server.Token, name) }, new());
        using var answer = await server.GetAsync("/readyz", CancellationToken.None);
        return await answer.Content.ReadAsStringAsync();
    }
}
