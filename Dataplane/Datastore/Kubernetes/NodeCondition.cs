using System.Buffers;
using System.Globalization;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Threading.Channels;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Datastore.Kubernetes;

/// <summary>
/// Keeps the condition NetworkUnavailable of this node's Node (core/v1 NodeConditionType) as it is: False while the node forwards, True with the reason while it does not. Nothing is said before
/// the agent serves: until then whatever an earlier life said stays, as the kernel does. The taint <c>node.kubernetes.io/network-unavailable</c> that follows is the node controller's.
/// </summary>
/// <param name="server">The API server.</param>
/// <param name="nodeName">This node.</param>
/// <param name="changes">Takes word of what cannot be written.</param>
/// <param name="retry">The waits between failures, and the least time between two changes.</param>
internal sealed class NodeCondition(ApiServer server, string nodeName, ChannelWriter<ClusterChange> changes, Backoff retry)
{
    private readonly Channel<(bool? Actual, string Reason)> _latest = Channel.CreateBounded<(bool?, string)>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropOldest });
    private (bool? Actual, string Reason)? _observed;

    /// <summary>How it is and how it should be. Never blocks; does nothing when both are as they were.</summary>
    /// <param name="actual">The condition's status as the Node has it; null when it has none.</param>
    /// <param name="reason">Why this node does not forward, one sentence; empty: it does.</param>
    public void Observe(bool? actual, string reason)
    {
        if (_observed == (actual, reason))
            return;
        _observed = (actual, reason);
        _latest.Writer.TryWrite((actual, reason));
    }

    /// <summary>Writes what differs, until cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        await foreach (var observed in _latest.Reader.ReadAllAsync(cancellation).ConfigureAwait(false))
        {
            var (actual, reason) = observed;
            while (actual != reason.Length > 0)
            {
                var isWritten = await WriteAsync(reason, cancellation).ConfigureAwait(false);
                await Task.Delay(retry.Next(), cancellation).ConfigureAwait(false);
                if (isWritten)
                    break; // What comes of it the watch shows.
                if (_latest.Reader.TryRead(out var newer))
                    (actual, reason) = newer;
            }

            retry.Reset();
        }
    }

    /// <summary>The patch of nodes/NAME/status, a strategic merge by the condition's type. Pure.</summary>
    public static byte[] Patch(string reason, DateTime now)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using var json = new Utf8JsonWriter(buffer);
        var time = now.ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture);
        json.WriteStartObject();
        json.WriteStartObject("status");
        json.WriteStartArray("conditions");
        json.WriteStartObject();
        json.WriteString("type", "NetworkUnavailable");
        json.WriteString("status", reason.Length == 0 ? "False" : "True");
        json.WriteString("reason", reason.Length == 0 ? "OverlayForwards" : "OverlayDoesNotForward");
        json.WriteString("message", reason.Length == 0 ? "Overlay forwards and enforces policies on this node." : reason);
        json.WriteString("lastHeartbeatTime", time);
        json.WriteString("lastTransitionTime", time);
        json.WriteEndObject();
        json.WriteEndArray();
        json.WriteEndObject();
        json.WriteEndObject();
        json.Flush();
        return buffer.WrittenSpan.ToArray();
    }

    private async Task<bool> WriteAsync(string reason, CancellationToken cancellation)
    {
        var path = Resource.Nodes.PathOf(new NamespacedName("", nodeName)) + "/status";
        var failure = "";
        try
        {
            using var content = new ByteArrayContent(Patch(reason, DateTime.UtcNow));
            content.Headers.ContentType = new MediaTypeHeaderValue("application/strategic-merge-patch+json");
            (await server.SendAsync(HttpMethod.Patch, path, content, cancellation).ConfigureAwait(false)).Dispose();
        }
        catch (Exception e) when (e is ApiException or HttpRequestException or IOException)
        {
            failure = $"the condition NetworkUnavailable cannot be written: {e.Message.TrimEnd('.')}. It is tried again.";
        }

        await changes.WriteAsync(new ClusterChange.SourceFailing(path, failure), cancellation).ConfigureAwait(false);
        return failure.Length == 0;
    }
}
