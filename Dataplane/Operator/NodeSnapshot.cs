using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Explain;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Operator;

/// <summary>What the loop knows and wants, as of one moment and immutable: to be looked at elsewhere, however long that takes.</summary>
/// <param name="Node">Name of the node.</param>
/// <param name="Revision">Grows with every change of what is wanted or done: equal numbers, nothing happened in between.</param>
/// <param name="State">What the ruleset is made of; policies in quarantine as what stands in for them.</param>
/// <param name="Rows">Wanted outside of nftables.</param>
/// <param name="Attachments">The pods wired here.</param>
/// <param name="Rejections">What could not be understood.</param>
/// <param name="Quarantined">Policies of which the kernel refused a part.</param>
/// <param name="Status">For people.</param>
internal sealed record NodeSnapshot(
    string Node,
    long Revision,
    ClusterState State,
    NodeRows Rows,
    IReadOnlyList<Attachment> Attachments,
    IReadOnlyList<Rejection> Rejections,
    IReadOnlyList<NamespacedName> Quarantined,
    StatusReport Status)
{
    /// <summary>The node's devices, as packets pass them.</summary>
    public NodeDevices Devices => new(
        Attachments.GroupBy(attachment => attachment.Pod).ToDictionary(pod => pod.Key, pod => pod.First().HostInterface),
        [.. Rows.Links.Select(link => link.Name), Underlay]);

    /// <summary>Names of the devices that carry packets between nodes.</summary>
    public IReadOnlyList<string> UnderlayDevices { get; init; } = [];

    /// <summary>Stands for the devices of the underlay, whatever their names.</summary>
    public const string Underlay = "underlay";
}

/// <summary>Somebody outside the loop who wants a snapshot. The loop answers exactly once.</summary>
internal sealed class SnapshotCall
{
    private readonly TaskCompletionSource<NodeSnapshot> _answered = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>The snapshot, once there.</summary>
    public Task<NodeSnapshot> Answered => _answered.Task;

    /// <summary>Answers. Never blocks.</summary>
    public void Answer(NodeSnapshot snapshot) => _answered.TrySetResult(snapshot);
}
