using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Yaml;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Datastore.Manifests;

/// <content>Name and namespace. Of policies no field of metadata is passed over: it may be the namespace that is misspelled.</content>
public static partial class FromManifest
{
    // apimachinery, pkg/apis/meta/v1/types.go.
    private static readonly string[] ObjectMeta =
    [
        "name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
        "labels", "annotations", "ownerReferences", "finalizers", "managedFields",
    ];

    // As spelled, even where it is wrong, so that what stands in for the object stands in the right place.
    private static NamespacedName ReadName(Fields root, string kind, List<FieldProblem> problems)
    {
        var metadata = root.Object("metadata");
        var before = problems.Count;
        _ = metadata.Text("name");
        var name = Spelled(metadata.Node("name"));
        if (problems.Count == before && name.Length == 0)
            metadata.Reject("name", "it is missing; every object needs a name.");
        else if (problems.Count == before && !KubernetesName.IsSubdomain(name))
            metadata.Reject("name", $"\"{name}\" is no name: up to 253 of a-z, 0-9, - and ., a letter or digit at both ends.");
        if (kind is "NetworkPolicy" or "ClusterNetworkPolicy")
        {
            metadata.AskFor(ObjectMeta);
            metadata.RejectUnknown();
        }

        if (kind is "Pod" or "NetworkPolicy")
            return new(root.Node("metadata") is YamlNode.Mapping ? ReadNamespaceOf(metadata, kind) : "", name);
        if (kind is "ClusterNetworkPolicy" && metadata.Has("namespace"))
            metadata.Reject("namespace", "a ClusterNetworkPolicy is in no namespace; leave it out.");
        return new("", name);
    }

    private static string ReadNamespaceOf(Fields metadata, string kind)
    {
        if (!metadata.Has("namespace"))
        {
            var meant = kind is "NetworkPolicy" ? metadata.Names.FirstOrDefault(name => Spelling.Nearest(name, ObjectMeta) == "namespace" && metadata.Has(name)) : null;
            return meant is null ? "default" : Spelled(metadata.Node(meant));
        }

        var before = metadata.Problems;
        _ = metadata.Text("namespace");
        var ns = Spelled(metadata.Node("namespace"));
        if (metadata.Problems == before && !KubernetesName.IsLabel(ns))
            metadata.Reject("namespace", $"\"{ns}\" is no namespace: up to 63 of a-z, 0-9 and -, a letter or digit at both ends.");
        return ns;
    }

    private static string Spelled(YamlNode? node) => (node as YamlNode.Scalar)?.Text ?? "";

    // Whether something wrong with the document itself, such as a key that is there twice, leaves open what a field was meant to say.
    private static bool IsInDoubt(List<FieldProblem> flaws, string path) => flaws.Any(flaw =>
        flaw.Field.Length == 0 || $"{path}.".StartsWith($"{flaw.Field}.", StringComparison.Ordinal)
        || flaw.Field.StartsWith($"{path}.", StringComparison.Ordinal) || flaw.Field.StartsWith($"{path}[", StringComparison.Ordinal));
}
