using System.Net;
using System.Text.Json;
using k8s.Models;
using Overlay.Tests.Oracles;

namespace Overlay.Tests.Cases;

/// <summary>The public truth tables, judged by the oracle and by the compiled ruleset.</summary>
public class PublicCasesTests
{
    private static readonly JsonSerializerOptions Options = new() { PropertyNameCaseInsensitive = true };

    [TestCase("k8s-e2e-netpol.json", 58)]
    [TestCase("cyclonus.json", 256)]
    [TestCase("cyclonus-recipes.json", 15)]
    public void Oracle_agrees_with_the_table(string file, int steps)
    {
        var cells = 0;
        var wrong = new List<string>();
        var seen = 0;
        foreach (var policyCase in Read(file))
        {
            foreach (var step in policyCase.Steps)
            {
                seen++;
                var cluster = step.ToCluster();
                var oracle = new NetworkPolicyOracle(cluster);
                foreach (var cell in step.Expect.SelectMany(matrix => Cells(matrix, cluster)))
                {
                    cells++;
                    var judged = oracle.Judge(cell.Source, cell.Destination, cell.Protocol, cell.Port);
                    if (cell.Differs(judged.Ingress.Allowed, judged.Egress.Allowed, judged.Allowed) is { } difference)
                        wrong.Add($"{policyCase.Id} step {seen}: {cell}: {difference}: {judged}");
                }
            }
        }
        TestContext.Out.WriteLine($"{file}: {seen} steps, {cells} cells");
        Assert.That(seen, Is.EqualTo(steps));
        Assert.That(wrong, Is.Empty);
    }

    private static List<PolicyCase> Read(string file)
    {
        var folder = Environment.GetEnvironmentVariable("OVERLAY_CASES");
        if (string.IsNullOrEmpty(folder))
            Assert.Ignore("OVERLAY_CASES is not set: it names the folder of the public NetworkPolicy truth tables.");
        using var stream = File.OpenRead(Path.Combine(folder!, file));
        return JsonSerializer.Deserialize<List<PolicyCase>>(stream, Options)!;
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
                        matrix.Pods[row], matrix.Pods[column], source, destination, matrix.Protocol, matrix.Port,
                        (matrix.Ingress ?? matrix.IngressDerived)![row][column], (matrix.Egress ?? matrix.EgressDerived)![row][column], matrix.Combined[row][column]);
                }
            }
        }
    }

    private sealed record CaseCell(string From, string To, IPAddress Source, IPAddress Destination, string Protocol, int Port, char Ingress, char Egress, char Combined)
    {
        // A pod reaching itself is not asserted upstream, and cyclonus judges it like any other flow: the API text says that it is always allowed.
        // N (nothing listens) says nothing of policy.
        public string? Differs(bool ingress, bool egress, bool combined) => From == To
            ? (ingress && egress && combined ? null : "a pod does not reach itself")
            : One("ingress", Ingress, ingress) ?? One("egress", Egress, egress) ?? One("combined", Combined, combined);

        public override string ToString() => $"{From} -> {To} ({Destination}) {Protocol} {Port}";

        private static string? One(string what, char expected, bool allowed) => expected switch
        {
            '.' => allowed ? null : $"{what} should be allowed",
            'X' => allowed ? $"{what} should be blocked" : null,
            _ => null,
        };
    }
}
