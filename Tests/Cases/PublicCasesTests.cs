using System.Text.Json;
using k8s.Models;
using Overlay.Tests.Oracles;

namespace Overlay.Tests.Cases;

/// <summary>The public truth tables, judged by the oracle and by the compiled ruleset.</summary>
public class PublicCasesTests
{
    private static readonly JsonSerializerOptions Options = new() { PropertyNameCaseInsensitive = true };

    [TestCase("k8s-e2e-netpol.json", 58, 711)]
    [TestCase("cyclonus.json", 256, 124_000)]
    [TestCase("cyclonus-recipes.json", 15, 1_000)]
    public void Oracle_and_ruleset_agree_with_the_table(string file, int steps, int atLeastCells)
    {
        var (seen, cells) = (0, 0);
        var wrong = new List<string>();
        foreach (var (id, step) in Read(file).SelectMany(policyCase => policyCase.Steps.Select((step, index) => ($"{policyCase.Id} step {index + 1}", step))))
        {
            var cluster = step.ToCluster();
            var oracle = new PolicyOracle(cluster);
            var compiled = CompiledCluster.Compile(cluster.ToYaml(), cluster, new());
            Assert.That(compiled.Manifests.Rejections, Is.Empty, id);
            seen++;
            foreach (var cell in step.Expect.SelectMany(matrix => Cells(matrix, cluster)))
            {
                cells++;
                var judged = oracle.Judge(cell.Flow);
                if (cell.Difference(judged.Egress.Allowed, judged.Ingress.Allowed) is { } mistake)
                    wrong.Add($"{id}: {cell}: {mistake}: oracle: {judged}");
                var hops = compiled.Walk(cell.Flow);
                if (cell.Difference(hops[0].Trace.Accepted, hops[^1].Trace.Accepted) is { } difference)
                    wrong.Add($"{id}: {cell}: {difference}: ruleset: {string.Join("\n  ", hops)}");
            }
        }

        TestContext.Out.WriteLine($"{file}: {seen} steps, {cells} cells");
        Assert.That(wrong.Take(10), Is.Empty);
        Assert.That(seen, Is.EqualTo(steps));
        Assert.That(cells, Is.AtLeast(atLeastCells));
    }

    // The recipes as their author wrote them: the product reads every file, and treats each class of packets to and from the pods that it is about as the oracle does.
    [Test]
    public void Recipes_of_ahmetb_are_read_and_agree_with_the_oracle()
    {
        var files = Directory.GetFiles(Path.Combine(Folder(), "ahmetb"), "*.yaml");
        Assert.That(files, Has.Length.EqualTo(15));
        var world = Read("cyclonus-recipes.json").Select(recipe => recipe.Steps[0].ToCluster()).ToList();
        foreach (var file in files)
        {
            var policies = ClusterObjects.Parse(File.ReadAllText(file)).Policies;
            foreach (var recipe in world)
            {
                var cluster = new ClusterObjects(recipe.Nodes, recipe.Namespaces, recipe.Pods, policies);
                var compiled = CompiledCluster.Compile(cluster.ToYaml(), cluster, new());
                Assert.That(compiled.Manifests.Rejections, Is.Empty, file);
                Assert.That(new Agreement(cluster, compiled, isolateByDefault: false).Disagreements(new PacketSpace(cluster).Some(300, seed: 1)), Is.Empty, file);
            }
        }
    }

    private static List<PolicyCase> Read(string file)
    {
        using var stream = File.OpenRead(Path.Combine(Folder(), file));
        return JsonSerializer.Deserialize<List<PolicyCase>>(stream, Options)!;
    }

    private static string Folder()
    {
        var folder = Environment.GetEnvironmentVariable("OVERLAY_CASES");
        if (string.IsNullOrEmpty(folder))
            Assert.Ignore("OVERLAY_CASES is not set: it names the folder of the public NetworkPolicy truth tables.");
        return folder!;
    }

    private static IEnumerable<CaseCell> Cells(CaseMatrix matrix, ClusterObjects cluster)
    {
        var pods = matrix.Pods.Select(name => cluster.Pods.Single(pod => $"{pod.Namespace()}/{pod.Name()}" == name)).ToList();
        for (var row = 0; row < pods.Count; row++)
        {
            for (var column = 0; column < pods.Count; column++)
            {
                foreach (var (source, destination) in ClusterObjects.Addresses(pods[row]).Zip(ClusterObjects.Addresses(pods[column])))
                {
                    yield return new(
                        matrix.Pods[row], matrix.Pods[column], new(source, destination, matrix.Protocol, matrix.Port),
                        (matrix.Ingress ?? matrix.IngressDerived)![row][column], (matrix.Egress ?? matrix.EgressDerived)![row][column], matrix.Combined[row][column]);
                }
            }
        }
    }

    private sealed record CaseCell(string From, string To, Flow Flow, char Ingress, char Egress, char Combined)
    {
        // A pod reaching itself is not asserted upstream, and cyclonus judges it like any other flow: the API text says that it is always allowed.
        // N (nothing listens) says nothing of policy.
        public string? Difference(bool egress, bool ingress) => From == To
            ? (ingress && egress ? null : "a pod does not reach itself")
            : One("ingress", Ingress, ingress) ?? One("egress", Egress, egress) ?? One("both", Combined, ingress && egress);

        public override string ToString() => $"{From} -> {To} ({Flow})";

        private static string? One(string what, char expected, bool allowed) => expected switch
        {
            '.' => allowed ? null : $"{what} should be allowed",
            'X' => allowed ? $"{what} should be blocked" : null,
            _ => null,
        };
    }
}
