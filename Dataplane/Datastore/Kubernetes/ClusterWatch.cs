using System.Net;
using System.Security.Authentication;
using System.Text.Json;
using System.Threading.Channels;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Datastore.Kubernetes;

/// <summary>The Kubernetes datastore: what an API server holds as a source of <see cref="ClusterChange"/>.</summary>
/// <param name="server">The API server.</param>
/// <param name="nodeName">This node: only of its pods the UIDs are kept.</param>
/// <param name="changes">Where the changes go: everything that is there, then <see cref="ClusterChange.Synced"/>, then what changes.</param>
/// <param name="events">Tells the cluster of what was rejected.</param>
/// <param name="timing">How patient to be.</param>
internal sealed class ClusterWatch(ApiServer server, string nodeName, ChannelWriter<ClusterChange> changes, EventWriter events, ListWatchTiming timing) : IDisposable
{
    private readonly HashSet<Resource> _unlisted = [.. Resource.All];
    private readonly HashSet<Resource> _unreachable = [];
    private string _unreachableUrl = ""; // as it was told: the address may change
    private readonly SemaphoreSlim _telling = new(1);

    /// <summary>Runs until cancelled.</summary>
    public Task RunAsync(CancellationToken cancellation) =>
        ClusterSource.RunTogetherAsync(Resource.All.Select(resource => (Func<CancellationToken, Task>)(stop => WatchAsync(resource, stop))), cancellation);

    /// <summary>Asks for one pod, which the watch need not have shown yet.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <returns>The pod as the API server has it now, or null: there is none, it cannot be understood, or the server cannot be asked.</returns>
    public async Task<ClusterChange.PodSet?> FindPodAsync(NamespacedName name, CancellationToken cancellation)
    {
        try
        {
            var json = await server.GetObjectAsync(Resource.Pods.PathOf(name), cancellation).ConfigureAwait(false);
            return ApiObject.Read(Resource.Pods, json, new()).Set as ClusterChange.PodSet;
        }
        catch (Exception e) when (e is ApiException or HttpRequestException or IOException or JsonException or OperationCanceledException)
        {
            return null;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _telling.Dispose();

    private Task WatchAsync(Resource resource, CancellationToken cancellation)
    {
        var rejected = new HashSet<NamespacedName>();
        return new ListWatch(server, resource, timing, TellAsync).RunAsync(cancellation);

        ValueTask TellAsync(ResourceEvent told, CancellationToken stop) => told switch
        {
            ResourceEvent.Set { Object: var known } => SetAsync(known, rejected, stop),
            ResourceEvent.Gone { Name: var name } => GoneAsync(resource, name, rejected, stop),
            ResourceEvent.Failing failing => FailingAsync(resource, failing, stop),
            _ => ListedAsync(resource, stop),
        };
    }

    private async ValueTask SetAsync(ApiObject known, HashSet<NamespacedName> rejected, CancellationToken cancellation)
    {
        if (known.Set is { } change)
            await changes.WriteAsync(change is ClusterChange.PodSet { Pod.NodeName: { Length: > 0 } node } pod && node != nodeName ? pod with { Uid = ClusterChange.PodSet.Elsewhere } : change, cancellation).ConfigureAwait(false);
        if (known.Rejections.Count > 0 ? rejected.Add(known.Name) | true : rejected.Remove(known.Name))
            await changes.WriteAsync(new ClusterChange.Rejected(known.Path, known.Rejections), cancellation).ConfigureAwait(false);
        events.Tell(known);
    }

    private async ValueTask GoneAsync(Resource resource, NamespacedName name, HashSet<NamespacedName> rejected, CancellationToken cancellation)
    {
        await changes.WriteAsync(new Manifests.ObjectKey(resource.Kind, name).ToGone(), cancellation).ConfigureAwait(false);
        events.Forget(resource.PathOf(name));
        if (rejected.Remove(name))
            await changes.WriteAsync(new ClusterChange.Rejected(resource.PathOf(name), []), cancellation).ConfigureAwait(false);
    }

    private async ValueTask ListedAsync(Resource resource, CancellationToken cancellation)
    {
        await _telling.WaitAsync(cancellation).ConfigureAwait(false);
        try
        {
            if (_unlisted.Remove(resource) && _unlisted.Count == 0)
                await changes.WriteAsync(new ClusterChange.Synced(), cancellation).ConfigureAwait(false);
        }
        finally
        {
            _telling.Release();
        }
    }

    // A server that refuses one kind is told of by kind; one that cannot be reached once for all.
    private async ValueTask FailingAsync(Resource resource, ResourceEvent.Failing failing, CancellationToken cancellation)
    {
        var reason = failing.Reason;
        await _telling.WaitAsync(cancellation).ConfigureAwait(false);
        try
        {
            var isRefused = reason is ApiException { Code: not (HttpStatusCode.Unauthorized or HttpStatusCode.ServiceUnavailable or HttpStatusCode.BadGateway or HttpStatusCode.GatewayTimeout) };
            if (reason is not null && !isRefused ? _unreachable.Add(resource) && _unreachable.Count == 1 : _unreachable.Remove(resource) && _unreachable.Count == 0)
            {
                _unreachableUrl = _unreachable.Count == 0 ? _unreachableUrl : server.Url.ToString();
                await changes.WriteAsync(new ClusterChange.SourceFailing(_unreachableUrl, _unreachable.Count == 0 ? "" : Sentence(failing)), cancellation).ConfigureAwait(false);
            }

            await changes.WriteAsync(new ClusterChange.SourceFailing(resource.Path, isRefused ? Sentence(failing) : ""), cancellation).ConfigureAwait(false);
        }
        finally
        {
            _telling.Release();
        }
    }

    private string Sentence(ResourceEvent.Failing failing)
    {
        var cause = failing.Reason!;
        while (cause.InnerException is { } inner && cause is HttpRequestException)
            cause = inner;
        var remedy = failing.Reason switch
        {
            ApiException { Code: HttpStatusCode.Forbidden } => " Give the agent's service account the ClusterRole of the chart.",
            ApiException { Code: HttpStatusCode.Unauthorized } => " The token or certificate is none that it knows.",
            _ when cause is AuthenticationException => " Its certificate is not for this address, or not of the certificate authority that is configured.",
            _ => "",
        };
        var meanwhile = _unlisted.Count > 0 ? "Until it answers nothing is changed." : "What was last known of the cluster stays in force.";
        return $"the API server is not heard since {failing.Since:yyyy-MM-ddTHH:mm:ssZ}: {cause.Message.TrimEnd('.')}. {meanwhile}{remedy}";
    }
}
