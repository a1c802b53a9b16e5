using System.ComponentModel;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using k8s;
using k8s.Authentication;
using k8s.Exceptions;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Yaml;
using YamlDotNet.Core;

namespace Overlay.Dataplane.Datastore.Kubernetes;

/// <summary>Who we are to the API server, as read at one moment: a kubeconfig, or what Kubernetes mounts into every pod. Tokens in files are read for every request.</summary>
/// <param name="Configuration">Address, authorities, and the rest.</param>
/// <param name="Credentials">Puts itself into a request's head; null when a certificate, or nothing, says who we are.</param>
/// <param name="Certificate">Of the client, with its key; null for none.</param>
internal sealed record Identity(KubernetesClientConfiguration Configuration, ServiceClientCredentials? Credentials, X509Certificate2? Certificate)
{
    /// <summary>The same for the same server, authorities and credentials, and not to be told from it.</summary>
    public string Fingerprint => Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(string.Join('\n', (string?[])
    [
        Configuration.Host, Configuration.TlsServerName, Configuration.SkipTlsVerify.ToString(), Configuration.AccessToken, Configuration.Username, Configuration.Password,
        (Configuration.TokenProvider as TokenFile)?.Path, Certificate?.Thumbprint, .. Configuration.SslCaCerts?.Select(authority => authority.Thumbprint) ?? [],
    ]))));

    /// <summary>Reads it.</summary>
    /// <exception cref="IOException">It cannot be had or used: one clear sentence.</exception>
    public static Identity Read(OverlayConfiguration configuration)
    {
        var kubeconfig = configuration.Kubeconfig;
        if (kubeconfig.Length > 0 && !File.Exists(kubeconfig))
            throw new IOException($"kubeconfig {kubeconfig} {(System.IO.Directory.Exists(kubeconfig) ? "is a folder; name the file in it" : "does not exist")}.");
        if (kubeconfig.Length == 0 && !KubernetesClientConfiguration.IsInCluster())
            throw new IOException("this is no pod of a cluster: it has no service account's token, or no KUBERNETES_SERVICE_HOST. Set kubeconfig, or datastore to directory:PATH.");
        var source = kubeconfig.Length > 0 ? $"kubeconfig {kubeconfig}" : "the pod's own credentials";
        Identity identity;
        try
        {
            var read = kubeconfig.Length > 0 ? OfKubeconfig(kubeconfig, configuration.ApiServer.Length > 0 ? configuration.ApiServer : null) : InCluster(configuration);
            identity = new(read, k8s.Kubernetes.CreateCredentials(read), ReadCertificate(read));
        }
        catch (Exception e) when (IsUnusable(e))
        {
            throw new IOException($"{source} cannot be used: {Reason(e)}.", e);
        }

        return Uri.TryCreate(identity.Configuration.Host, UriKind.Absolute, out var url) && url.Scheme is "https" or "http"
            ? identity
            : throw new IOException($"{source} names '{identity.Configuration.Host}' as API server, which is no address such as https://192.0.2.1:6443; set apiServer.");
    }

    /// <summary>Says in a request who we are.</summary>
    /// <param name="request">Gets what is needed in its head.</param>
    /// <param name="cancellation">Stops it.</param>
    /// <exception cref="IOException">The credentials cannot be had or used: one clear sentence.</exception>
    public async Task AuthorizeAsync(HttpRequestMessage request, CancellationToken cancellation)
    {
        try
        {
            if (Credentials is not null)
                await Credentials.ProcessHttpRequestAsync(request, cancellation).ConfigureAwait(false);
        }
        catch (Exception e) when (e is not IOException && IsUnusable(e))
        {
            throw new IOException($"the credentials cannot be used: {Reason(e)}", e);
        }
    }

    // What the client makes of files and plugins that are not as they should be.
    private static bool IsUnusable(Exception e) =>
        e is KubeConfigException or YamlException or CryptographicException or JsonException or FormatException or UnauthorizedAccessException or ArgumentException
            or IOException or Win32Exception or NullReferenceException or InvalidOperationException or KeyNotFoundException or InvalidCastException;

    // The first line: plugins tell their whole story.
    private static string Reason(Exception e) => e is NullReferenceException or InvalidCastException or KeyNotFoundException or (InvalidOperationException and not ObjectDisposedException)
        ? "it lacks something; it needs clusters, users, contexts, and a current-context that names one of these"
        : e.Message.Split('\n')[0].Trim().TrimEnd('.', ':');

    // The client does not know tokenFile (tools/clientcmd/api/v1/types.go), which is stronger than token.
    private static KubernetesClientConfiguration OfKubeconfig(string path, string? apiServer)
    {
        var file = KubernetesClientConfiguration.LoadKubeConfig(path);
        var folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        var context = file.Contexts?.FirstOrDefault(context => context.Name == file.CurrentContext)?.ContextDetails;
        var user = context?.User;
        if (file.Clusters?.FirstOrDefault(cluster => cluster.Name == context?.Cluster)?.ClusterEndpoint?.CertificateAuthority is { Length: > 0 } authority && !File.Exists(Path.Combine(folder, authority)))
            throw new FileNotFoundException($"its certificate-authority {Path.Combine(folder, authority)} does not exist");
        if (TokenFileOf(File.ReadAllText(path), user) is not { } tokenFile)
            return KubernetesClientConfiguration.BuildConfigFromConfigObject(file, masterUrl: apiServer);
        file.Users.First(known => known.Name == user).UserCredentials.Token = "in a file";
        var read = KubernetesClientConfiguration.BuildConfigFromConfigObject(file, masterUrl: apiServer);
        read.TokenProvider = new TokenFile(Path.Combine(folder, tokenFile));
        return read;
    }

    private static string? TokenFileOf(string kubeconfig, string? user)
    {
        var root = new Fields(YamlText.Read(kubeconfig) is [{ Root: { } document }, ..] ? document : new YamlNode.Mapping(1, []), "", []);
        return root.Objects("users").FirstOrDefault(known => known.Text("name") == user)?.Object("user").Text("tokenFile") is { Length: > 0 } path ? path : null;
    }

    // Given as PEM, in base64 or in files; with its key, or it is of no use.
    private static X509Certificate2? ReadCertificate(KubernetesClientConfiguration read)
    {
        var certificate = Pem(read.ClientCertificateData, read.ClientCertificateFilePath);
        return certificate is null ? null : X509Certificate2.CreateFromPem(certificate, Pem(read.ClientCertificateKeyData, read.ClientKeyFilePath));

        static string? Pem(string? base64, string? path) =>
            base64 is { Length: > 0 } ? Encoding.UTF8.GetString(Convert.FromBase64String(base64)) : path is { Length: > 0 } ? File.ReadAllText(path) : null;
    }

    private static KubernetesClientConfiguration InCluster(OverlayConfiguration configuration)
    {
        var read = KubernetesClientConfiguration.InClusterConfig();
        read.TokenProvider = new TokenFile(TokenFile.OfServiceAccount);
        if (configuration.ApiServer.Length > 0)
            read.Host = configuration.ApiServer;
        return read;
    }
}
