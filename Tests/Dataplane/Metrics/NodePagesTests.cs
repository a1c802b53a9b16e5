using System.Threading.Channels;
using Overlay.Dataplane;
using Overlay.Dataplane.Http;
using Overlay.Dataplane.Operator;

namespace Overlay.Tests.Dataplane.Metrics;

/// <summary>What probes are told while the agent's loop hangs, which no test can make a real one do.</summary>
public class NodePagesTests
{
    private static readonly NodeStatus Serving = new() { NodeName = "node-1", IsServing = true };

    [TestCase("/livez")]
    [TestCase("/healthz")]
    [TestCase("/readyz")]
    public async Task A_loop_that_does_not_answer_is_neither_alive_nor_ready(string path)
    {
        var calls = Channel.CreateBounded<SnapshotCall>(64);
        Assert.That(await Ask(calls, Serving, path), Is.EqualTo(("503 Service Unavailable", "The agent's loop has not answered for 0.1 s.\n")));
    }

    [Test]
    public async Task A_loop_so_far_behind_that_it_takes_no_more_questions_is_not_alive()
    {
        var calls = Channel.CreateBounded<SnapshotCall>(1);
        Assert.That(calls.Writer.TryWrite(new()), Is.True);
        Assert.That((await Ask(calls, Serving, "/livez")).Status, Does.StartWith("503 "));
    }

    [Test]
    public async Task Metrics_are_told_even_so()
    {
        var calls = Channel.CreateBounded<SnapshotCall>(64);
        var (status, body) = await Ask(calls, Serving, "/metrics");
        Assert.That(status, Is.EqualTo("200 OK"));
        Assert.That(body, Does.Contain("overlay_serving 1\n"));
    }

    [Test]
    public async Task What_is_not_ready_says_every_reason_on_a_line_of_its_own_and_is_alive()
    {
        var calls = Channel.CreateBounded<SnapshotCall>(64);
        var status = Serving with { Unready = ["One.", "Two."] };
        using var stop = new CancellationTokenSource();
        var loop = Task.Run(async () =>
        {
            await foreach (var call in calls.Reader.ReadAllAsync(stop.Token))
                call.Answer(null!);
        });
        Assert.That(await Ask(calls, status, "/readyz", patience: 60), Is.EqualTo(("503 Service Unavailable", "One.\nTwo.\n")));
        Assert.That(await Ask(calls, status, "/livez", patience: 60), Is.EqualTo(("200 OK", "ok\n")));
        await stop.CancelAsync();
        await loop.ContinueWith(_ => { }, TaskScheduler.Default);
    }

    [Test]
    public void A_prober_that_has_gone_is_not_told_that_the_agent_hangs()
    {
        var pages = new NodePages(Channel.CreateBounded<SnapshotCall>(64).Writer, () => Serving, TimeSpan.FromMinutes(1)).All;
        Assert.That(async () => await pages["/livez"](new CancellationToken(canceled: true)), Throws.InstanceOf<OperationCanceledException>());
    }

    private static async Task<(string Status, string Body)> Ask(Channel<SnapshotCall> calls, NodeStatus status, string path, double patience = 0.1)
    {
        var answer = await new NodePages(calls.Writer, () => status, TimeSpan.FromSeconds(patience)).All[path](CancellationToken.None);
        return (answer.Status, answer.Body);
    }
}
