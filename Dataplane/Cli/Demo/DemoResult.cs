using System.Text.Json.Serialization;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Cli.Demo;

/// <summary>A step of the demo, done.</summary>
/// <param name="What">In words.</param>
/// <param name="Milliseconds">How long it took.</param>
internal sealed record DemoStep(string What, long Milliseconds);

/// <summary>A pod as it came out.</summary>
/// <param name="Name">namespace/name.</param>
/// <param name="Node">Its node.</param>
/// <param name="Addresses">What the plugin gave it.</param>
internal sealed record DemoPodResult(string Name, string Node, IReadOnlyList<string> Addresses);

/// <summary>A policy and what it asks for.</summary>
/// <param name="Name">namespace/name.</param>
/// <param name="Asks">One line.</param>
internal sealed record DemoPolicyResult(string Name, string Asks);

/// <summary>One probe.</summary>
/// <param name="From">Name of the sending pod.</param>
/// <param name="To">Name of the receiving pod, or <c>outside</c>.</param>
/// <param name="Port">Such as <c>tcp/80</c>.</param>
/// <param name="Family">IPv4 or IPv6.</param>
/// <param name="Asked">Whether the policies ask that it be answered.</param>
/// <param name="Answered">Whether it was.</param>
internal sealed record DemoProbeResult(string From, string To, string Port, string Family, bool Asked, bool Answered);

/// <summary>The whole demo, for <c>-o json</c>.</summary>
/// <param name="Pods">The pods.</param>
/// <param name="Policies">The policies.</param>
/// <param name="Steps">What was done.</param>
/// <param name="Before">Probes without policies.</param>
/// <param name="After">Probes with the policies.</param>
/// <param name="DifferingCells">Number of matrix cells, of both matrices, that are not as asked.</param>
internal sealed record DemoResult(
    IReadOnlyList<DemoPodResult> Pods,
    IReadOnlyList<DemoPolicyResult> Policies,
    IReadOnlyList<DemoStep> Steps,
    IReadOnlyList<DemoProbeResult> Before,
    IReadOnlyList<DemoProbeResult> After,
    int DifferingCells)
{
    /// <summary>The probes of a matrix.</summary>
    public static IReadOnlyList<DemoProbeResult> ProbesOf(ReachabilityMatrix measured, ReachabilityMatrix asked) =>
        [.. asked.Probes.Select(probe => new DemoProbeResult(probe.From, probe.To, DemoScenario.Ports[probe.Port].ToString(), probe.Family == Family.IPv4 ? "IPv4" : "IPv6", asked[probe], measured[probe]))];
}

/// <summary>Source-generated JSON, camelCase.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true)]
[JsonSerializable(typeof(DemoResult))]
internal sealed partial class DemoJson : JsonSerializerContext;
