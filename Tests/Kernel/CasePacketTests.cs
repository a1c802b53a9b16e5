using System.Diagnostics;
using Overlay.Tests.Cases;
using Overlay.Tests.Oracles;

namespace Overlay.Tests.Kernel;

/// <summary>
/// The public truth tables with real packets between pods that the real plugin wired, on nodes that real agents run; every step is a change under the running
/// agents. Both families: the tables are about IPv4, of IPv6 the same is expected. A pod reaching itself is not asserted, as upstream.
/// <c>OVERLAY_CYCLONUS=all</c> has every case of cyclonus probed, <c>OVERLAY_SEED</c> picks others than chance does.
/// </summary>
public class CasePacketTests
{
    // Steps of cyclonus that are probed at least, where not all are.
    private const int CyclonusSteps = 32;

    [Test]
    public void Packets_fare_as_in_the_tables_of_Kubernetes() =>
        Hold([.. PublicCases.Read("k8s-e2e-netpol.json").Select(policyCase => (policyCase.Id, Steps(policyCase)))], atLeast: 1_000, "192.168.0.0/28", "192.168.0.16/28", "192.168.0.32/28");

    [Test]
    public void Packets_fare_as_in_the_tables_of_the_recipes() =>
        Hold([.. PublicCases.Read("cyclonus-recipes.json").Select(policyCase => (policyCase.Id, policyCase.Steps))], atLeast: 1_500, RecipePrefixes);

    [Test]
    public void Packets_fare_as_in_the_tables_of_cyclonus()
    {
        var cases = PublicCases.Read("cyclonus.json");
        var chosen = cases;
        if (Environment.GetEnvironmentVariable("OVERLAY_CYCLONUS") != "all")
        {
            var seed = int.TryParse(Environment.GetEnvironmentVariable("OVERLAY_SEED"), out var given) ? given : Random.Shared.Next();
            chosen = Sample(cases, new Random(seed));
            TestContext.Out.WriteLine($"OVERLAY_SEED={seed}: {chosen.Count} of {cases.Count} cases, every tag among them; OVERLAY_CYCLONUS=all probes all");
        }

        Assert.That(chosen.SelectMany(item => item.Tags!).Distinct(), Is.EquivalentTo(cases.SelectMany(item => item.Tags!).Distinct()));
        Hold([.. chosen.Select(policyCase => (policyCase.Id, policyCase.Steps))], atLeast: 20_000, "192.168.240.0/24", "192.168.241.0/24", "192.168.242.0/24", "192.168.250.0/24", "192.168.98.0/24");
    }

    // The recipes as their author wrote them, in the world of the recipe that has a policy of the same name; the oracle says what is asked for.
    [Test]
    public void Packets_fare_as_the_oracle_says_of_the_recipes_of_ahmetb()
    {
        var recipes = PublicCases.Read("cyclonus-recipes.json").Select(recipe => recipe.Steps[0]).ToList();
        var clock = Stopwatch.StartNew();
        using var cluster = CaseCluster.Create(RecipePrefixes);
        foreach (var file in Directory.GetFiles(Path.Combine(PublicCases.Folder, "ahmetb"), "*.yaml").Order(StringComparer.Ordinal))
        {
            var policies = ClusterObjects.Parse(File.ReadAllText(file)).Policies;
            var step = recipes.FirstOrDefault(recipe => recipe.ToCluster().Policies.Any(policy => policies.Any(same => same.Metadata.Name == policy.Metadata.Name))) ?? recipes[0];
            var world = step.ToCluster();
            var objects = new ClusterObjects(world.Nodes, world.Namespaces, world.Pods, policies);
            var oracle = new PolicyOracle(objects);
            cluster.Become(objects);
            var flows = step.Expect.SelectMany(matrix => matrix.Cells(objects)).Where(cell => cell.From != cell.To).Select(cell => (cell.Flow, oracle.Judge(cell.Flow).Allowed)).ToList();
            Assert.That(cluster.Wrong(flows), Is.Empty, file);
        }

        Say(cluster, clock);
    }

    // No policy speaks of the addresses of namespace z, and one of them would be the broadcast address of its node's prefix: they move up by ten.
    private static IReadOnlyList<CaseStep> Steps(PolicyCase policyCase) => [.. policyCase.Steps.Select(step => step with
    {
        World = step.World with { Pods = [.. step.World.Pods.Select(pod => pod with { Ip = pod.Ip.Replace("192.168.0.3", "192.168.0.4", StringComparison.Ordinal) })] },
    })];

    private static string[] RecipePrefixes => ["192.168.97.0/24", "192.168.98.0/24", "192.168.99.0/24"];

    private static void Hold(IReadOnlyList<(string Id, IReadOnlyList<CaseStep> Steps)> cases, int atLeast, params string[] podCidrs)
    {
        var clock = Stopwatch.StartNew();
        using var cluster = CaseCluster.Create(podCidrs);
        var wrong = new List<string>();
        foreach (var (id, steps) in cases)
        {
            for (var i = 0; i < steps.Count; i++)
            {
                var objects = steps[i].ToCluster();
                cluster.Become(objects);
                var flows = steps[i].Expect.SelectMany(matrix => matrix.Cells(objects)).Where(cell => cell.From != cell.To && cell.Combined is '.' or 'X').Select(cell => (cell.Flow, cell.Combined == '.')).ToList();
                wrong.AddRange(cluster.Wrong(flows).Select(mistake => $"{id} step {i + 1}: {mistake}"));
                Assert.That(wrong, Has.Count.LessThan(20), () => string.Join('\n', wrong));
            }
        }

        Say(cluster, clock);
        Assert.That(wrong, Is.Empty);
        Assert.That(cluster.Probed, Is.AtLeast(atLeast));
    }

    private static void Say(CaseCluster cluster, Stopwatch clock) => TestContext.Out.WriteLine($"{cluster.Probed} cells probed in {clock.Elapsed.TotalSeconds:0} s; SCTP by raw sockets, so that it needs none of the kernel");

    // Cases in a random order: each that has a tag not seen yet, and then more of them.
    private static List<PolicyCase> Sample(List<PolicyCase> cases, Random random)
    {
        var order = cases.ToArray();
        random.Shuffle(order);
        var tags = new HashSet<string>();
        var chosen = order.Where(policyCase => policyCase.Tags!.Where(tags.Add).ToList() is not []).ToList();
        foreach (var more in order.Except(chosen))
        {
            if (chosen.Sum(policyCase => policyCase.Steps.Count) >= CyclonusSteps)
                break;
            chosen.Add(more);
        }

        return chosen;
    }
}
