using System.Threading.Channels;
using Overlay.Dataplane.Store;

namespace Overlay.Dataplane.Datastore.Directory;

/// <summary>A folder of manifests, and in it what the agents tell each other.</summary>
/// <param name="folder">The folder.</param>
/// <param name="nodeName">This node.</param>
/// <param name="changes">As <see cref="ClusterSource.Open"/> has it.</param>
internal sealed class DirectorySource(string folder, string nodeName, ChannelWriter<ClusterChange> changes) : ClusterSource
{
    /// <inheritdoc/>
    public override string Name => $"directory:{folder}";

    /// <inheritdoc/>
    public override PodStatusFolder Statuses { get; } = new(folder, nodeName);

    /// <inheritdoc/>
    public override Task RunAsync(CancellationToken cancellation) => new DirectoryWatch(folder, changes, nodeName).RunAsync(cancellation);
}
