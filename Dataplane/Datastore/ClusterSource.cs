using System.Threading.Channels;
using Overlay.Dataplane.Datastore.Directory;
using Overlay.Dataplane.Datastore.Kubernetes;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Datastore;

/// <summary>Where the cluster's objects come from, and what this node has to tell there. Both kinds emit the same changes: nothing past <c>Store/</c> knows which one is in use.</summary>
internal abstract class ClusterSource : IDisposable
{
    /// <summary>What it is, for people.</summary>
    public abstract string Name { get; }

    /// <summary>Where other nodes read the addresses of this node's pods; null where they learn them otherwise.</summary>
    public virtual PodStatusFolder? Statuses => null;

    /// <summary>Whether <see cref="FindPodAsync"/> can find a pod that no change has shown yet.</summary>
    public virtual bool CanFindPods => false;

    /// <summary>Opens the one that is configured; nothing is read from it yet.</summary>
    /// <param name="configuration">Of the node.</param>
    /// <param name="changes">Where the changes go: everything that is there, then <see cref="ClusterChange.Synced"/>, then what changes.</param>
    /// <exception cref="IOException">It cannot be opened: one clear sentence.</exception>
    public static ClusterSource Open(OverlayConfiguration configuration, ChannelWriter<ClusterChange> changes) =>
        configuration.DatastoreDirectory is { } folder ? new DirectorySource(folder, configuration.NodeName, changes) : new KubernetesSource(configuration, changes, new());

    /// <summary>Follows everything until cancelled.</summary>
    /// <exception cref="IOException">It cannot be followed at all.</exception>
    public abstract Task RunAsync(CancellationToken cancellation);

    /// <summary>Asks for one pod. Never throws; null when there is none, or nobody to ask.</summary>
    public virtual Task<ClusterChange.PodSet?> FindPodAsync(NamespacedName name, CancellationToken cancellation) => Task.FromResult<ClusterChange.PodSet?>(null);

    /// <summary>Makes known how this node is. Never blocks.</summary>
    /// <param name="node">What is known of it there.</param>
    /// <param name="addresses">Its <see cref="Node.ChosenAddresses"/> as they should be.</param>
    /// <param name="unready">Why it does not forward or enforce, in sentences; empty: it does.</param>
    public virtual void Observe(Node node, EquatableArray<InetAddress> addresses, string unready)
    {
    }

    /// <summary>Runs several that are to run for ever: when one ends, all do, and its end is the end of all.</summary>
    internal static async Task RunTogetherAsync(IEnumerable<Func<CancellationToken, Task>> parts, CancellationToken cancellation)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var running = parts.Select(part => part(stop.Token)).ToList();
        try
        {
            await (await Task.WhenAny(running).ConfigureAwait(false)).ConfigureAwait(false);
        }
        finally
        {
            await stop.CancelAsync().ConfigureAwait(false);
            await Task.WhenAll(running).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <inheritdoc/>
    public virtual void Dispose() => GC.SuppressFinalize(this);
}
