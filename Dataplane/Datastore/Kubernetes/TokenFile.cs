using System.Net.Http.Headers;
using k8s.Authentication;

namespace Overlay.Dataplane.Datastore.Kubernetes;

/// <summary>A bearer token in a file, which kubelet or somebody else exchanges now and then: read anew for every request, of which there are few.</summary>
/// <param name="path">The file.</param>
internal sealed class TokenFile(string path) : ITokenProvider
{
    /// <summary>Where Kubernetes mounts the token of a pod's service account.</summary>
    public const string OfServiceAccount = "/var/run/secrets/kubernetes.io/serviceaccount/token";

    /// <summary>The file.</summary>
    public string Path => path;

    /// <inheritdoc/>
    /// <exception cref="IOException">It cannot be read.</exception>
    public async Task<AuthenticationHeaderValue> GetAuthenticationHeaderAsync(CancellationToken cancellationToken)
    {
        try
        {
            var token = (await File.ReadAllTextAsync(path, cancellationToken).ConfigureAwait(false)).Trim();
            return token.Length > 0 && token.All(character => character is > ' ' and <= '~')
                ? new("Bearer", token)
                : throw new IOException($"the token file {path} holds no token: one line of letters, digits and such is expected");
        }
        catch (UnauthorizedAccessException e)
        {
            throw new IOException($"the token file {path} must not be read: {e.Message}", e);
        }
    }
}
