using CsCheck;
using Overlay.PolicyEngine.Explain;
using Overlay.Tests.Oracles;
using Overlay.Tests.Scenarios;
using Flow = Overlay.Tests.Oracles.Flow;

namespace Overlay.Tests.Properties;

/// <summary>The product's judge and the oracle agree in each direction of every flow, whichever node the judge is on.</summary>
public class PolicyJudgeTests
{
    [TestCase(false)]
    [TestCase(true)]
    public void Judge_and_oracle_agree_on_random_clusters(bool isolateByDefault) => Gen.Select(ClusterGen.Cluster, Gen.Int).Sample(
        (cluster, seed) =>
        {
            var compiled = CompiledCluster.Compile(cluster.ToYaml(), cluster, new() { IsolateByDefault = isolateByDefault });
            if (Disagreements(cluster, compiled, isolateByDefault, new PacketSpace(cluster).Some(400, seed)).FirstOrDefault() is { } disagreement)
                throw new AssertionException(disagreement);
        },
        iter: 200,
        print: sample => $"packets of seed {sample.Item2} in\n{sample.Item1.ToYaml()}");

    [TestCaseSource(typeof(Scenario), nameof(Scenario.Names))]
    public void Judge_and_oracle_agree_on_every_class_of_packets(string scenario)
    {
        var loaded = Scenario.Load(scenario);
        var compiled = CompiledCluster.Compile(loaded.Yaml, loaded.Objects, loaded.Configuration);
        Assert.That(Disagreements(loaded.Objects, compiled, loaded.Configuration.IsolateByDefault, new PacketSpace(loaded.Objects).All()).Take(5), Is.Empty);
    }

    private static IEnumerable<string> Disagreements(ClusterObjects objects, CompiledCluster compiled, bool isolateByDefault, IEnumerable<Flow> flows)
    {
        var oracle = new PolicyOracle(objects, isolateByDefault);
        var judges = objects.Nodes.Select(node => node.Metadata.Name).Select(name => new PolicyJudge(compiled.Node(name).State, name)).ToList();
        return from flow in flows
               let wanted = oracle.Judge(flow)
               let packet = new Packet(flow.SourceAddress, flow.DestinationAddress, flow.ProtocolNumber, (ushort)flow.Port, null, null)
               from judge in judges
               let judged = judge.Judge(packet)
               where judged.Egress.Allowed != wanted.Egress.Allowed || judged.Ingress.Allowed != wanted.Ingress.Allowed
               select $"{flow}\n  oracle: {wanted}\n  judge: egress {judged.Egress}; ingress {judged.Ingress}";
    }
}
