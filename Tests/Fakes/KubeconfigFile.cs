namespace Overlay.Tests.Fakes;

/// <summary>Kubeconfig files for tests.</summary>
internal static class KubeconfigFile
{
    /// <summary>Writes <c>kubeconfig</c>, and the <c>token</c> that it names as a file, into a folder.</summary>
    /// <returns>The path of the kubeconfig.</returns>
    public static string Write(string folder, Uri server, string authorityPem, string token)
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
