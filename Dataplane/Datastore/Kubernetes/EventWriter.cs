using System.Buffers;
using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Threading.Channels;

namespace Overlay.Dataplane.Datastore.Kubernetes;

/// <summary>
/// Tells whoever looks at a policy's Events (core/v1) that it was rejected and isolates its pods, as long as it is, since Kubernetes forgets an Event after an hour. Every agent of a cluster finds the
/// same wrong in the same policy, so all of them give the Event one name, by which the API server takes the first and refuses the others. Rate limited.
/// </summary>
/// <param name="server">The API server.</param>
/// <param name="nodeName">This node.</param>
/// <param name="timing">When to tell again.</param>
internal sealed class EventWriter(ApiServer server, string nodeName, ListWatchTiming timing)
{
    /// <summary>So many Events may follow each other at once.</summary>
    public const int Burst = 10;

    private const int LongestMessage = 1024; // pkg/apis/core/validation/events.go
    private readonly ConcurrentDictionary<string, ApiObject> _wrong = new(StringComparer.Ordinal);
    private readonly Channel<bool> _changes = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private (int Left, DateTime Filled) _bucket = (Burst, DateTime.UtcNow);

    /// <summary>Tells of a policy, as long as there is something wrong with it. Never blocks.</summary>
    public void Tell(ApiObject policy)
    {
        if (policy is { Rejections.Count: > 0, Resource.Kind: "NetworkPolicy" or "ClusterNetworkPolicy" })
        {
            _wrong[policy.Path] = policy;
            _changes.Writer.TryWrite(true);
        }
        else
        {
            Forget(policy.Path);
        }
    }

    /// <summary>A policy is gone.</summary>
    public void Forget(string path) => _wrong.TryRemove(path, out _);

    /// <summary>Sends what there is to tell, until cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        var told = new Dictionary<string, DateTime>(StringComparer.Ordinal);
        while (true)
        {
            var isDone = true;
            foreach (var (_, policy) in _wrong.OrderBy(pair => pair.Key, StringComparer.Ordinal).ToList())
            {
                var (path, name, body) = Write(policy, nodeName, DateTime.UtcNow);
                if (told.TryGetValue(name, out var time) && DateTime.UtcNow - time < timing.EventLasts)
                    continue;
                await PaceAsync(cancellation).ConfigureAwait(false);
                if (await SendAsync(path, body, cancellation).ConfigureAwait(false))
                    told[name] = DateTime.UtcNow;
                else
                    isDone = false;
            }

            foreach (var old in told.Where(pair => DateTime.UtcNow - pair.Value >= timing.EventLasts).Select(pair => pair.Key).ToList())
                told.Remove(old);
            await AwaitChangeAsync(isDone ? timing.EventLasts / 4 : timing.RetryLast, cancellation).ConfigureAwait(false);
        }
    }

    /// <summary>The Event of a rejected policy. Pure.</summary>
    /// <returns>The path that it is posted to, its name, and its JSON.</returns>
    public static (string Path, string Name, byte[] Json) Write(ApiObject policy, string nodeName, DateTime now)
    {
        var wrong = string.Join(' ', policy.Rejections.Select(rejection => $"{(rejection.Field.Length > 0 ? $"{rejection.Field}: " : "")}{rejection.Reason}"));
        var message = $"Not understood by Overlay, so the pods it selects are isolated: {wrong}";
        if (message.Length > LongestMessage)
            message = message[..LongestMessage];
        var hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{policy.Uid}\n{message}")))[..16];
        var ns = policy.Name.Namespace.Length > 0 ? policy.Name.Namespace : "default";
        var name = $"{(policy.Name.Name.Length > 200 ? policy.Name.Name[..200].TrimEnd('.', '-') : policy.Name.Name)}.{hash}";
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteString("apiVersion", "v1");
            json.WriteString("kind", "Event");
            json.WriteStartObject("metadata");
            json.WriteString("name", name);
            json.WriteString("namespace", ns);
            json.WriteEndObject();
            json.WriteStartObject("involvedObject");
            json.WriteString("apiVersion", policy.Resource.ApiVersion);
            json.WriteString("kind", policy.Resource.Kind);
            if (policy.Name.Namespace.Length > 0)
                json.WriteString("namespace", policy.Name.Namespace);
            json.WriteString("name", policy.Name.Name);
            json.WriteString("uid", policy.Uid);
            json.WriteString("resourceVersion", policy.ResourceVersion);
            json.WriteEndObject();
            json.WriteString("type", "Warning");
            json.WriteString("reason", "Rejected");
            json.WriteString("message", message);
            json.WriteStartObject("source");
            json.WriteString("component", "overlay");
            json.WriteString("host", nodeName);
            json.WriteEndObject();
            var time = now.ToString("yyyy-MM-ddTHH:mm:ssZ", System.Globalization.CultureInfo.InvariantCulture);
            json.WriteString("firstTimestamp", time);
            json.WriteString("lastTimestamp", time);
            json.WriteNumber("count", 1);
            json.WriteString("reportingComponent", "overlay");
            json.WriteString("reportingInstance", nodeName);
            json.WriteEndObject();
        }

        return ($"/api/v1/namespaces/{ns}/events", name, buffer.WrittenSpan.ToArray());
    }

    private async Task AwaitChangeAsync(TimeSpan longest, CancellationToken cancellation)
    {
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        timeout.CancelAfter(longest);
        try
        {
            await _changes.Reader.ReadAsync(timeout.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            // Time to look whether something is to be told again.
        }
    }

    private async Task PaceAsync(CancellationToken cancellation)
    {
        var left = Math.Min(Burst, _bucket.Left + (int)((DateTime.UtcNow - _bucket.Filled) / timing.BetweenEvents));
        if (left == 0)
            await Task.Delay(timing.BetweenEvents, cancellation).ConfigureAwait(false);
        _bucket = (Math.Max(0, left - 1), DateTime.UtcNow);
    }

    // Returns whether it need not be told again.
    private async Task<bool> SendAsync(string path, byte[] json, CancellationToken cancellation)
    {
        try
        {
            using var content = new ByteArrayContent(json);
            content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
            (await server.SendAsync(HttpMethod.Post, path, content, cancellation).ConfigureAwait(false)).Dispose();
            return true;
        }
        catch (ApiException e)
        {
            // There already, in a namespace that is just going, or not for us to write: no other try will do better.
            return e.Code is HttpStatusCode.Conflict or HttpStatusCode.NotFound or HttpStatusCode.Forbidden or HttpStatusCode.UnprocessableEntity;
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            return false;
        }
    }
}
