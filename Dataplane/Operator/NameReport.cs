namespace Overlay.Dataplane.Operator;

/// <summary>Whose addresses these are, and what of this node packets pass.</summary>
/// <param name="Names">Of the addresses that were asked for and that a pod or node has; others are left out.</param>
/// <param name="Tunnels">Devices of ours that lead to other nodes.</param>
/// <param name="UnderlayDevices">Devices that carry packets between nodes.</param>
/// <param name="VxlanPort">UDP port of VXLAN; 0: there is no such tunnel.</param>
/// <param name="Pod">The pod that was asked for, or null.</param>
/// <param name="NoPod">Why there is none, one sentence.</param>
internal sealed record NameReport(
    IReadOnlyList<NamedAddress> Names,
    IReadOnlyList<string> Tunnels,
    IReadOnlyList<string> UnderlayDevices,
    ushort VxlanPort,
    FoundPod? Pod,
    string? NoPod);

/// <summary>Who has an address.</summary>
/// <param name="Address">The address.</param>
/// <param name="Pod">namespace/name; null: a node itself.</param>
/// <param name="Node">The node, or that of the pod; null when it is not known.</param>
internal sealed record NamedAddress(string Address, string? Pod, string? Node);

/// <summary>Where a pod's packets pass on this node.</summary>
/// <param name="Pod">namespace/name.</param>
/// <param name="Node">Where it runs; null when that is not known.</param>
/// <param name="Addresses">Its addresses.</param>
/// <param name="Interfaces">The host's ends of its pairs; none when it runs elsewhere.</param>
/// <param name="Devices">By which packets for it leave, when it runs elsewhere.</param>
internal sealed record FoundPod(string Pod, string? Node, IReadOnlyList<string> Addresses, IReadOnlyList<string> Interfaces, IReadOnlyList<string> Devices);
