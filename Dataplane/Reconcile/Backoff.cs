namespace Overlay.Dataplane.Reconcile;

/// <summary>How long to wait before the next try: doubles from <paramref name="first"/> to <paramref name="last"/>.</summary>
public sealed class Backoff(TimeSpan first, TimeSpan last)
{
    private TimeSpan? _next;

    /// <summary>The wait before the try that follows another failure.</summary>
    public TimeSpan Next()
    {
        var wait = _next ?? first;
        _next = TimeSpan.FromTicks(Math.Min(wait.Ticks * 2, last.Ticks));
        return wait;
    }

    /// <summary>A try succeeded: begin again at the first wait.</summary>
    public void Reset() => _next = null;
}
