using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Desired;

/// <summary>What one more node adds to what was projected without it.</summary>
/// <param name="Rows">Its rows.</param>
/// <param name="Degradations">What is wrong with it.</param>
public sealed record JoinedNode(NodeRows Rows, EquatableArray<Degradation> Degradations)
{
    /// <summary>
    /// Projects one more node by itself. That is possible as long as it has nothing to do with any other: no address or prefix of it lies in theirs, and nothing of them changes by it. What it costs does not
    /// depend on their number. Pure; <see cref="NodeProjection.Project"/> is its referee.
    /// </summary>
    /// <param name="others">Where all other nodes are; of its own name there may be one without prefixes, with the same addresses.</param>
    /// <param name="node">The node; none of its name was projected.</param>
    /// <param name="configuration">Of this node.</param>
    /// <param name="underlay">What carries packets between nodes.</param>
    /// <param name="projected">What was projected of the others.</param>
    /// <returns>Null when it must be projected with all others.</returns>
    public static JoinedNode? Of(NodeSpace others, Node node, OverlayConfiguration configuration, Underlay underlay, ProjectedNode projected)
    {
        if (node.Name == configuration.NodeName || projected.Granted.Count == 0 || underlay.Addresses.Count == 0 || !IsConsistent(node) || !others.IsApart(node))
            return null;

        // What this node itself is in need not be what its Node says.
        var own = new Node("", projected.Granted.Concat(configuration.PodCidrs).ToEquatableArray(), underlay.Own);
        if (!new NodeSpace([own]).IsApart(node) || Narrowest(configuration, underlay, node) < projected.Mtu)
            return null;

        var (rows, degradations) = (new RowLists(), new List<Degradation>());
        var families = projected.Granted.Select(prefix => prefix.Family).ToHashSet();
        new PeerRows(configuration, new(configuration.NodeName, projected.Granted, underlay.Own), underlay, projected.Mtu, rows, degradations)
            .Add(node, [.. node.PodCidrs.Where(prefix => families.Contains(prefix.Family))]);
        if (rows.Links.Exists(link => !projected.Rows.Links.Contains(link)) || rows.Addresses.Exists(address => !projected.Rows.Addresses.Contains(address)))
            return null;
        rows.Links.Clear();
        rows.Addresses.Clear();
        foreach (var prefix in node.PodCidrs)
            rows.Add(new(prefix, RouteType.Unreachable, null, null));
        return new(rows.Sorted(), degradations.ToEquatableArray());
    }

    /// <summary>The pod network with the prefixes of nodes that have joined.</summary>
    public static PodNetwork Extend(PodNetwork network, IEnumerable<Cidr> joined) => network with { All = network.All.Concat(joined).Order(RowLists.ByPrefix).ToEquatableArray() };

    // None of its prefixes holds another or one of its addresses.
    private static bool IsConsistent(Node node)
    {
        for (var i = 0; i < node.PodCidrs.Count; i++)
        {
            foreach (var other in node.PodCidrs.AsSpan()[(i + 1)..])
            {
                if (node.PodCidrs[i].Overlaps(other))
                    return false;
            }

            foreach (var address in node.InternalIPs)
            {
                if (node.PodCidrs[i].Contains(address))
                    return false;
            }
        }

        return true;
    }

    // The MTU that the ways to it allow.
    private static int Narrowest(OverlayConfiguration configuration, Underlay underlay, Node node)
    {
        var shared = PeerRows.Shared(underlay, node);
        var narrowest = int.MaxValue;
        for (var i = 0; i < shared.Count; i++)
        {
            var mtu = underlay.Of(shared[i])!.Value.Mtu;
            if (i == 0)
                narrowest = mtu - PeerRows.Overhead(configuration.Encapsulation, shared[i]);
            if (configuration.CrossSubnet || configuration.Encapsulation == Encapsulation.None)
                narrowest = Math.Min(narrowest, mtu);
        }

        return narrowest;
    }
}
