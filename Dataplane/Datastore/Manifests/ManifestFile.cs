using System.Diagnostics;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Datastore.Manifests;

/// <summary>An object of a manifest.</summary>
/// <param name="Kind">Node, Namespace, Pod or NetworkPolicy.</param>
/// <param name="Name">Its name; the namespace is empty for Node and Namespace.</param>
/// <param name="Line">1-based line it begins on.</param>
/// <param name="Change">The change that sets it.</param>
public sealed record ManifestObject(string Kind, NamespacedName Name, int Line, ClusterChange Change)
{
    /// <summary>What makes two manifests the same object.</summary>
    public ObjectKey Key => new(Kind, Name);
}

/// <summary>Key of an object in the datastore.</summary>
/// <param name="Kind">Its kind.</param>
/// <param name="Name">Its name.</param>
public readonly record struct ObjectKey(string Kind, NamespacedName Name)
{
    /// <summary>The change that takes the object away.</summary>
    public ClusterChange ToGone() => Kind switch
    {
        "Node" => new ClusterChange.NodeGone(Name.Name),
        "Namespace" => new ClusterChange.NamespaceGone(Name.Name),
        "Pod" => new ClusterChange.PodGone(Name),
        "NetworkPolicy" or "ClusterNetworkPolicy" => new ClusterChange.PolicyGone(Name),
        _ => throw new UnreachableException(),
    };
}

/// <summary>What a file of manifests says.</summary>
/// <param name="Found">The objects understood, and the stand-ins for policies and pods that were not, in order.</param>
/// <param name="Rejections">What could not be understood.</param>
/// <param name="Skipped">Other kinds, one entry for each kind.</param>
/// <param name="IsBroken">Part of it is not even YAML, or a list without its items: which objects it holds is unknown.</param>
public sealed record ManifestFile(
    EquatableArray<ManifestObject> Found,
    EquatableArray<Rejection> Rejections,
    EquatableArray<ClusterChange.Skipped> Skipped,
    bool IsBroken)
{
    /// <summary>The changes that set the objects found, in order.</summary>
    public IEnumerable<ClusterChange> Objects => Found.Select(found => found.Change);
}
