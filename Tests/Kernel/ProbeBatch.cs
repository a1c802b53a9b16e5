using System.Diagnostics;

namespace Overlay.Tests.Kernel;

/// <summary>Many probes at once, each with what is expected of it.</summary>
internal static class ProbeBatch
{
    /// <summary>
    /// The probes that did not fare as expected. Nothing tells a packet that was dropped from one that is late; so what is denied is sent when everything is
    /// known to work, and is given up only after everything allowed that was sent later has been answered, and then some.
    /// </summary>
    public static List<Probe> Wrong(IEnumerable<(Probe Probe, bool Allowed)> probes)
    {
        var expected = probes.ToLookup(probe => probe.Allowed, probe => probe.Probe);
        var denied = expected[false].ToList();
        var unanswered = Unanswered([.. expected[true]]);
        Send(denied);
        if (denied.Count > 0)
        {
            unanswered.AddRange(Unanswered([.. expected[true].Except(unanswered)]));
            Thread.Sleep(TimeSpan.FromMilliseconds(300));
        }

        return [.. unanswered, .. denied.Where(probe => probe.IsAnswered)];
    }

    private static List<Probe> Unanswered(List<Probe> probes)
    {
        var clock = Stopwatch.StartNew();
        var waiting = probes;
        while (waiting.Count > 0 && clock.Elapsed < TimeSpan.FromSeconds(20))
        {
            Send(waiting);
            var until = clock.Elapsed + TimeSpan.FromMilliseconds(500);
            for (; waiting.Count > 0 && clock.Elapsed < until; Thread.Sleep(5))
                waiting = [.. waiting.Where(probe => !probe.IsAnswered)];
        }

        return waiting;
    }

    private static void Send(List<Probe> probes) => Parallel.ForEach(probes.GroupBy(probe => probe.Netns), group => group.Key.Run(() =>
    {
        foreach (var probe in group)
            probe.SendInside();
    }));
}
