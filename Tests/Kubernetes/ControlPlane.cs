using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Overlay.Tests.Fakes;

namespace Overlay.Tests.Kubernetes;

/// <summary>
/// A real etcd and a real kube-apiserver, of whatever version is installed (tried: 1.20), on loopback ports. There are no controllers: what is applied stays as it is.
/// Shared by all tests of a run, so a test uses names and namespaces of its own.
/// </summary>
internal sealed partial class ControlPlane : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);
    private static readonly Lazy<Task<ControlPlane>> Shared = new(StartAsync);

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("overlay-control-plane-");
    private readonly TestCertificates _certificates = TestCertificates.Create();
    private readonly List<ServerProcess> _processes = [];
    private readonly Uri _etcd;
    private readonly ApiClient _client;

    private ControlPlane(int[] ports)
    {
        (_etcd, Url) = (new($"http://127.0.0.1:{ports[0]}"), new($"https://127.0.0.1:{ports[2]}"));
        _client = Client(AdminToken);
        try
        {
            Start(ports);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Address of the API server.</summary>
    public Uri Url { get; }

    /// <summary>The certificate of its authority, PEM.</summary>
    public string CertificateAuthorityPem => _certificates.Authority.ExportCertificatePem();

    /// <summary>Token of a user who may do everything.</summary>
    public string AdminToken { get; } = $"{Guid.NewGuid():N}";

    /// <summary>Token of a user who may do what <c>charts/overlay/manifests/rbac.yaml</c> allows the agent, and nothing else.</summary>
    public string AgentToken { get; } = $"{Guid.NewGuid():N}";

    /// <summary>Kubeconfig of the administrator.</summary>
    public string AdminKubeconfig => KubeconfigFile.Write(_folder.CreateSubdirectory("admin").FullName, Url, CertificateAuthorityPem, AdminToken);

    /// <summary>Kubeconfig of the agent, with the token as a file.</summary>
    public string AgentKubeconfig => KubeconfigFile.Write(_folder.CreateSubdirectory("agent").FullName, Url, CertificateAuthorityPem, AgentToken);

    /// <summary>The one of this run, started when it is first asked for. Skips the test, saying why, where the programs are not.</summary>
    public static Task<ControlPlane> GetAsync()
    {
        string[] programs = ["etcd", "kube-apiserver"];
        if (programs.Where(program => Find(program) is null).ToList() is { Count: > 0 } missing)
            Assert.Ignore($"Needs a real API server: {string.Join(" and ", missing)} is neither in the folder that KUBEBUILDER_ASSETS names, nor on PATH.");
        return Shared.Value;
    }

    /// <summary>Stops the one of this run, if it was started, and removes everything of it.</summary>
    public static async Task StopSharedAsync()
    {
        if (Shared is { IsValueCreated: true, Value.IsFaulted: false })
            (await Shared.Value).Dispose();
    }

    /// <summary>A client with a token.</summary>
    public ApiClient Client(string token) => new(Url, CertificateAuthorityPem, token);

    /// <inheritdoc/>
    public void Dispose()
    {
        _client.Dispose();
        foreach (var process in Enumerable.Reverse(_processes))
            process.Dispose();
        _certificates.Dispose();
        _folder.Delete(recursive: true);
    }

    private static async Task<ControlPlane> StartAsync()
    {
        var plane = new ControlPlane(FreePorts(3));
        try
        {
            await plane.WaitAsync("the API server is ready", async () => await plane.TextAsync("/readyz") == "ok");
            await plane.WaitAsync("the namespace default is there", async () => (await plane.TextAsync("/api/v1/namespaces/default")).Contains("\"Namespace\"", StringComparison.Ordinal));
            await plane.AllowAgentAsync();
            return plane;
        }
        catch
        {
            plane.Dispose();
            throw;
        }
    }

    private void Start(int[] ports)
    {
        var peer = $"http://127.0.0.1:{ports[1]}";
        _processes.Add(new(
            Find("etcd")!,
            $"--data-dir={File("etcd")}", $"--listen-client-urls={_etcd.GetLeftPart(UriPartial.Authority)}", $"--advertise-client-urls={_etcd.GetLeftPart(UriPartial.Authority)}",
            $"--listen-peer-urls={peer}", $"--initial-advertise-peer-urls={peer}", $"--initial-cluster=default={peer}", "--unsafe-no-fsync"));

        using var accountKey = RSA.Create(2048);
        Write("account.key", accountKey.ExportRSAPrivateKeyPem());
        Write("server.crt", _certificates.Server.ExportCertificatePem());
        using var serverKey = _certificates.Server.GetECDsaPrivateKey()!;
        Write("server.key", serverKey.ExportPkcs8PrivateKeyPem());
        Write("tokens.csv", $"{AdminToken},admin,admin,system:masters\n{AgentToken},{Agent},{Agent},\n");
        _processes.Add(new(
            Find("kube-apiserver")!,
            [$"--etcd-servers={_etcd.GetLeftPart(UriPartial.Authority)}", $"--cert-dir={File("certificates")}", $"--tls-cert-file={File("server.crt")}", $"--tls-private-key-file={File("server.key")}",
            "--bind-address=127.0.0.1", $"--secure-port={ports[2]}",
            "--advertise-address=192.0.2.1", "--endpoint-reconciler-type=none", // loopback is refused here; nobody is told this one
            "--service-account-issuer=https://kubernetes.default.svc", $"--service-account-key-file={File("account.key")}", $"--service-account-signing-key-file={File("account.key")}",
            "--authorization-mode=RBAC", $"--token-auth-file={File("tokens.csv")}", "--service-cluster-ip-range=10.96.0.0/16", "--allow-privileged",
            "--disable-admission-plugins=ServiceAccount", // no controller makes the account that pods would need
            .. IsDualStackAsked() ? (string[])["--feature-gates=IPv6DualStack=true"] : []]));
    }

    // Until 1.23 a Node has but one podCIDR, and a pod one address, unless that is asked for.
    private static bool IsDualStackAsked()
    {
        using var version = Process.Start(new ProcessStartInfo(Find("kube-apiserver")!, ["--version"]) { RedirectStandardOutput = true })!;
        var text = version.StandardOutput.ReadToEnd();
        version.WaitForExit();
        return System.Version.TryParse(text[(text.IndexOf('v') + 1)..].Split('-', '+')[0].Trim(), out var number) && number < new System.Version(1, 23);
    }

    private void Write(string name, string text) => System.IO.File.WriteAllText(File(name), text);

    private string File(string name) => Path.Combine(_folder.FullName, name);

    // The servers take no port 0, so a port could be lost between here and there; then the server's own message says so.
    private static int[] FreePorts(int count)
    {
        var listeners = Enumerable.Range(0, count).Select(_ => new TcpListener(IPAddress.Loopback, 0)).ToList();
        listeners.ForEach(listener => listener.Start());
        var ports = listeners.Select(listener => ((IPEndPoint)listener.LocalEndpoint).Port).ToArray();
        listeners.ForEach(listener => listener.Dispose());
        return ports;
    }

    private static string? Find(string program)
    {
        string[] folders = [Environment.GetEnvironmentVariable("KUBEBUILDER_ASSETS") ?? "", .. Environment.GetEnvironmentVariable("PATH")!.Split(Path.PathSeparator)];
        return folders.Where(folder => folder.Length > 0).Select(folder => Path.Combine(folder, program)).FirstOrDefault(System.IO.File.Exists);
    }
}
