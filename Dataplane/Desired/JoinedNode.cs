using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Desired;

/// <summary>What one more node adds to what was projected without it.</summary>
/// <param name="Rows">Its rows.</param>
/// <param name="Network">The pod network with its prefixes.</param>
/// <param name="Degradations">What is wrong with it.</param>
public sealed record JoinedNode(NodeRows Rows, PodNetwork Network, EquatableArray<Degradation> Degradations)
{
    /// <summary>
    /// Projects one more node by itself. That is possible as long as it has nothing to do with any other: no address or prefix of it lies in theirs, and nothing of them changes by it. It costs a look at each
    /// node's prefixes. Pure; <see cref="NodeProjection.Project"/> is its referee.
    /// </summary>
    /// <param name="others">All other nodes.</param>
    /// <param name="node">The node; none of its name was projected.</param>
    /// <param name="configuration">Of this node.</param>
    /// <param name="underlay">What carries packets between nodes.</param>
    /// <param name="projected">What was projected of the others.</param>
    /// <returns>Null when it must be projected with all others.</returns>
    public static JoinedNode? Of(IEnumerable<Node> others, Node node, OverlayConfiguration configuration, Underlay underlay, ProjectedNode projected)
    {
        if (node.Name == configuration.NodeName || projected.Granted.Count == 0 || underlay.Addresses.Count == 0 || !IsApart(node, node, skipPrefixes: true) || Overlaps(node.PodCidrs))
            return null;
        foreach (var other in others)
        {
            if (!IsApart(node, other) || !IsApart(other, node, skipPrefixes: true))
                return null;
        }

        // What this node itself is in need not be what its Node says.
        var own = new Node("", projected.Granted.Concat(configuration.PodCidrs).ToEquatableArray(), underlay.Own);
        if (!IsApart(node, own) || !IsApart(own, node, skipPrefixes: true) || Narrowest(configuration, underlay, node) < projected.Mtu)
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
        return new(rows.Sorted(), projected.Network with { All = Insert(projected.Network.All, node.PodCidrs) }, degradations.ToEquatableArray());
    }

    // Neither holds a prefix or an address of the other.
    private static bool IsApart(Node node, Node other, bool skipPrefixes = false)
    {
        foreach (var prefix in node.PodCidrs.AsSpan())
        {
            foreach (var theirs in skipPrefixes ? default : other.PodCidrs.AsSpan())
            {
                if (prefix.Contains(theirs.Address) || theirs.Contains(prefix.Address))
                    return false;
            }

            foreach (var address in other.InternalIPs.AsSpan())
            {
                if (prefix.Contains(address))
                    return false;
            }
        }

        return true;
    }

    private static bool Overlaps(EquatableArray<Cidr> prefixes)
    {
        for (var i = 0; i < prefixes.Count; i++)
        {
            foreach (var other in prefixes.AsSpan()[(i + 1)..])
            {
                if (prefixes[i].Contains(other.Address) || other.Contains(prefixes[i].Address))
                    return true;
            }
        }

        return false;
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

    private static EquatableArray<Cidr> Insert(EquatableArray<Cidr> sorted, EquatableArray<Cidr> more)
    {
        var all = new List<Cidr>(sorted.Count + more.Count);
        all.AddRange(sorted);
        foreach (var prefix in more.AsSpan())
            all.Insert(~all.BinarySearch(prefix, RowLists.ByPrefix), prefix);
        return all.ToEquatableArray();
    }
}
