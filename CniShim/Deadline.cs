using System.Diagnostics;

namespace Overlay.CniShim;

/// <summary>A moment after which waiting is over. The runtime puts no limit on STATUS and a long one on the others, and one plugin that hangs holds up the whole node:
/// so everything here that can wait has one of these.</summary>
internal readonly record struct Deadline
{
    private readonly long timestamp;

    private Deadline(long timestamp) => this.timestamp = timestamp;

    /// <summary>The moment <paramref name="span"/> from now.</summary>
    public static Deadline In(TimeSpan span) => new(Stopwatch.GetTimestamp() + (long)(span.TotalSeconds * Stopwatch.Frequency));

    /// <summary>What is left; zero when over.</summary>
    public TimeSpan Remaining => Stopwatch.GetElapsedTime(Stopwatch.GetTimestamp(), timestamp) is { Ticks: > 0 } rest ? rest : TimeSpan.Zero;

    /// <summary>What is left in whole milliseconds, but at least one: zero would mean for ever to some.</summary>
    public int Milliseconds => (int)Math.Clamp(Math.Ceiling(Remaining.TotalMilliseconds), 1, int.MaxValue);

    /// <summary>The moment when this part of what is left is over.</summary>
    /// <param name="part">0 to 1.</param>
    public Deadline Part(double part) => In(Remaining * part);

    /// <summary>Whether it is over.</summary>
    public bool Passed => Remaining == TimeSpan.Zero;

    /// <summary>The earlier of the two.</summary>
    public static Deadline Earlier(Deadline left, Deadline right) => left.timestamp <= right.timestamp ? left : right;
}

/// <summary>How long each verb may take, and how long it waits for an agent that is just starting.</summary>
internal sealed record Deadlines
{
    /// <summary>ADD and CHECK: all of it.</summary>
    public TimeSpan Add { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>DEL and GC: all of it.</summary>
    public TimeSpan Del { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>STATUS: all of it; kubelet asks every 5 seconds.</summary>
    public TimeSpan Status { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>All of a verb.</summary>
    /// <param name="command">CNI_COMMAND.</param>
    public Deadline Of(string command) => Deadline.In(command switch
    {
        "ADD" or "CHECK" => Add,
        "STATUS" => Status,
        _ => Del,
    });

    /// <summary>ADD: how long to try to connect.</summary>
    public TimeSpan AgentStart { get; init; } = TimeSpan.FromSeconds(10);
}
