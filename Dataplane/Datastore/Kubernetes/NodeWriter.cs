using System.Buffers;
using System.Globalization;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Threading.Channels;
using Overlay.Dataplane.Datastore.Manifests;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Datastore.Kubernetes;

/// <summary>What this node's Node is to say of it.</summary>
/// <param name="Addresses">Its addresses for traffic between nodes, where they are not the first of its InternalIPs; empty: they are.</param>
/// <param name="Unready">Why this node does not forward, one sentence; empty: it does.</param>
internal readonly record struct NodeReport(EquatableArray<InetAddress> Addresses, string Unready);

/// <summary>
/// Keeps what this node's Node says of it as it is: the condition NetworkUnavailable (core/v1 NodeConditionType), False while the node forwards, True with the reason while it does not; and the
/// annotation <see cref="FromManifest.AddressesAnnotation"/>, by which other nodes know addresses that are no InternalIPs. Nothing is said before
/// the agent serves: until then whatever an earlier life said stays, as the kernel does. The taint <c>node.kubernetes.io/network-unavailable</c> that follows is the node controller's.
/// </summary>
/// <param name="server">The API server.</param>
/// <param name="nodeName">This node.</param>
/// <param name="changes">Takes word of what cannot be written.</param>
/// <param name="retry">The waits between failures, and the least time between two changes.</param>
internal sealed class NodeWriter(ApiServer server, string nodeName, ChannelWriter<ClusterChange> changes, Backoff retry)
{
    private readonly Channel<(bool? Condition, EquatableArray<InetAddress> Addresses, NodeReport Report)> _latest =
        Channel.CreateBounded<(bool?, EquatableArray<InetAddress>, NodeReport)>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropOldest });

    private (bool?, EquatableArray<InetAddress>, NodeReport)? _observed;

    /// <summary>How it is and how it should be. Never blocks; does nothing when both are as they were.</summary>
    /// <param name="node">As the API server has it.</param>
    /// <param name="addresses">As <see cref="NodeReport"/> has them.</param>
    /// <param name="unready">As <see cref="NodeReport"/> has it.</param>
    public void Observe(Node node, EquatableArray<InetAddress> addresses, string unready)
    {
        var seen = (node.NetworkUnavailable, node.ChosenAddresses, new NodeReport(addresses, unready));
        if (_observed == seen)
            return;
        _observed = seen;
        _latest.Writer.TryWrite(seen);
    }

    /// <summary>Writes what differs, until cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        await foreach (var observed in _latest.Reader.ReadAllAsync(cancellation).ConfigureAwait(false))
        {
            var (condition, addresses, report) = observed;
            while (condition != report.Unready.Length > 0 || addresses != report.Addresses)
            {
                var isWritten = await WriteAsync(report, cancellation).ConfigureAwait(false);
                await Task.Delay(retry.Next(), cancellation).ConfigureAwait(false);
                if (isWritten)
                    break; // What comes of it the watch shows.
                if (_latest.Reader.TryRead(out var newer))
                    (condition, addresses, report) = newer;
            }

            retry.Reset();
        }
    }

    /// <summary>The patch of nodes/NAME/status, a strategic merge by the condition's type. Pure.</summary>
    public static byte[] Patch(NodeReport report, DateTime now)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using var json = new Utf8JsonWriter(buffer);
        json.WriteStartObject();
        json.WriteStartObject("metadata");
        json.WriteStartObject("annotations");
        json.WriteString(FromManifest.AddressesAnnotation, report.Addresses.Count == 0 ? null : string.Join(',', report.Addresses)); // null takes it away
        json.WriteEndObject();
        json.WriteEndObject();
        json.WriteStartObject("status");
        json.WriteStartArray("conditions");
        WriteCondition(json, report.Unready, now);
        json.WriteEndArray();
        json.WriteEndObject();
        json.WriteEndObject();
        json.Flush();
        return buffer.WrittenSpan.ToArray();
    }

    private static void WriteCondition(Utf8JsonWriter json, string unready, DateTime now)
    {
        var time = now.ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture);
        json.WriteStartObject();
        json.WriteString("type", "NetworkUnavailable");
        json.WriteString("status", unready.Length == 0 ? "False" : "True");
        json.WriteString("reason", unready.Length == 0 ? "OverlayForwards" : "OverlayDoesNotForward");
        json.WriteString("message", unready.Length == 0 ? "Overlay forwards and enforces policies on this node." : unready);
        json.WriteString("lastHeartbeatTime", time);
        json.WriteString("lastTransitionTime", time);
        json.WriteEndObject();
    }

    private async Task<bool> WriteAsync(NodeReport report, CancellationToken cancellation)
    {
        var path = Resource.Nodes.PathOf(new NamespacedName("", nodeName)) + "/status";
        var failure = "";
        try
        {
            using var content = new ByteArrayContent(Patch(report, DateTime.UtcNow));
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
