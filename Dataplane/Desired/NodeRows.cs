using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Desired;

/// <summary>Everything of ours that a node's kernel should hold outside nftables. Every list has unique keys and is sorted by them.</summary>
/// <param name="Links">Tunnel devices.</param>
/// <param name="Addresses">Addresses on them.</param>
/// <param name="Neighbors">Permanent neighbours: remote VTEPs, and local pods on their host interfaces.</param>
/// <param name="Fdb">Which node an inner Ethernet address is at.</param>
/// <param name="Routes">To remote nodes' prefixes, and what stands in while these are missing; to local pods, and the unreachable rest of our own prefixes.</param>
public sealed record NodeRows(
    EquatableArray<Link> Links,
    EquatableArray<Address> Addresses,
    EquatableArray<Neighbor> Neighbors,
    EquatableArray<FdbEntry> Fdb,
    EquatableArray<Route> Routes)
{
    /// <summary>As <see cref="NodeProjection.RowsOf"/> has it, for pods that come later.</summary>
    public InetAddress? PodSource { get; init; }

    /// <summary>No rows.</summary>
    public static NodeRows Empty { get; } = new([], [], [], [], []);
}

/// <summary>Something that works less than it could, and why: for the log, <c>status</c> and metrics.</summary>
/// <param name="Subject">What is affected: <c>Node n2</c>, <c>pod shop/web</c>.</param>
/// <param name="Reason">One clear sentence: what is wrong and what to do.</param>
public readonly record struct Degradation(string Subject, string Reason)
{
    /// <summary><c>subject: reason</c>.</summary>
    public override string ToString() => $"{Subject}: {Reason}";
}

/// <summary>What <see cref="NodeProjection.Project"/> makes of the nodes.</summary>
/// <param name="Rows">For the kernel.</param>
/// <param name="Network">For the ruleset.</param>
/// <param name="Mtu">Of the tunnel device and of pods' interfaces, bytes.</param>
/// <param name="Degradations">Sorted by subject.</param>
public sealed record ProjectedNode(NodeRows Rows, PodNetwork Network, int Mtu, EquatableArray<Degradation> Degradations)
{
    /// <summary>Where <see cref="Mtu"/> comes from, for people: <c>1500 of eth0 less 50 for vxlan over IPv4</c>.</summary>
    public string MtuSource { get; init; } = "";

    /// <summary>This node's prefixes, but for those that another has.</summary>
    public EquatableArray<Cidr> Granted { get; init; } = [];
}
