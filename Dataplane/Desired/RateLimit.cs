namespace Overlay.Dataplane.Desired;

/// <summary>How fast a pod may receive, or send: a token bucket, counted in bytes on the wire, Ethernet headers included.</summary>
/// <param name="Rate">Bytes a second; 1 at least.</param>
/// <param name="Burst">Bytes that may pass at once after a pause; a longest packet at least.</param>
public sealed record RateLimit(long Rate, uint Burst)
{
    // 25 ms: what comes faster waits no longer than that beyond its burst, and is dropped when it would.
    private const long LatenciesPerSecond = 40;

    /// <summary>Bytes that may wait.</summary>
    public uint Queue => (uint)Math.Min(Burst + (Rate / LatenciesPerSecond), uint.MaxValue);

    /// <summary>One whose burst is for us to choose: what comes in 25 ms, and 64 KiB at least, that a packet as hosts hand them to their devices, yet to be cut, passes whole.</summary>
    public static RateLimit Of(long rate) => new(rate, (uint)Math.Clamp(rate / LatenciesPerSecond, ushort.MaxValue + 1, uint.MaxValue));
}
