using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Store;

namespace Overlay.Dataplane.Doctor.Checks;

/// <summary>What the datastore says, or why it does not.</summary>
/// <param name="Source">What it is: <c>directory:/etc/overlay/cluster</c>, or the API server's address.</param>
/// <param name="Problems">Why it, or a part of it, cannot be read.</param>
/// <param name="Nodes">The Nodes that could be read; null when they could not.</param>
/// <param name="Rejections">What could not be understood, for a folder of manifests; at an API server the agent tells.</param>
internal sealed record ClusterView(string Source, IReadOnlyList<Finding> Problems, IReadOnlyList<Node>? Nodes, IReadOnlyList<Rejection> Rejections);

/// <summary>Whether the agent can learn of the cluster, and of its own Node.</summary>
internal static class DatastoreCheck
{
    /// <summary>Name of the check.</summary>
    public const string Name = "datastore";

    private const int Most = 5;

    /// <summary>Judges. Pure.</summary>
    public static IEnumerable<Finding> Judge(ClusterView view, OverlayConfiguration configuration)
    {
        foreach (var problem in view.Problems)
            yield return problem;
        if (view.Nodes is null)
            yield break;
        if (view.Problems.Count == 0)
            yield return Finding.Pass(Name, $"{view.Source} is readable");
        foreach (var rejection in view.Rejections.Take(Most))
            yield return Finding.Warn(Name, $"not understood: {rejection.ToString().TrimEnd('.')}", "Correct it; a policy that is not understood isolates what it selects.");
        if (view.Rejections.Count > Most)
            yield return Finding.Warn(Name, $"and {view.Rejections.Count - Most} more are not understood", "overlay render lists all of them.");
        yield return OfNode(view.Nodes, configuration);
    }

    private static Finding OfNode(IReadOnlyList<Node> nodes, OverlayConfiguration configuration)
    {
        var name = configuration.NodeName;
        if (nodes.FirstOrDefault(node => node.Name == name) is not { } own)
            return Finding.Fail(Name, $"there is no Node {name}{(nodes.Count > 0 ? $"; there {(nodes.Count == 1 ? "is" : "are")} {string.Join(", ", nodes.Take(Most).Select(node => node.Name))}{(nodes.Count > Most ? " …" : "")}" : "")}", "Add it (kubelet does when it joins), or set nodeName to the Node's name.");
        if (configuration.PodCidrs.Count > 0)
            return Finding.Pass(Name, $"Node {name} is there; its podCIDRs are configured: {string.Join(", ", configuration.PodCidrs)}");
        return own.PodCidrs.Count > 0
            ? Finding.Pass(Name, $"Node {name} has podCIDRs {string.Join(", ", own.PodCidrs)}")
            : Finding.Fail(Name, $"Node {name} has no podCIDRs, so no pod can be wired", "Have the cluster give them (kube-controller-manager --allocate-node-cidrs --cluster-cidr), or set podCIDRs.");
    }
}
