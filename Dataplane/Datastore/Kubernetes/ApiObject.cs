using System.Text.Json;
using Overlay.Dataplane.Datastore.Manifests;
using Overlay.Dataplane.Store;
using Overlay.Dataplane.Yaml;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Datastore.Kubernetes;

/// <summary>An object as the API server holds it.</summary>
/// <param name="Resource">Its kind.</param>
/// <param name="Name">Its name.</param>
/// <param name="Uid">What tells it from another of the same name, before or after it.</param>
/// <param name="ResourceVersion">Of this version of it.</param>
/// <param name="Set">The change that sets it, or what stands in for it; null when nothing can.</param>
/// <param name="Rejections">What of it could not be understood.</param>
internal sealed record ApiObject(Resource Resource, NamespacedName Name, string Uid, string ResourceVersion, ClusterChange? Set, EquatableArray<Rejection> Rejections)
{
    /// <summary>Annotation of the API's copy of a pod that kubelet has from a file: the UID by which kubelet, and so the CNI plugin, knows that pod.</summary>
    public const string MirrorAnnotation = "kubernetes.io/config.mirror";

    /// <summary>Its API path.</summary>
    public string Path => Resource.PathOf(Name);

    /// <summary>Reads an object. Pure.</summary>
    /// <param name="resource">Its kind.</param>
    /// <param name="json">UTF-8.</param>
    /// <param name="pool">Where what it shares with others comes from.</param>
    /// <exception cref="JsonException">It is not even an object with a name.</exception>
    public static ApiObject Read(Resource resource, ReadOnlySpan<byte> json, Pool pool)
    {
        var root = JsonTree.Read(json, resource.Fields, pool);
        var metadata = Field(root, "metadata");
        var name = new NamespacedName(Text(metadata, "namespace"), Text(metadata, "name"));
        if (name.Name.Length == 0)
            throw new JsonException($"a {resource.Kind} without metadata.name");
        var file = FromManifest.Read(resource.PathOf(name), resource.Kind, root);
        var uid = Text(Field(metadata, "annotations"), MirrorAnnotation) is { Length: > 0 } mirrored ? mirrored : Text(metadata, "uid");
        var set = file.Found.Count > 0 ? file.Found[0].Change : null;
        return new(resource, name, uid, Text(metadata, "resourceVersion"), set is ClusterChange.PodSet { Pod: var pod } ? new ClusterChange.PodSet(pod, uid) : set, file.Rejections);
    }

    /// <summary>Name and resourceVersion of an object of which no more is needed: one that is gone, or a bookmark.</summary>
    /// <inheritdoc cref="Read" path="/param"/>
    /// <exception cref="JsonException">It is no object.</exception>
    public static (NamespacedName Name, string ResourceVersion) ReadName(ReadOnlySpan<byte> json, Pool pool)
    {
        var metadata = Field(JsonTree.Read(json, NameOnly, pool), "metadata");
        return (new(Text(metadata, "namespace"), Text(metadata, "name")), Text(metadata, "resourceVersion"));
    }

    private static FieldTree NameOnly { get; } = FieldTree.Of(("metadata", FieldTree.Of("name", "namespace", "resourceVersion")));

    private static YamlNode? Field(YamlNode? node, string name) => (node as YamlNode.Mapping)?.Entries.FirstOrDefault(entry => entry.Key.Text == name).Value;

    private static string Text(YamlNode? node, string name) => (Field(node, name) as YamlNode.Scalar)?.Text ?? "";
}
