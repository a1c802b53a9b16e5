using CsCheck;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Explain;
using Overlay.PolicyEngine.Nftables;
using Overlay.Tests.Oracles;
using Overlay.Tests.Scenarios;

namespace Overlay.Tests.Properties;

/// <summary>The proof of a running node: it finds nothing in a ruleset as compiled, and whatever any packet of a pod would notice in a damaged one.</summary>
public class PolicyProofTests
{
    [TestCaseSource(typeof(Scenario), nameof(Scenario.Names))]
    public void Ruleset_and_policies_agree_on_every_class(string scenario)
    {
        var loaded = Scenario.Load(scenario);
        var compiled = CompiledCluster.Compile(loaded.Yaml, loaded.Objects, loaded.Configuration);
        foreach (var name in loaded.Objects.Nodes.Select(node => node.Metadata.Name))
        {
            var verdicts = Run(compiled.Node(name), name, compiled.Node(name).Ruleset).ToList();
            TestContext.Out.WriteLine($"{name}: {verdicts.Count} classes");
            Assert.That(verdicts.Where(verdict => !verdict.Agrees).Take(5), Is.Empty);
        }
    }

    [TestCase(false)]
    [TestCase(true)]
    public void Ruleset_and_policies_agree_on_random_clusters(bool isolateByDefault) => ClusterGen.Cluster.Sample(
        cluster =>
        {
            var compiled = CompiledCluster.Compile(cluster.ToYaml(), cluster, new() { IsolateByDefault = isolateByDefault });
            foreach (var name in cluster.Nodes.Select(node => node.Metadata.Name))
            {
                foreach (var verdict in Run(compiled.Node(name), name, compiled.Node(name).Ruleset).Where(verdict => !verdict.Agrees).Take(1))
                    throw new AssertionException($"on {name}: {verdict}");
            }
        },
        iter: 100,
        print: cluster => cluster.ToYaml());

    [Test]
    public void What_a_packet_notices_of_a_damaged_ruleset_the_classes_notice()
    {
        var noticed = 0;
        Gen.Select(ClusterGen.Cluster, Gen.Int[0, 2], Gen.Int[0, 2], Gen.UInt).Sample(
            (cluster, nodeIndex, kind, choice) =>
            {
                var name = cluster.Nodes.ElementAt(nodeIndex).Metadata.Name;
                var compiled = CompiledCluster.Compile(cluster.ToYaml(), cluster, new());
                var node = compiled.Node(name);
                var damaged = Damage(node.Ruleset, kind, choice);
                if (damaged is null)
                    return;
                var tracer = new PacketTracer(new RulesetView(damaged));
                var flow = new PacketSpace(cluster).Some(2000, (int)choice)
                    .SelectMany(flow => compiled.Walk(flow).Concat(compiled.Walk(flow, CtState.Established)))
                    .Where(hop => hop.Node == name && (IsOfPod(hop.Packet.InputInterface) || IsOfPod(hop.Packet.OutputInterface)))
                    .SelectMany(hop => (Packet[])(IsSentOn(hop.Packet, node.State.Network) ? [hop.Packet, hop.Packet with { ByIpvs = true }] : [hop.Packet]))
                    .FirstOrDefault(packet => tracer.Walk(packet).Accepted != node.Tracer.Walk(packet).Accepted);
                if (flow is null)
                    return;
                noticed++;
                if (Run(node, name, damaged).All(verdict => verdict.Agrees))
                    throw new AssertionException($"unnoticed on {name}: {flow}\nwith {NftText.Print(damaged)}");
            },
            iter: 300,
            threads: 1,
            print: sample => $"damage {sample.Item3} {sample.Item4} of node {sample.Item2} in\n{sample.Item1.ToYaml()}");
        Assert.That(noticed, Is.GreaterThan(20), "too little of the damage does any");
    }

    // Behind IPVS a packet has no input device, so one from elsewhere with the address of a pod of this node is none that anybody tells apart there.
    private static bool IsSentOn(Packet packet, PodNetwork network) =>
        packet is { InputInterface: not null, OutputInterface: not null } && (IsOfPod(packet.InputInterface) || !network.Local.Any(prefix => prefix.Contains(packet.Source)));

    private static bool IsOfPod(string? device) => device?.StartsWith(RulesetOptions.PodInterfacePrefix, StringComparison.Ordinal) == true;

    private static IEnumerable<ClassVerdict> Run(CompiledNode node, string name, Ruleset ruleset)
    {
        var devices = node.State.LocalPods.ToDictionary(pod => pod, CompiledNode.Device);
        return PolicyProof.Run(node.State, name, new RulesetView(ruleset), new(devices, ["overlay-vxlan", "eth0"]));
    }

    // One element less, one rule less, or one rule that accepts or drops more.
    private static Ruleset? Damage(Ruleset ruleset, int kind, uint choice)
    {
        var chains = new Dictionary<string, Chain>(ruleset.Chains);
        var elements = new Dictionary<string, IReadOnlyCollection<Element>>(ruleset.Elements);
        if (kind == 0)
        {
            var all = elements.SelectMany(set => set.Value.Select(element => (set.Key, Element: element))).OrderBy(item => item.Key, StringComparer.Ordinal).ThenBy(item => item.Element.Key).ToList();
            if (all.Count == 0)
                return null;
            var (set, gone) = all[(int)(choice % (uint)all.Count)];
            elements[set] = [.. elements[set].Where(element => element != gone)];
        }
        else
        {
            var all = chains.Values.SelectMany(chain => chain.Rules.Select((_, index) => (chain, index))).OrderBy(item => item.chain.Name, StringComparer.Ordinal).ToList();
            var (chain, place) = all[(int)(choice % (uint)all.Count)];
            var rules = chain.Rules.ToList();
            if (kind == 1)
                rules.RemoveAt(place);
            else
                rules.Insert(place, rules[place] with { Matches = [.. rules[place].Matches.Take((int)(choice >> 16) % 3)], Statements = [new Statement.Final((choice >> 20) % 2 == 0 ? Verdict.Accept : Verdict.Drop)] });
            chains[chain.Name] = chain with { Rules = new([.. rules]) };
        }

        return new(chains, ruleset.Sets, elements);
    }
}
