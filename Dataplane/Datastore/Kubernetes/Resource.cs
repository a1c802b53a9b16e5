using Overlay.Dataplane.Datastore.Manifests;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Datastore.Kubernetes;

/// <summary>A kind of object as the API server serves it.</summary>
/// <param name="Kind">Such as NetworkPolicy.</param>
/// <param name="ApiVersion">Such as networking.k8s.io/v1.</param>
/// <param name="Plural">Its name in paths.</param>
/// <param name="Fields">What is read of each object.</param>
internal sealed record Resource(string Kind, string ApiVersion, string Plural, FieldTree Fields)
{
    private static readonly FieldTree Policy = FieldTree.Of(("apiVersion", FieldTree.All), ("kind", FieldTree.All), ("metadata", Metadata()), ("spec", FieldTree.All));

    /// <summary>An API that a cluster need not have: a CustomResourceDefinition brings it.</summary>
    public bool IsOptional { get; init; }

    /// <summary>core/v1 Node.</summary>
    public static Resource Nodes { get; } = new("Node", "v1", "nodes", FieldTree.Of(
        ("metadata", Metadata(("annotations", FieldTree.Of(FromManifest.AddressesAnnotation)))),
        ("spec", FieldTree.Of("podCIDR", "podCIDRs")),
        ("status", FieldTree.Of(("addresses", FieldTree.All), ("conditions", FieldTree.Of("type", "status"))))));

    /// <summary>core/v1 Namespace.</summary>
    public static Resource Namespaces { get; } = new("Namespace", "v1", "namespaces", FieldTree.Of(("metadata", Metadata())));

    /// <summary>core/v1 Pod.</summary>
    public static Resource Pods { get; } = new("Pod", "v1", "pods", FieldTree.Of(
        ("metadata", Metadata(("annotations", FieldTree.Of(ApiObject.MirrorAnnotation)))),
        ("spec", FieldTree.Of(
            ("nodeName", FieldTree.All),
            ("hostNetwork", FieldTree.All),
            ("containers", FieldTree.Of("ports")),
            ("initContainers", FieldTree.Of("ports", "restartPolicy")))),
        ("status", FieldTree.Of("phase", "podIP", "podIPs"))));

    /// <summary>networking.k8s.io/v1 NetworkPolicy.</summary>
    public static Resource NetworkPolicies { get; } = new("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies", Policy);

    /// <summary>policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy.</summary>
    public static Resource ClusterNetworkPolicies { get; } =
        new("ClusterNetworkPolicy", "policy.networking.k8s.io/v1alpha2", "clusternetworkpolicies", Policy) { IsOptional = true };

    /// <summary>All that concern us.</summary>
    public static IReadOnlyList<Resource> All { get; } = [Nodes, Namespaces, Pods, NetworkPolicies, ClusterNetworkPolicies];

    /// <summary>Path of all objects of this kind.</summary>
    public string Path => ApiVersion == "v1" ? $"/api/v1/{Plural}" : $"/apis/{ApiVersion}/{Plural}";

    /// <summary>Path of one object.</summary>
    public string PathOf(NamespacedName name)
    {
        var group = ApiVersion == "v1" ? "/api/v1" : $"/apis/{ApiVersion}";
        return name.Namespace.Length > 0 ? $"{group}/namespaces/{name.Namespace}/{Plural}/{name.Name}" : $"{group}/{Plural}/{name.Name}";
    }

    private static FieldTree Metadata(params (string, FieldTree)[] more) =>
        FieldTree.Of([("name", FieldTree.All), ("namespace", FieldTree.All), ("uid", FieldTree.All), ("resourceVersion", FieldTree.All), ("labels", FieldTree.All), .. more]);
}
