using System.Net.Sockets;
using System.Threading.Channels;
using Serilog;

namespace Overlay.Dataplane.Probing;

/// <summary>
/// Tries the ways to the other nodes, beside the loop. Nobody has to listen for it: the other node's kernel answers. Each way is tried every 15 s, in a large cluster less often, so that
/// no more than four are a second; one whose state is open, or bad, sooner.
/// </summary>
/// <param name="log">Where events go.</param>
internal sealed class Prober(ILogger log) : IDisposable
{
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan PeriodOfEach = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan PeriodOfOpen = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan PeriodOfBad = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Spacing = TimeSpan.FromMilliseconds(50);

    private readonly Channel<bool> _news = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private readonly SemaphoreSlim _wake = new(0);
    private readonly Lock _gate = new();

    // Under the gate. A way is in the queue or in flight, never both, never twice.
    private readonly Dictionary<ProbeTarget, PeerFinding> _findings = [];
    private readonly HashSet<ProbeTarget> _inFlight = [];
    private PriorityQueue<ProbeTarget, DateTime> _due = new();
    private int _count;

    // The loop's, for comparison only.
    private IReadOnlyList<ProbeTarget> _targets = [];

    /// <summary>Has an item when something is known that was not before.</summary>
    public ChannelReader<bool> News => _news.Reader;

    /// <summary>Why nothing is tried; empty when all is well. For any thread.</summary>
    public string Obstacle { get; private set; } = "";

    /// <summary>What is known. For any thread.</summary>
    public IReadOnlyList<PeerFinding> Findings
    {
        get
        {
            lock (_gate)
                return [.. _findings.Values];
        }
    }

    /// <summary>Tries these ways from now on. What is known of others is forgotten. Of a list that it knows, only what has come to its end is looked at. For the loop, which owns the list.</summary>
    public void Follow(IReadOnlyList<ProbeTarget> targets)
    {
        var isSame = ReferenceEquals(targets, _targets);
        if (isSame && targets.Count == _count)
            return;
        lock (_gate)
        {
            if (!isSame)
            {
                var wanted = targets.ToHashSet();
                foreach (var gone in _findings.Keys.Where(target => !wanted.Contains(target)).ToList())
                    _findings.Remove(gone);
                _due = new(_due.UnorderedItems.Where(item => wanted.Contains(item.Element)));
            }

            foreach (var target in targets.Skip(isSame ? _count : 0))
            {
                if (_findings.TryAdd(target, new(target)) && !_inFlight.Contains(target))
                    _due.Enqueue(target, DateTime.UtcNow);
            }

            (_targets, _count) = (targets, targets.Count);
        }

        _news.Writer.TryWrite(true);
        Wake();
    }

    /// <summary>Runs until cancelled.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        await Task.Yield();
        try
        {
            using var probe = new Probe();
            await Task.WhenAny(probe.ReceiveAsync(stop), TurnAsync(probe, stop)).Unwrap().ConfigureAwait(false);
        }
        catch (SocketException e)
        {
            // All else goes on without.
            Log.ProbesRefused(log, e.Message);
            Obstacle = $"the ways to other nodes are not tried, so status does not tell which of them work: {e.Message}. Give the agent CAP_NET_RAW.";
            _news.Writer.TryWrite(true);
            await Task.Delay(Timeout.Infinite, stop).ConfigureAwait(false);
        }
    }

    /// <summary>Ends with the agent, after <see cref="RunAsync"/> has.</summary>
    public void Dispose() => _wake.Dispose();

    private async Task TurnAsync(Probe probe, CancellationToken stop)
    {
        while (true)
        {
            if (Next() is { } target)
            {
                _ = TryAsync(target, probe, stop);
                await Task.Delay(Spacing, stop).ConfigureAwait(false);
            }
            else
            {
                await _wake.WaitAsync(UntilNext(), stop).ConfigureAwait(false);
            }
        }
    }

    private async Task TryAsync(ProbeTarget target, Probe probe, CancellationToken stop)
    {
        var outcome = await probe.TryAsync(target, stop).ConfigureAwait(false);
        lock (_gate)
        {
            _inFlight.Remove(target);
            if (!_findings.TryGetValue(target, out var before))
                return;
            var after = before.After(outcome, DateTime.UtcNow);
            _findings[target] = after;
            _due.Enqueue(target, DateTime.UtcNow + Distance(after));
            if ((after.Reachability, after.Checksums) != (before.Reachability, before.Checksums))
                _news.Writer.TryWrite(true);
        }

        Wake();
    }

    private TimeSpan Distance(PeerFinding finding)
    {
        if (finding.IsOpen)
            return PeriodOfOpen;
        var steady = TimeSpan.FromTicks(Math.Max(Period.Ticks, _count * PeriodOfEach.Ticks));
        return finding.Reachability != Reachability.Reached && PeriodOfBad < steady ? PeriodOfBad : steady;
    }

    private ProbeTarget? Next()
    {
        lock (_gate)
        {
            if (!_due.TryPeek(out var target, out var due) || due > DateTime.UtcNow)
                return null;
            _due.Dequeue();
            _inFlight.Add(target);
            return target;
        }
    }

    private TimeSpan UntilNext()
    {
        lock (_gate)
        {
            if (!_due.TryPeek(out _, out var due))
                return Timeout.InfiniteTimeSpan;
            var wait = due - DateTime.UtcNow;
            return wait > TimeSpan.Zero ? wait : TimeSpan.Zero;
        }
    }

    private void Wake()
    {
        if (_wake.CurrentCount == 0)
            _wake.Release();
    }
}
