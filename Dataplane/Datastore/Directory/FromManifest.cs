using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Datastore.Directory;

/// <summary>What a file of manifests says.</summary>
/// <param name="Objects">The objects understood, and the stand-ins for policies that were not, in order: the changes that set them.</param>
/// <param name="Rejections">What could not be understood.</param>
/// <param name="Skipped">Other kinds, one for each kind.</param>
public sealed record ManifestFile(
    EquatableArray<ClusterChange> Objects,
    EquatableArray<Rejection> Rejections,
    EquatableArray<ClusterChange.Skipped> Skipped);

/// <summary>YAML or JSON manifests → model. Pure.</summary>
public static class FromManifest
{
    /// <summary>Reads a file's text: any number of documents. Nothing in it throws: it becomes a <see cref="Rejection"/>.</summary>
    /// <param name="source">Name of the file, for rejections.</param>
    /// <param name="text">YAML or JSON.</param>
    public static ManifestFile Read(string source, string text) => throw new NotImplementedException();
}
