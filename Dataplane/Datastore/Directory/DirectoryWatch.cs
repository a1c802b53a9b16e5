using System.Threading.Channels;
using Overlay.Dataplane.Store;

namespace Overlay.Dataplane.Datastore.Directory;

/// <summary>The directory datastore: a folder of manifests as a source of <see cref="ClusterChange"/>.</summary>
/// <param name="path">The folder.</param>
/// <param name="changes">Where the changes go: everything that is there, then <see cref="ClusterChange.Synced"/>, then what changes.</param>
public sealed class DirectoryWatch(string path, ChannelWriter<ClusterChange> changes)
{
    /// <summary>Runs until cancelled.</summary>
    /// <exception cref="DirectoryNotFoundException">There is no such folder at start.</exception>
    public Task RunAsync(CancellationToken cancellationToken) => throw new NotImplementedException($"{path}{changes}");
}
