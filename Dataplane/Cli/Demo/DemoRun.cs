using System.Diagnostics;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Cli.Demo;

/// <summary>The demo from beginning to end.</summary>
/// <param name="text">Prints for people as it goes on; null prints nothing.</param>
/// <param name="underlay">Family of the tunnels.</param>
/// <param name="cancellation">Ends it early; what was made is removed all the same.</param>
internal sealed class DemoRun(DemoText? text, Family underlay, CancellationToken cancellation)
{
    // How long a change of a manifest may take to be in force on all nodes.
    private static readonly TimeSpan Convergence = TimeSpan.FromSeconds(8);

    private readonly List<DemoStep> _steps = [];

    /// <summary>Runs it.</summary>
    /// <exception cref="DemoException">It could not go on.</exception>
    /// <exception cref="OperationCanceledException">It was interrupted.</exception>
    public async Task<DemoResult> RunAsync()
    {
        var begin = Stopwatch.GetTimestamp();
        text?.Begin();
        IReadOnlyList<DemoPodResult> pods;
        ReachabilityMatrix before, after;
        using (var cluster = new DemoCluster(underlay))
        {
            await StepAsync($"{DemoScenario.Nodes.Count + DemoScenario.Pods.Count + 2} network namespaces and the underlay between them", () => Task.Run(cluster.MakeNetwork, cancellation));
            await StepAsync("overlay agent runs on every node", () => cluster.StartAgentsAsync(cancellation));
            await StepAsync("overlay-cni ADD for every pod", () => cluster.AddPodsAsync(cancellation));
            pods = [.. DemoScenario.Pods.Select(pod => new DemoPodResult(pod.ToString(), pod.Node.Name, [.. cluster.Addresses(pod).Select(address => address.ToString())]))];
            before = await MeasureAsync("every pod tried everything, without policies", cluster, DemoScenario.AskedBefore);
            text?.Layout(pods, underlay);
            text?.Matrices("Without policies", before, DemoScenario.AskedBefore);
            text?.Legend();
            text?.Policies();
            await StepAsync("NetworkPolicies written", () => cluster.ApplyPoliciesAsync(cancellation));
            after = await MeasureAsync("every pod tried everything, with the policies", cluster, DemoScenario.AskedAfter);
            text?.Matrices("With the policies", after, DemoScenario.AskedAfter);
            await StepAsync("overlay-cni DEL for every pod", () => cluster.DeletePodsAsync(cancellation));
        }

        var result = new DemoResult(
            pods,
            [.. DemoScenario.Policies.Select(policy => new DemoPolicyResult(policy.Name.ToString(), policy.Asks))],
            _steps,
            DemoResult.ProbesOf(before, DemoScenario.AskedBefore),
            DemoResult.ProbesOf(after, DemoScenario.AskedAfter),
            before.DifferencesTo(DemoScenario.AskedBefore).Count() + after.DifferencesTo(DemoScenario.AskedAfter).Count());
        text?.Verdict(before.Cells.Count + after.Cells.Count, result.DifferingCells, Stopwatch.GetElapsedTime(begin));
        return result;
    }

    private async Task<ReachabilityMatrix> MeasureAsync(string what, DemoCluster cluster, ReachabilityMatrix asked)
    {
        ReachabilityMatrix measured = asked;
        await StepAsync(what, async () => measured = await cluster.Prober().MeasureUntilAsync(asked, Convergence, cancellation));
        return measured;
    }

    private async Task StepAsync(string what, Func<Task> step)
    {
        var begin = Stopwatch.GetTimestamp();
        await step();
        _steps.Add(new(what, (long)Stopwatch.GetElapsedTime(begin).TotalMilliseconds));
        text?.Step(_steps[^1]);
    }
}
