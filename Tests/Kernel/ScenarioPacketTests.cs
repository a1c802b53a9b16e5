using Overlay.Tests.Guest;
using Overlay.Tests.Scenarios;

namespace Overlay.Tests.Kernel;

/// <summary>Every scenario folder once more, with real agents, the real plugin and real packets: what the oracle says is what happens.</summary>
public class ScenarioPacketTests
{
    [TestCaseSource(typeof(Scenario), nameof(Scenario.Names))]
    public void Packets_of_every_flow_fare_as_written_down(string name) => AssertFlows(name);

    /// <summary>Builds a scenario and sends a packet of each of its flows.</summary>
    /// <param name="name">Its folder.</param>
    /// <param name="flags">More flags for every agent.</param>
    internal static void AssertFlows(string name, params string[] flags)
    {
        var scenario = Scenario.Load(name);
        using var cluster = ScenarioCluster.Create(scenario, flags);
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

            var wrong = ProbeBatch.Wrong(probes.Select(pair => (pair.Value, pair.Key.Allowed))).Select(probe => probes.Single(pair => pair.Value == probe).Key).Select(expected => $"flows.txt:{expected.Line}: {expected.Text}: {expected.Flow}: {(expected.Allowed ? "no answer" : "answered")}");
            Assert.That(wrong, Is.Empty, () => cluster.Log);
        }
        finally
        {
            foreach (var probe in probes.Values)
                probe.Dispose();
        }
    }
}

/// <summary>Scenarios of every kind of peer once more, with IP-in-IP between the nodes.</summary>
[InGuest]
public class IpInIpScenarioPacketTests
{
    [Test]
    public void Packets_of_every_flow_fare_as_written_down([Values("allow-from-pods", "deny-egress", "nodes-peer", "tunnel-addresses", "udp-and-sctp")] string name) =>
        ScenarioPacketTests.AssertFlows(name, "--encapsulation", "ipip");
}
