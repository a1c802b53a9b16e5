using System.Threading.Channels;
using Overlay.Dataplane.Metrics;
using Overlay.Dataplane.Operator;

namespace Overlay.Dataplane.Http;

/// <summary>
/// What the agent serves over HTTP. <c>/livez</c> and <c>/healthz</c>: 200 while the agent's loop turns. <c>/readyz</c>: 200 while this node serves, else 503 with the reasons, one a
/// line. <c>/metrics</c>: for Prometheus. Whether the API server is there plays no part: an agent without it goes on.
/// </summary>
/// <param name="calls">Where the loop can be asked something: its answer shows that it turns, at the cost of one round.</param>
/// <param name="status">What is known of the node; called by any thread.</param>
/// <param name="patience">How long the loop may take to answer; less than the endpoint waits.</param>
internal sealed class NodePages(ChannelWriter<SnapshotCall> calls, Func<NodeStatus> status, TimeSpan patience)
{
    /// <summary>By path, what <c>metrics.address</c> serves.</summary>
    public Dictionary<string, Func<CancellationToken, Task<HttpAnswer>>> Metrics => new() { ["/metrics"] = MetricsAsync };

    /// <summary>By path, what <c>health.address</c> serves.</summary>
    public Dictionary<string, Func<CancellationToken, Task<HttpAnswer>>> Health => new() { ["/livez"] = LivezAsync, ["/healthz"] = LivezAsync, ["/readyz"] = ReadyzAsync };

    /// <summary>Both, for one address.</summary>
    public Dictionary<string, Func<CancellationToken, Task<HttpAnswer>>> All => new(Metrics.Concat(Health));

    private static HttpAnswer Ok { get; } = new("200 OK", HttpAnswer.PlainText, "ok\n");

    private Task<HttpAnswer> MetricsAsync(CancellationToken cancellation) =>
        Task.FromResult(new HttpAnswer("200 OK", PrometheusText.MediaType, PrometheusText.Print(status(), Cli.Version.Text, Environment.CpuUsage.TotalTime, Environment.WorkingSet)));

    private async Task<HttpAnswer> LivezAsync(CancellationToken cancellation) => await TurnsAsync(cancellation).ConfigureAwait(false) ? Ok : Stuck();

    private async Task<HttpAnswer> ReadyzAsync(CancellationToken cancellation)
    {
        if (!await TurnsAsync(cancellation).ConfigureAwait(false))
            return Stuck();
        var reasons = status().Unready;
        return reasons.Count == 0 ? Ok : Unavailable([.. reasons]);
    }

    private HttpAnswer Stuck() => Unavailable($"The agent's loop has not answered for {patience.TotalSeconds:0.#} s.");

    private static HttpAnswer Unavailable(params string[] reasons) => new("503 Service Unavailable", HttpAnswer.PlainText, string.Concat(reasons.Select(reason => reason + "\n")));

    private async Task<bool> TurnsAsync(CancellationToken cancellation)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(patience);
        try
        {
            var call = new SnapshotCall();
            await calls.WriteAsync(call, deadline.Token).ConfigureAwait(false);
            await call.Answered.WaitAsync(deadline.Token).ConfigureAwait(false);
            return true;
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            return false;
        }
    }
}
