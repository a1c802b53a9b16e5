namespace Overlay.Tests.Fakes;

/// <summary>A kind of objects that an API server serves, in the words of its addresses.</summary>
/// <param name="Group">API group; empty for core.</param>
/// <param name="Version">Version within the group.</param>
/// <param name="Plural">Name in addresses: <c>pods</c>.</param>
/// <param name="Kind">Name in objects: <c>Pod</c>.</param>
/// <param name="IsNamespaced">Its objects are in namespaces.</param>
/// <param name="Blank">What else than <c>metadata</c> the object of a bookmark has, as JSON members; null for a custom resource, whose bookmarks have nothing else.</param>
public sealed record FakeKind(string Group, string Version, string Plural, string Kind, bool IsNamespaced, string? Blank)
{
    /// <summary>The kinds that a fake server starts with.</summary>
    public static IReadOnlyList<FakeKind> All { get; } =
    [
        new("", "v1", "nodes", "Node", false, """ "spec":{},"status":{"daemonEndpoints":{"kubeletEndpoint":{"Port":0}},"nodeInfo":{"machineID":"","systemUUID":"","bootID":""}} """),
        new("", "v1", "namespaces", "Namespace", false, """ "spec":{},"status":{} """),
        new("", "v1", "pods", "Pod", true, """ "spec":{"containers":null},"status":{} """),
        new("", "v1", "events", "Event", true, """ "involvedObject":{},"source":{},"firstTimestamp":null,"lastTimestamp":null """),
        new("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", true, """ "spec":{"podSelector":{}} """), // which reads like a policy for every pod
        new("policy.networking.k8s.io", "v1alpha2", "clusternetworkpolicies", "ClusterNetworkPolicy", false, null),
    ];

    /// <summary>The <c>apiVersion</c> of its objects.</summary>
    public string ApiVersion => Group.Length == 0 ? Version : $"{Group}/{Version}";

    /// <summary>A CustomResourceDefinition defines it: lists name kind and apiVersion of every item, and have their metadata last.</summary>
    public bool IsCustom => Blank is null;

    /// <inheritdoc/>
    public override string ToString() => Plural;
}
