using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.PolicyEngine.Explain;

/// <summary>What the policies and a ruleset say of one class of packets.</summary>
/// <param name="Class">The class.</param>
/// <param name="Wanted">What the policies say; null for a reply, which passes whatever they say.</param>
/// <param name="Found">What the ruleset does; null when it cannot be walked.</param>
/// <param name="Obstacle">Why it cannot; null when it can.</param>
public readonly record struct ClassVerdict(PacketClass Class, Decision? Wanted, Trace? Found, string? Obstacle)
{
    /// <summary>Whether the two agree.</summary>
    public bool Agrees => Found is not null && Found.Accepted == (Wanted?.Allowed ?? true);

    /// <summary>The packet, and what each says.</summary>
    public override string ToString() =>
        $"{Class.Packet}: {Class.End.ToString().ToLowerInvariant()} {(Wanted is null ? "allowed: a reply" : Wanted.ToString())}; ruleset {Found?.ToString() ?? Obstacle}";
}

/// <summary>Holds a ruleset against the policies, on every class of packets that the node can see (<see cref="PacketClasses"/>).</summary>
public static class PolicyProof
{
    /// <summary>The verdict on each class, one by one as they are asked for.</summary>
    /// <param name="state">The cluster; a policy that is quarantined as what stands in for it.</param>
    /// <param name="node">Name of the node whose local pods those of <paramref name="state"/> are.</param>
    /// <param name="ruleset">The node's ruleset; it must not change meanwhile.</param>
    /// <param name="devices">The node's devices.</param>
    /// <param name="stop">Ends the work early.</param>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> asked for it.</exception>
    public static IEnumerable<ClassVerdict> Run(ClusterState state, string node, IRulesetView ruleset, NodeDevices devices, CancellationToken stop = default)
    {
        var judge = new PolicyJudge(state, node);
        var tracers = new Dictionary<(Direction, bool), PacketTracer>();
        foreach (var end in (Direction[])[Direction.Egress, Direction.Ingress])
        {
            foreach (var isBetweenPods in (bool[])[true, false])
                tracers.Add((end, isBetweenPods), new(PacketClasses.Part(ruleset, end, isBetweenPods)));
        }

        foreach (var @class in new PacketClasses(state, node, judge, ruleset, devices, stop).All())
            yield return Verdict(@class, judge, tracers[(@class.End, @class.IsBetweenPods)]);
    }

    private static ClassVerdict Verdict(PacketClass @class, PolicyJudge judge, PacketTracer tracer)
    {
        var wanted = @class.Packet.State == CtState.New ? judge.Judge(@class.Packet, @class.End) : null;
        try
        {
            return new(@class, wanted, tracer.Walk(@class.Packet), null);
        }
        catch (Exception exception) when (exception is InvalidOperationException or NotSupportedException)
        {
            return new(@class, wanted, null, exception.Message);
        }
    }
}
