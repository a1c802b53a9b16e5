using Overlay.Tests.Oracles;

namespace Overlay.Tests.Properties;

/// <summary>
/// A shrunk cluster on which the ruleset and the oracle differ, as the folder of a scenario beside the test's other output: <c>cluster.yaml</c>, <c>flows.txt</c>
/// with what the oracle says of the packets in question, and <c>overlay.yaml</c> where a setting matters. Copy it to Tests/Scenarios under the name of what it shows.
/// </summary>
internal static class Counterexample
{
    private const int MostFlows = 20;

    /// <summary>Writes the folder.</summary>
    /// <param name="cluster">The cluster.</param>
    /// <param name="seed">Which packets were looked at; null: every class.</param>
    /// <param name="isolateByDefault"><c>policy.default: deny</c>.</param>
    /// <returns>What was done, in words.</returns>
    public static string Write(ClusterObjects cluster, int? seed, bool isolateByDefault)
    {
        var yaml = cluster.ToYaml();
        var agreement = new Agreement(cluster, CompiledCluster.Compile(yaml, cluster, new() { IsolateByDefault = isolateByDefault }), isolateByDefault);
        var space = new PacketSpace(cluster);
        var oracle = new PolicyOracle(cluster, isolateByDefault);
        var wrong = (seed is { } chosen ? space.Some(400, chosen) : space.All()).Distinct().Where(flow => agreement.Disagreements([flow]).Any()).Take(MostFlows);
        var folder = Path.Combine(TestContext.CurrentContext.WorkDirectory, $"counterexample-{TestContext.CurrentContext.Test.ID}");
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "cluster.yaml"), yaml);
        File.WriteAllLines(Path.Combine(folder, "flows.txt"), wrong.Select(flow => Line(flow, oracle.Judge(flow))));
        if (isolateByDefault)
            File.WriteAllText(Path.Combine(folder, "overlay.yaml"), "policy:\n  default: deny\n");
        return $"written to {folder}";
    }

    private static string Line(Flow flow, FlowJudgement judged) =>
        $"{flow.Source} -> {flow.Destination} {flow.Protocol.ToLowerInvariant()}{(flow.Port == 0 ? "" : $" {flow.Port}")} {(judged.Allowed ? "allow" : "deny")} # {judged}";
}
