using Overlay.Dataplane.Desired;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Datastore.Directory;

/// <summary>What this node's agent tells the others of its pods: <c>DIR/.status/NODE/NAMESPACE.POD.json</c>. In a cluster this is kubelet's part.</summary>
/// <param name="directory">The datastore's folder.</param>
/// <param name="nodeName">This node.</param>
public sealed class PodStatusFolder(string directory, string nodeName)
{
    private readonly string _folder = Of(directory, nodeName);

    /// <summary>Where the files of a node are.</summary>
    public static string Of(string directory, string nodeName) => Path.Combine(directory, PodStatus.Folder, nodeName);

    /// <summary>Writes the addresses of a pod, or removes its file when it has no attachment any more. Nothing is written that is there already.
    /// A container of no known pod has nothing to tell.</summary>
    /// <param name="pod">The pod.</param>
    /// <param name="attachments">Its attachments on this node (<c>ClusterStore.AttachmentsOf</c>).</param>
    /// <exception cref="IOException">It cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">It must not be written.</exception>
    public void Publish(NamespacedName pod, IReadOnlyCollection<Attachment> attachments)
    {
        if (!KubernetesName.IsLabel(pod.Namespace) || !KubernetesName.IsSubdomain(pod.Name))
            return;
        var path = PathOf(pod);
        if (attachments.Count == 0)
        {
            if (System.IO.Directory.Exists(_folder))
                File.Delete(path);
            return;
        }

        var last = attachments.Last();
        var addresses = attachments.SelectMany(attachment => attachment.Addresses).Distinct().Order().ToEquatableArray();
        var content = new PodStatus(pod, nodeName, last.PodUid, addresses, last.ContainerId, last.IfName).ToJson();
        if (!File.Exists(path) || !File.ReadAllBytes(path).AsSpan().SequenceEqual(content))
            AtomicFile.Write(path, content);
    }

    /// <summary>Makes the folder say what the attachments say: at start, when pods may have gone while no agent ran.</summary>
    /// <exception cref="IOException">It cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">It must not be written.</exception>
    public void PublishAll(IReadOnlyCollection<Attachment> attachments)
    {
        var byPod = attachments.ToLookup(attachment => attachment.Pod);
        foreach (var pod in byPod)
            Publish(pod.Key, [.. pod]);
        if (!System.IO.Directory.Exists(_folder))
            return;
        var wanted = byPod.Select(pod => PathOf(pod.Key)).ToHashSet(StringComparer.Ordinal);
        foreach (var stale in System.IO.Directory.GetFiles(_folder).Where(path => !wanted.Contains(path)))
            File.Delete(stale);
    }

    private string PathOf(NamespacedName pod) => Path.Combine(_folder, $"{pod.Namespace}.{pod.Name}.json");
}
