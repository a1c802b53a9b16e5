using System.Diagnostics;
using System.Threading.Channels;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Netlink;
using Serilog;

namespace Overlay.Dataplane.Kernel;

/// <summary>How looking at established connections has gone so far. Never changes.</summary>
/// <param name="Looks">How often they were looked at.</param>
/// <param name="Connections">Connections of this node's pods at the last look.</param>
/// <param name="Duration">What the last look took, from request to last mark.</param>
/// <param name="TotalDuration">What all looks took.</param>
/// <param name="Revoked">Connections cut since the start.</param>
/// <param name="Restored">Connections that were cut and may go on, since the start.</param>
/// <param name="Failure">Why the last look failed; null when it did not.</param>
public sealed record FlowLooks(long Looks, int Connections, TimeSpan Duration, TimeSpan TotalDuration, long Revoked, long Restored, string? Failure)
{
    /// <summary>Before the first.</summary>
    public static FlowLooks None { get; } = new(0, 0, TimeSpan.Zero, TimeSpan.Zero, 0, 0, null);

    /// <summary>What works less than it could.</summary>
    public IReadOnlyList<Degradation> Degradations => Failure is null ? [] : [new("policy.revokeEstablished", $"established connections cannot be looked at, so those that policy now forbids go on: {Failure}")];
}

/// <summary>
/// Cuts established connections that policy now forbids, and lets them go on when it allows them again. A look has three steps: the connections are read, beside the agent's loop;
/// the loop judges them by the ruleset it has, a slice a round, so that nothing waits behind it; and the marks are changed, again beside the loop.
/// </summary>
public sealed class FlowRevocation : IDisposable
{
    // About 2 ms of the loop's time.
    private const int FlowsPerSlice = 512;

    // A packet that had passed the old rules when a look began may have its connection confirmed only after it: what began within this time is looked at again.
    private static readonly TimeSpan Settling = TimeSpan.FromSeconds(1);

