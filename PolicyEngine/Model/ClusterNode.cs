namespace Overlay.PolicyEngine.Model;

/// <summary>What policy needs to know of a node.</summary>
/// <param name="Name">metadata.name.</param>
/// <param name="Labels">Its labels.</param>
/// <param name="Addresses">All IP addresses of its status.addresses, whatever their type.</param>
/// <param name="TunnelAddresses">Addresses of its tunnel's end: what its own processes reach other nodes' pods from.</param>
public sealed record ClusterNode(string Name, Labels Labels, EquatableArray<InetAddress> Addresses, EquatableArray<InetAddress> TunnelAddresses);
