namespace Overlay.PolicyEngine.Model;

/// <summary>What policy needs to know of a node.</summary>
/// <param name="Name">metadata.name.</param>
/// <param name="Labels">Its labels.</param>
/// <param name="Addresses">All IP addresses of its status.addresses, whatever their type.</param>
/// <param name="TunnelAddresses">Addresses of its tunnel's end: what its own processes reach other nodes' pods from.</param>
public sealed record ClusterNode(string Name, Labels Labels, EquatableArray<InetAddress> Addresses, EquatableArray<InetAddress> TunnelAddresses)
{
    /// <summary>Those of <see cref="Addresses"/> that the node has on its interfaces (type InternalIP). Another one, an ExternalIP say, may be a machine's in front of it, which translates.</summary>
    public EquatableArray<InetAddress> InternalAddresses { get; init; } = [];

    /// <summary>Whether packets with this address are from or to the node itself, and not forwarded.</summary>
    public bool IsItself(InetAddress address) => InternalAddresses.AsSpan().Contains(address) || TunnelAddresses.AsSpan().Contains(address);
}
