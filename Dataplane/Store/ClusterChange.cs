using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Store;

/// <summary>What the data plane needs to know of a Node.</summary>
/// <param name="Name">metadata.name.</param>
/// <param name="PodCidrs">spec.podCIDRs, host bits cleared, in the order given.</param>
/// <param name="InternalIPs">status.addresses of type InternalIP, in the order given.</param>
public sealed record Node(string Name, EquatableArray<Cidr> PodCidrs, EquatableArray<InetAddress> InternalIPs)
{
    /// <summary>metadata.labels.</summary>
    public Labels Labels { get; init; } = Labels.Empty;

    /// <summary>The other IP addresses of status.addresses, such as those of type ExternalIP.</summary>
    public EquatableArray<InetAddress> OtherAddresses { get; init; } = [];

    /// <summary>Addresses for traffic between nodes that its agent chose, one of each family at most, where they are not the first of <see cref="InternalIPs"/>.</summary>
    public EquatableArray<InetAddress> ChosenAddresses { get; init; } = [];

    /// <summary>The addresses by which other nodes reach it, in the order of preference within a family.</summary>
    public EquatableArray<InetAddress> Underlay => ChosenAddresses.Count > 0 ? ChosenAddresses : InternalIPs;

    /// <summary>Status of its condition NetworkUnavailable; null when it has none, or <c>Unknown</c>.</summary>
    public bool? NetworkUnavailable { get; init; }

    /// <summary>What policy needs to know of it. Its tunnel's addresses are the first of its first podCIDR of each family, as <c>NodeProjection</c> gives them.</summary>
    public ClusterNode ToClusterNode() => new(
        Name,
        Labels,
        InternalIPs.Concat(OtherAddresses).Concat(ChosenAddresses).Distinct().ToEquatableArray(),
        PodCidrs.GroupBy(prefix => prefix.Family).Select(family => family.First().First).ToEquatableArray())
    {
        InternalAddresses = ChosenAddresses.Count == 0 ? InternalIPs : InternalIPs.Concat(ChosenAddresses).Distinct().ToEquatableArray(),
    };
}

/// <summary>An object that could not be understood. It is reported; a policy also isolates what it selects (DESIGN section 3).</summary>
/// <param name="Source">Where it came from: a file name, or the object's API path.</param>
/// <param name="Line">1-based line in the file; 0 when there is none.</param>
/// <param name="Kind">Its kind, or empty when not even that could be read.</param>
/// <param name="Name">Its name, or default.</param>
/// <param name="Field">Path of the offending field, such as <c>spec.ingress[0].ports[1].port</c>; empty for the whole document.</param>
/// <param name="Reason">One clear sentence.</param>
public sealed record Rejection(string Source, int Line, string Kind, NamespacedName Name, string Field, string Reason)
{
    /// <summary><c>file:line: field: reason</c>.</summary>
    public override string ToString() =>
        $"{Source}{(Line > 0 ? $":{Line}" : "")}: {(Kind.Length > 0 ? $"{Kind} {Name}: " : "")}{(Field.Length > 0 ? $"{Field}: " : "")}{Reason}";
}

/// <summary>One change of what a datastore knows. Both datastores emit the same; nothing past <c>Store/</c> knows which one is in use. A closed family.</summary>
public abstract record ClusterChange
{
    private ClusterChange()
    {
    }

    /// <summary>A node is new or different.</summary>
    public sealed record NodeSet(Node Node) : ClusterChange;

    /// <summary>A node is gone.</summary>
    public sealed record NodeGone(string Name) : ClusterChange;

    /// <summary>A namespace is new or different.</summary>
    public sealed record NamespaceSet(Namespace Namespace) : ClusterChange;

    /// <summary>A namespace is gone.</summary>
    public sealed record NamespaceGone(string Name) : ClusterChange;

    /// <summary>A pod is new or different. Its addresses are those the datastore knows; this node's own attachments are added by the store.</summary>
    /// <param name="Pod">The pod.</param>
    /// <param name="Uid">What tells it from another of the same name, before or after it; empty when the datastore has no such thing.</param>
    public sealed record PodSet(Pod Pod, string Uid = "") : ClusterChange
    {
        /// <summary>Instead of the UID of a pod that runs on another node: no interface of this node is that pod's.</summary>
        public const string Elsewhere = "elsewhere";

        /// <summary>Whether this may be the pod of an interface of this node. Not every runtime tells the plugin a UID.</summary>
        /// <param name="uid">As the plugin told it, or empty.</param>
        public bool IsPodOf(string uid) => Uid != Elsewhere && (Uid.Length == 0 || uid.Length == 0 || Uid == uid);
    }

    /// <summary>A pod is gone.</summary>
    public sealed record PodGone(NamespacedName Name) : ClusterChange;

    /// <summary>A policy is new or different; for one that was rejected, the isolating stand-in.</summary>
    public sealed record PolicySet(Policy Policy) : ClusterChange;

    /// <summary>A policy is gone.</summary>
    public sealed record PolicyGone(NamespacedName Name) : ClusterChange;

    /// <summary>All rejections of one source, replacing those reported for it before; an empty list clears them.</summary>
    public sealed record Rejected(string Source, EquatableArray<Rejection> Rejections) : ClusterChange;

    /// <summary>A source does not answer as it should: what it said before stays in force.</summary>
    /// <param name="Source">The API server's address, or an API path.</param>
    /// <param name="Reason">Why, one sentence or two; empty: it answers again.</param>
    public sealed record SourceFailing(string Source, string Reason) : ClusterChange;

    /// <summary>Objects that are none of our business: one line in the log, nothing else.</summary>
    /// <param name="Source">Where they are.</param>
    /// <param name="Line">1-based line of the first of them.</param>
    /// <param name="Kind">Their apiVersion and kind, such as <c>apps/v1 Deployment</c>.</param>
    public sealed record Skipped(string Source, int Line, string Kind) : ClusterChange;

    /// <summary>Everything the datastore held at start has been delivered. Once per start; nothing is removed from the kernel before it.</summary>
    public sealed record Synced : ClusterChange;
}
