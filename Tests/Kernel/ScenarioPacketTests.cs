using System.Diagnostics;
using Overlay.Tests.Oracles;
using Overlay.Tests.Scenarios;

namespace Overlay.Tests.Kernel;

/// <summary>Every scenario folder once more, with real agents, the real plugin and real packets: what the oracle says is what happens.</summary>
public class ScenarioPacketTests
{
    [TestCaseSource(typeof(Scenario), nameof(Scenario.Names))]
    public void Packets_of_every_flow_fare_as_written_down(string name)
    {
        var scenario = Scenario.Load(name);
        using var cluster = ScenarioCluster.Create(scenario);
        using var servers = new ProbeServers();
        var probes = scenario.Flows().ToDictionary(expected => expected, expected => Probe.Open(expected.Flow, cluster.At(expected.Flow.Source)));
        try
        {
            foreach (var (line, _, flow, _) in probes.Keys)
            {
                servers.Serve(flow, cluster.At(flow.Destination));
                if (flow.Protocol == "SCTP")
                    TestContext.Out.WriteLine($"flows.txt:{line}: {flow}: INIT and INIT ACK by raw sockets, so that it needs no SCTP of the kernel");
            }

            var wrong = Judge(probes).Select(expected => $"flows.txt:{expected.Line}: {expected.Text}: {expected.Flow}: {(expected.Allowed ? "no answer" : "answered")}");
            Assert.That(wrong, Is.Empty, () => cluster.Log);
        }
        finally
        {
            foreach (var probe in probes.Values)
                probe.Dispose();
        }
    }

    // The flows that did not fare as expected. Nothing tells a packet that was dropped from one that is late; so what is denied is sent when
    // everything is known to work, and is given up only after everything allowed that was sent later has been answered, and then some.
    private static List<ExpectedFlow> Judge(Dictionary<ExpectedFlow, Probe> probes)
    {
        var allowed = probes.Where(pair => pair.Key.Allowed).ToList();
        var denied = probes.Where(pair => !pair.Key.Allowed).ToList();
        var unanswered = Unanswered(allowed);
        denied.ForEach(pair => pair.Value.Send());
        unanswered.AddRange(Unanswered([.. allowed.Where(pair => !unanswered.Contains(pair.Key))]));
        Thread.Sleep(TimeSpan.FromMilliseconds(300));
        return [.. unanswered, .. denied.Where(pair => pair.Value.IsAnswered).Select(pair => pair.Key)];
    }

    private static List<ExpectedFlow> Unanswered(List<KeyValuePair<ExpectedFlow, Probe>> probes)
    {
        var clock = Stopwatch.StartNew();
        var waiting = probes;
        while (waiting.Count > 0 && clock.Elapsed < TimeSpan.FromSeconds(20))
        {
            waiting.ForEach(pair => pair.Value.Send());
            var until = clock.Elapsed + TimeSpan.FromMilliseconds(500);
            for (; waiting.Count > 0 && clock.Elapsed < until; Thread.Sleep(5))
                waiting = [.. waiting.Where(pair => !pair.Value.IsAnswered)];
        }

        return [.. waiting.Select(pair => pair.Key)];
    }
}