    private readonly ILogger _log;
    private readonly bool _enabled;
    private readonly FlowOffload _offload;
    private bool _isForgetDue;
    private readonly FlowTable _table = FlowTable.Open();
    private readonly Channel<FlowRequest> _requests = Channel.CreateBounded<FlowRequest>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropOldest });
    private readonly Channel<FlowJudgement> _judgements = Channel.CreateBounded<FlowJudgement>(1);
    private volatile FlowLooks _looks = FlowLooks.None;
    private volatile FlowRemains _remains = FlowRemains.Unknown;

    /// <summary>Opens the calling thread's network namespace.</summary>
    /// <param name="enabled"><c>policy.revokeEstablished</c>; false: marks of an earlier life are cleared, and no connection is looked at.</param>
    /// <param name="offload">Connections on the short way pass no chain, and so no mark is looked at.</param>
    /// <param name="log">Where events go.</param>
    /// <exception cref="NetlinkException">No rights, or a kernel without netlink.</exception>
    public FlowRevocation(bool enabled, FlowOffload offload, ILogger log)
    {
        _enabled = enabled;
        _offload = offload;
        _log = log;
    }

    /// <summary>How it has gone so far. Any thread may ask.</summary>
    public FlowLooks Looks => _looks;

    /// <summary>What the last look found of pods that are gone. Any thread may ask.</summary>
    public FlowRemains Remains => _remains;

    /// <summary>Has an item while connections wait to be judged.</summary>
    public ChannelReader<FlowJudgement> Judgements => _judgements.Reader;

    /// <summary>Something may forbid what it allowed: connections are to be looked at soon. Many requests at once are one.</summary>
    public void Request(FlowRequest request) => _requests.Writer.TryWrite(request);

    /// <summary>The loop judges a slice of the connections that wait, if any do. While more do, <see cref="Judgements"/> has an item.</summary>
    public void Judge(Func<Flow, bool> forbids)
    {
        if (_judgements.Reader.TryPeek(out var judgement) && judgement.Proceed(forbids, FlowsPerSlice))
            _judgements.Reader.TryRead(out _);
    }

    /// <summary>Runs until cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        if (!_enabled)
        {
            await AttemptAsync(_ => Task.FromResult(new FlowChanges(0, _table.Clear())), cancellation).ConfigureAwait(false);
            await Task.Delay(Timeout.Infinite, cancellation).ConfigureAwait(false);
        }

        FlowRequest? request = null;
        var isSettling = false;
        while (true)
        {
            isSettling = await RequestedAsync(isSettling ? Settling : Timeout.InfiniteTimeSpan, cancellation).ConfigureAwait(false);
            while (_requests.Reader.TryRead(out var latest))
                request = latest;
            await AttemptAsync(token => LookAsync(request!, token), cancellation).ConfigureAwait(false);

            // A storm of requests shall not keep the kernel listing: at most a third of the time.
            await Task.Delay(2 * _looks.Duration, cancellation).ConfigureAwait(false);
        }
    }

    /// <summary>Closes the sockets; marks stay, and what they forbid stays forbidden.</summary>
    public void Dispose() => _table.Dispose();

    // False when the time was up first.
    private async Task<bool> RequestedAsync(TimeSpan patience, CancellationToken cancellation)
    {
        using var wake = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var request = _requests.Reader.WaitToReadAsync(wake.Token).AsTask();
        var first = await Task.WhenAny(request, Task.Delay(patience, wake.Token)).ConfigureAwait(false);
        await wake.CancelAsync().ConfigureAwait(false);
        cancellation.ThrowIfCancellationRequested();
        return first == request;
    }

    private async Task AttemptAsync(Func<CancellationToken, Task<FlowChanges>> look, CancellationToken cancellation)
    {
        var clock = Stopwatch.StartNew();
        try
        {
            var changes = await Task.Run(() => look(cancellation), cancellation).ConfigureAwait(false);
            if (changes != default)
                Log.FlowsChanged(_log, changes.Revoked, changes.Restored, clock.ElapsedMilliseconds);
            Looked(clock.Elapsed, changes, null);
        }
        catch (Exception e) when (e is NetlinkException or NetlinkFormatException)
        {
            // The next change, or the next resync, tries again.
            Looked(clock.Elapsed, default, e.Message);
        }
    }

    private void Looked(TimeSpan duration, FlowChanges changes, string? failure)
    {
        var before = _looks;
        _looks = before with
        {
            Looks = before.Looks + 1,
            Duration = duration,
            TotalDuration = before.TotalDuration + duration,
            Revoked = before.Revoked + changes.Revoked,
            Restored = before.Restored + changes.Restored,
            Failure = failure,
        };
        foreach (var worse in _looks.Degradations.Except(before.Degradations))
            Log.Degraded(_log, worse.ToString());
        foreach (var better in before.Degradations.Except(_looks.Degradations))
            Log.Restored(_log, better.ToString());
    }

    private async Task<FlowChanges> LookAsync(FlowRequest request, CancellationToken cancellation)
    {
        var survey = _table.Survey(request);
        _remains = survey.Remains;
        _looks = _looks with { Connections = survey.Connections };
        if (survey.Connections == 0)
            return default;
        var judgement = new FlowJudgement(survey);
        await _judgements.Writer.WriteAsync(judgement, cancellation).ConfigureAwait(false);
        await judgement.Completion.WaitAsync(cancellation).ConfigureAwait(false);
        var changes = _table.Apply(survey);

        // Marks are set once: a try that failed is owed to the next look.
        _isForgetDue |= changes.Revoked > 0;
        if (_isForgetDue)
            _offload.Forget();
        _isForgetDue = false;
        return changes;
    }
}

/// <summary>Connections on their way through the loop.</summary>
/// <param name="survey">Where the verdicts go.</param>
public sealed class FlowJudgement(FlowSurvey survey)
{
    private readonly TaskCompletionSource _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly List<Flow> _flows = [.. survey.Flows.Keys];
    private int _judged;

    /// <summary>Ends when all are judged.</summary>
    public Task Completion => _completion.Task;

    /// <summary>Judges the next ones.</summary>
    /// <returns>Whether that were the last.</returns>
    public bool Proceed(Func<Flow, bool> forbids, int count)
    {
        for (var end = Math.Min(_judged + count, _flows.Count); _judged < end; _judged++)
            survey.Flows[_flows[_judged]] = forbids(_flows[_judged]);
        return _judged == _flows.Count && _completion.TrySetResult();
    }
}
