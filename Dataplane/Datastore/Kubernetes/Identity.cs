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
/// <param name="Since">When it was read (UTC).</param>
internal sealed record Identity(KubernetesClientConfiguration Configuration, ServiceClientCredentials? Credentials, X509Certificate2? Certificate, DateTime Since)
{
    /// <summary>Reads it.</summary>
    /// <exception cref="IOException">It cannot be had or used: one clear sentence.</exception>
    public static Identity Read(OverlayConfiguration configuration)
    {
        var source = configuration.Kubeconfig.Length > 0 ? $"kubeconfig {configuration.Kubeconfig}" : "the pod's own credentials";
        try
        {
            var read = configuration.Kubeconfig.Length > 0
                ? OfKubeconfig(configuration.Kubeconfig, configuration.ApiServer.Length > 0 ? configuration.ApiServer : null)
                : InCluster(configuration);
            if (!Uri.TryCreate(read.Host, UriKind.Absolute, out _))
                throw new IOException($"{source} names no API server; set apiServer.");
            return new(read, k8s.Kubernetes.CreateCredentials(read), ReadCertificate(read), DateTime.UtcNow);
        }
        catch (Exception e) when (e is NullReferenceException or InvalidOperationException or KeyNotFoundException)
        {
            // What the client makes of a kubeconfig in which something is missing.
            throw new IOException($"{source} cannot be used: it lacks something; it needs clusters, users, contexts, and a current-context that names one of these.", e);
        }
        catch (Exception e) when (e is KubeConfigException or YamlException or CryptographicException or JsonException or FormatException or UnauthorizedAccessException or ArgumentException)
        {
            throw new IOException($"{source} cannot be used: {e.Message.TrimEnd('.')}.", e);
        }
    }

    // The client does not know tokenFile (tools/clientcmd/api/v1/types.go), which is stronger than token.
    private static KubernetesClientConfiguration OfKubeconfig(string path, string? apiServer)
    {
        var file = KubernetesClientConfiguration.LoadKubeConfig(path);
        var user = file.Contexts?.FirstOrDefault(context => context.Name == file.CurrentContext)?.ContextDetails?.User;
        if (TokenFileOf(File.ReadAllText(path), user) is not { } tokenFile)
            return KubernetesClientConfiguration.BuildConfigFromConfigObject(file, masterUrl: apiServer);
        file.Users.First(known => known.Name == user).UserCredentials.Token = "in a file";
        var read = KubernetesClientConfiguration.BuildConfigFromConfigObject(file, masterUrl: apiServer);
        read.TokenProvider = new TokenFile(Path.Combine(Path.GetDirectoryName(Path.GetFullPath(path))!, tokenFile));
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
        if (!KubernetesClientConfiguration.IsInCluster())
            throw new IOException("this is no pod of a cluster: it has no service account's token, or no KUBERNETES_SERVICE_HOST. Set kubeconfig, or datastore to directory:PATH.");
        var read = KubernetesClientConfiguration.InClusterConfig();
        read.TokenProvider = new TokenFile(TokenFile.OfServiceAccount);
        if (configuration.ApiServer.Length > 0)
            read.Host = configuration.ApiServer;
        return read;
    }
}
