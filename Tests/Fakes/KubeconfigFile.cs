namespace Overlay.Tests.Fakes;

/// <summary>Kubeconfig files for tests.</summary>
internal static class KubeconfigFile
{
    /// <summary>Writes <c>kubeconfig</c>, and the <c>token</c> that it names as a file, into a folder.</summary>
    /// <returns>The path of the kubeconfig.</returns>
    /// <param name="folder">Where.</param>
    /// <param name="server">The API server.</param>
    /// <param name="authorityPem">Who signs its certificate.</param>
    /// <param name="token">Who the client is.</param>
    /// <param name="serverName">The name in the certificate, when it is not the address.</param>
    public static string Write(string folder, Uri server, string authorityPem, string token, string? serverName = null)
    {
        var tokenFile = Path.Combine(folder, "token");
        File.WriteAllText(tokenFile, token);
        var path = Path.Combine(folder, "kubeconfig");
        File.WriteAllText(path, $"""
            apiVersion: v1
            kind: Config
            clusters:
            - name: test
              cluster:
                server: {server.GetLeftPart(UriPartial.Authority)}
                certificate-authority-data: {Convert.ToBase64String(System.Text.Encoding.ASCII.GetBytes(authorityPem))}
                tls-server-name: {serverName ?? server.Host}
            users:
            - name: overlay
              user:
                tokenFile: {tokenFile}
            contexts:
            - name: test
              context:
                cluster: test
                user: overlay
            current-context: test

            """);
        return path;
    }
}
