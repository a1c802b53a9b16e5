using System.Globalization;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Kernel;
using Overlay.Dataplane.Probing;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane;

/// <summary>What the agent knows of its node at one moment. The loop makes it after each round; it never changes, so anybody may read it.</summary>
internal sealed record NodeStatus
{
    /// <summary>Name of this node.</summary>
    public required string NodeName { get; init; }

    /// <summary>Whether the datastore has delivered everything once and the kernel has it: pods are wired from then on.</summary>
    public bool IsServing { get; init; }

    /// <summary>
    /// Why this node does not serve as it should, a sentence each; empty when it does. A peer's row that the kernel refuses is no reason: see <see cref="Degradations"/>.
    /// </summary>
    public IReadOnlyList<string> Unready { get; init; } = [];

    /// <summary>How it is, in one line.</summary>
    public string Line => Unready.Count > 0 ? string.Join(' ', Unready)
        : string.Create(CultureInfo.InvariantCulture, $"Serves: {LocalPods} interfaces of pods here, {Nodes} nodes, {Policies.Values.Sum()} policies{(Degradations.Count > 0 ? $"; {Degradations.Count} degraded (overlay status)" : "")}.");

    /// <summary>Nodes known, this one included.</summary>
    public int Nodes { get; init; }

    /// <summary>Pods known, of all nodes.</summary>
    public int KnownPods { get; init; }

    /// <summary>Interfaces of pods that are wired here.</summary>
    public int LocalPods { get; init; }

    /// <summary>Policies known, by tier; those that stand in for rejected ones included.</summary>
    public IReadOnlyDictionary<Tier, int> Policies { get; init; } = new Dictionary<Tier, int>();

    /// <summary>What could not be understood, by source.</summary>
    public IReadOnlyList<Rejection> Rejections { get; init; } = [];

    /// <summary>Policies of which the kernel refused a part: they isolate their pods and allow nothing. By name.</summary>
    public IReadOnlyList<NamespacedName> Quarantined { get; init; } = [];

    /// <summary>What works less than it could.</summary>
    public IReadOnlyList<Degradation> Degradations { get; init; } = [];

    /// <summary>Changes of the ruleset that the kernel has taken, since the start.</summary>
    public long RulesetsCommitted { get; init; }

    /// <summary>Rows, rules and sysctls repaired that somebody else had changed, since the start.</summary>
    public long DriftRepaired { get; init; }

    /// <summary>Comparisons of everything with the kernel, since the start.</summary>
    public long Resyncs { get; init; }

    /// <summary>Time that they took in all.</summary>
    public TimeSpan ResyncDuration { get; init; }

    /// <summary>Things freed that were left of pods, by kind, since the start.</summary>
    public IReadOnlyDictionary<string, long> Reaped { get; init; } = new Dictionary<string, long>();

    /// <summary>Ways to other nodes, by how far packets come.</summary>
    public IReadOnlyDictionary<Reachability, int> Ways { get; init; } = new Dictionary<Reachability, int>();

    /// <summary>Looks at established connections.</summary>
    public FlowLooks Flows { get; init; } = FlowLooks.None;
}
