using System.Text.Json;
using k8s.Models;
using Overlay.Tests.Oracles;

namespace Overlay.Tests.Cases;

/// <summary>The public truth tables: the folder that <c>OVERLAY_CASES</c> names.</summary>
public static class PublicCases
{
    private static readonly JsonSerializerOptions Options = new() { PropertyNameCaseInsensitive = true };

    /// <summary>The folder; the test is skipped, saying so, where there is none.</summary>
    public static string Folder
    {
        get
        {
            var folder = Environment.GetEnvironmentVariable("OVERLAY_CASES");
            if (string.IsNullOrEmpty(folder))
                Assert.Ignore("OVERLAY_CASES is not set: it names the folder of the public NetworkPolicy truth tables.");
            return folder!;
        }
    }

    /// <summary>The cases of a file.</summary>
    public static List<PolicyCase> Read(string file)
    {
        using var stream = File.OpenRead(Path.Combine(Folder, file));
        return JsonSerializer.Deserialize<List<PolicyCase>>(stream, Options)!;
    }

    /// <summary>Every cell of a matrix, in every family that both ends have.</summary>
    /// <param name="matrix">The matrix.</param>
    /// <param name="cluster">Its step, as objects: which addresses pods have.</param>
    public static IEnumerable<CaseCell> Cells(this CaseMatrix matrix, ClusterObjects cluster)
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
}

/// <summary>A cell in one family: <c>.</c> allowed, <c>X</c> blocked, others say nothing of policy (nothing listens there).</summary>
public sealed record CaseCell(string From, string To, Flow Flow, char Ingress, char Egress, char Combined)
{
    /// <summary>What differs from the table, or null. A pod reaching itself is not asserted upstream, and cyclonus judges it like any other flow: the API
    /// text says that it is always allowed.</summary>
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
