using CsCheck;
using Overlay.Tests.Oracles;
using Overlay.Tests.Scenarios;

namespace Overlay.Tests.Properties;

/// <summary>The compiled rulesets and the oracle agree on every packet. The oracle reads typed objects; the product reads the same objects as YAML.</summary>
public class PolicyAgreementTests
{
    // About 10 ms a cluster. OVERLAY_ITERATIONS asks for more.
    private static readonly long Iterations = long.TryParse(Environment.GetEnvironmentVariable("OVERLAY_ITERATIONS"), out var iterations) ? iterations : 200;

    [TestCase(false)]
    [TestCase(true)]
    public void Ruleset_and_oracle_agree_on_random_clusters(bool isolateByDefault) => Gen.Select(ClusterGen.Cluster, Gen.Int).Sample(
        (cluster, seed) =>
        {
            var compiled = CompiledCluster.Compile(cluster.ToYaml(), cluster, new() { IsolateByDefault = isolateByDefault });
            var disagreement = new Agreement(cluster, compiled, isolateByDefault).Disagreements(new PacketSpace(cluster).Some(400, seed)).FirstOrDefault();
            if (disagreement is not null)
                throw new AssertionException(disagreement);
        },
        iter: Iterations,
        print: sample => $"packets of seed {sample.Item2}: {Counterexample.Write(sample.Item1, sample.Item2, isolateByDefault)}\n{sample.Item1.ToYaml()}");

    // Every class of packets of fewer clusters.
    [TestCase(false)]
    [TestCase(true)]
    public void Ruleset_and_oracle_agree_on_every_class_of_packets_of_random_clusters(bool isolateByDefault) => ClusterGen.Cluster.Sample(
        cluster =>
        {
            var compiled = CompiledCluster.Compile(cluster.ToYaml(), cluster, new() { IsolateByDefault = isolateByDefault });
            var disagreement = new Agreement(cluster, compiled, isolateByDefault).Disagreements(new PacketSpace(cluster).All()).FirstOrDefault();
            if (disagreement is not null)
                throw new AssertionException(disagreement);
        },
        iter: Math.Max(1, Iterations / 20),
        print: cluster => $"{Counterexample.Write(cluster, seed: null, isolateByDefault)}\n{cluster.ToYaml()}");

    [TestCaseSource(typeof(Scenario), nameof(Scenario.Names))]
    public void Ruleset_and_oracle_agree_on_every_class_of_packets(string scenario)
    {
        var loaded = Scenario.Load(scenario);
        var compiled = CompiledCluster.Compile(loaded.Yaml, loaded.Objects, loaded.Configuration);
        var space = new PacketSpace(loaded.Objects);
        TestContext.Out.WriteLine($"{space.Count} classes");
        Assert.That(new Agreement(loaded.Objects, compiled, loaded.Configuration.IsolateByDefault).Disagreements(space.All()).Take(5), Is.Empty);
    }
}
