using System.Threading.Channels;

namespace Overlay.Dataplane;

/// <summary>What a loop waits for. A wait that has not ended is kept for the next round: to cancel and begin all of them anew costs more than most rounds do.</summary>
/// <param name="stop">Ends all waits.</param>
internal sealed class LoopWaits(CancellationToken stop)
{
    private readonly List<Func<Task>> _begin = [];
    private readonly List<Task> _pending = [];
    private Task[] _sources = [];
    private Task _timer = Task.CompletedTask;
    private DateTime _alarm;

    /// <summary>Wakes the loop when there is something to read, which the loop then does; now and then when there is nothing any more.</summary>
    public void Add<T>(ChannelReader<T> reader)
    {
        _begin.Add(() => reader.WaitToReadAsync(stop).AsTask());
        _pending.Add(Task.CompletedTask);
    }

    /// <summary>Work beside the loop: when it ends, the loop does.</summary>
    public void Add(params Task[] sources) => _sources = sources;

    /// <summary>Waits until something is there, or until a time, or earlier: not later.</summary>
    /// <exception cref="OperationCanceledException">All ends.</exception>
    public async Task AnyAsync(DateTime until)
    {
        for (var i = 0; i < _begin.Count; i++)
        {
            if (_pending[i].IsCompleted)
                _pending[i] = _begin[i]();
        }

        await Task.WhenAny([.. _pending, Alarm(until), .. _sources]);
        stop.ThrowIfCancellationRequested();
        foreach (var ended in _sources.Where(source => source.IsCompleted))
            await ended;
    }

    // The last one is kept as long as it rings in time.
    private Task Alarm(DateTime until)
    {
        var now = DateTime.UtcNow;
        if (!_timer.IsCompleted && _alarm <= until)
            return _timer;
        _alarm = until;
        return _timer = Task.Delay(until > now ? until - now : TimeSpan.Zero, stop);
    }
}
