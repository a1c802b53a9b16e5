using Overlay.Dataplane.Desired;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Datastore.Directory;

/// <summary>What this node's agent tells the others of its pods: <c>DIR/.status/NODE/NAMESPACE.POD.json</c>. In a cluster this is kubelet's part.</summary>
/// <param name="directory">The datastore's folder.</param>
/// <param name="nodeName">This node.</param>
public sealed class PodStatusFolder(string directory, string nodeName)
{
    private readonly string _folder = Path.Combine(directory, ".status", nodeName);

    /// <summary>Writes the addresses of a pod, or removes its file when it has no attachment any more. Nothing is written that is there already.</summary>
    /// <param name="pod">The pod.</param>
    /// <param name="attachments">Its attachments on this node (<c>ClusterStore.AttachmentsOf</c>).</param>
    public void Publish(NamespacedName pod, IReadOnlyCollection<Attachment> attachments) => throw new NotImplementedException(_folder);

    /// <summary>Makes the folder say what the attachments say: at start, when pods may have gone while no agent ran.</summary>
    public void PublishAll(IReadOnlyCollection<Attachment> attachments) => throw new NotImplementedException();
}
