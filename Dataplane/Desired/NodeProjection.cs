using Overlay.Dataplane.Store;

namespace Overlay.Dataplane.Desired;

/// <summary>Nodes and local attachments → the rows of this node's kernel. Pure; always computed whole.</summary>
public static class NodeProjection
{
    /// <summary>Projects.</summary>
    /// <param name="nodeName">This node.</param>
    /// <param name="nodes">All nodes, in any order.</param>
    /// <param name="configuration">Of this node.</param>
    /// <param name="attachments">Of this node, in any order.</param>
    /// <param name="underlayMtu">MTU of the device that carries the underlay, bytes.</param>
    public static ProjectedNode Project(
        string nodeName,
        IReadOnlyCollection<Node> nodes,
        OverlayConfiguration configuration,
        IReadOnlyCollection<Attachment> attachments,
        int underlayMtu) => throw new NotImplementedException();
}
