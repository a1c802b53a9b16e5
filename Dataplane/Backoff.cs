namespace Overlay.Dataplane;

/// <summary>How long to wait before the next try: doubles from <paramref name="first"/> to <paramref name="last"/>.</summary>
/// <param name="first">The wait after the first failure.</param>
/// <param name="last">The longest.</param>
/// <param name="jitter">Part by which each wait is stretched or shortened at random, 0 to 1: many that fail together are not to come back together.</param>
public sealed class Backoff(TimeSpan first, TimeSpan last, double jitter = 0)
{
    private TimeSpan? _next;

    /// <summary>The wait before the try that follows another failure.</summary>
    public TimeSpan Next()
    {
        var wait = _next ?? first;
        _next = TimeSpan.FromTicks(Math.Min(wait.Ticks * 2, last.Ticks));
        return jitter == 0 ? wait : wait * (1 - jitter + (2 * jitter * Random.Shared.NextDouble()));
    }

    /// <summary>A try succeeded: begin again at the first wait.</summary>
    public void Reset() => _next = null;
}
