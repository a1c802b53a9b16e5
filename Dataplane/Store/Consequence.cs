using Overlay.Dataplane.Desired;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Store;

/// <summary>What a change of the store means to the projections. A closed family. Cases carry what is in force now, so applying one twice does nothing.</summary>
public abstract record Consequence
{
    private Consequence()
    {
    }

    /// <summary>A pod is new or different.</summary>
    /// <param name="Pod">With all the addresses known, this node's attachments included.</param>
    /// <param name="Local">Wired on this node.</param>
    public sealed record SetPod(Pod Pod, bool Local) : Consequence;

    /// <summary>A pod is gone.</summary>
    public sealed record RemovePod(NamespacedName Name) : Consequence;

    /// <summary>A node is new or different: <see cref="JoinNode"/> or <see cref="ReprojectNode"/> is said as well.</summary>
    public sealed record SetNode(ClusterNode Node) : Consequence;

    /// <summary>A node has come, or has its prefixes now: it may be that it adds rows and changes none.</summary>
    /// <param name="Node">As it is now.</param>
    public sealed record JoinNode(Node Node) : Consequence;

    /// <summary>A node is gone: <see cref="ReprojectNode"/> is said as well.</summary>
    public sealed record RemoveNode(string Name) : Consequence;

    /// <summary>A namespace is new or different.</summary>
    public sealed record SetNamespace(Namespace Namespace) : Consequence;

    /// <summary>A namespace is gone. Its pods may still be there: their namespace then has no labels.</summary>
    public sealed record RemoveNamespace(string Name) : Consequence;

    /// <summary>A policy is new or different.</summary>
    public sealed record SetPolicy(Policy Policy) : Consequence;

    /// <summary>A policy is gone.</summary>
    public sealed record RemovePolicy(NamespacedName Name) : Consequence;

    /// <summary>An interface of this node is new; no other attachment has its key.</summary>
    /// <param name="Attachment">The interface.</param>
    public sealed record SetAttachment(Attachment Attachment) : Consequence;

    /// <summary>An interface of this node is gone.</summary>
    /// <param name="Attachment">As it was.</param>
    public sealed record RemoveAttachment(Attachment Attachment) : Consequence;

    /// <summary>Nodes differ, or an attachment has become another: <c>NodeProjection</c> is to run again.</summary>
    public sealed record ReprojectNode : Consequence;
}
