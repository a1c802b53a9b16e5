using Overlay.Tests.Oracles;

namespace Overlay.Tests.Cases;

/// <summary>The public truth tables, judged by the oracle and by the compiled ruleset.</summary>
public class PublicCasesTests
{
    [TestCase("k8s-e2e-netpol.json", 58, 711)]
    [TestCase("cyclonus.json", 256, 124_000)]
    [TestCase("cyclonus-recipes.json", 15, 1_000)]
    public void Oracle_and_ruleset_agree_with_the_table(string file, int steps, int atLeastCells)
    {
        var (seen, cells) = (0, 0);
        var wrong = new List<string>();
        foreach (var (id, step) in PublicCases.Read(file).SelectMany(policyCase => policyCase.Steps.Select((step, index) => ($"{policyCase.Id} step {index + 1}", step))))
        {
            var cluster = step.ToCluster();
            var oracle = new PolicyOracle(cluster);
            var compiled = CompiledCluster.Compile(cluster.ToYaml(), cluster, new());
            Assert.That(compiled.Manifests.Rejections, Is.Empty, id);
            seen++;
            foreach (var cell in step.Expect.SelectMany(matrix => matrix.Cells(cluster)))
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
        var files = Directory.GetFiles(Path.Combine(PublicCases.Folder, "ahmetb"), "*.yaml");
        Assert.That(files, Has.Length.EqualTo(15));
        var world = PublicCases.Read("cyclonus-recipes.json").Select(recipe => recipe.Steps[0].ToCluster()).ToList();
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
}
