using System.Threading.Channels;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Datastore.Kubernetes;

/// <summary>An API server, and what this node tells there: its Node's condition and addresses, and Events of policies that were rejected.</summary>
internal sealed class KubernetesSource : ClusterSource
{
    private readonly ApiServer _server;
    private readonly ClusterWatch _watch;
    private readonly EventWriter _events;
    private readonly NodeWriter _node;

    /// <summary>Reads the credentials.</summary>
    /// <param name="configuration">Of the node.</param>
    /// <param name="changes">As <see cref="ClusterSource.Open"/> has it.</param>
    /// <param name="timing">How patient to be.</param>
    /// <exception cref="IOException">There are none, or none that can be used.</exception>
    public KubernetesSource(OverlayConfiguration configuration, ChannelWriter<ClusterChange> changes, ListWatchTiming timing)
    {
        _server = ApiServer.Open(configuration, timing);
        _events = new(_server, configuration.NodeName, timing);
        _watch = new(_server, configuration.NodeName, changes, _events, timing);
        _node = new(_server, configuration.NodeName, changes, timing.Retry());
    }

    /// <inheritdoc/>
    public override string Name => $"the API server {_server.Url}";

    /// <inheritdoc/>
    public override bool CanFindPods => true;

    /// <inheritdoc/>
    public override Task RunAsync(CancellationToken cancellation) =>
        RunTogetherAsync([_watch.RunAsync, _events.RunAsync, _node.RunAsync], cancellation);

    /// <inheritdoc/>
    public override Task<ClusterChange.PodSet?> FindPodAsync(NamespacedName name, CancellationToken cancellation) => _watch.FindPodAsync(name, cancellation);

    /// <inheritdoc/>
    public override void Observe(Node node, EquatableArray<InetAddress> addresses, string unready) => _node.Observe(node, addresses, unready);

    /// <inheritdoc/>
    public override void Dispose()
    {
        _watch.Dispose();
        _server.Dispose();
        base.Dispose();
    }
}
