using System.Globalization;

namespace Overlay.PolicyEngine.Model;

/// <summary>A port of a node that leads to a port of a pod on it (<c>hostPort</c> of core/v1 ContainerPort), for one family of addresses.</summary>
/// <param name="Protocol">Protocol.</param>
/// <param name="Port">The node's port, 1 to 65535.</param>
/// <param name="NodeAddress">Only at this address of the node (<c>hostIP</c>), of the family of <paramref name="PodAddress"/>; null: at every one of that family.</param>
/// <param name="PodAddress">The pod's address.</param>
/// <param name="PodPort">The pod's port, 1 to 65535.</param>
public readonly record struct HostPort(IpProtocol Protocol, ushort Port, InetAddress? NodeAddress, InetAddress PodAddress, ushort PodPort)
{
    /// <summary>Whether there are packets that both mean, so that only one of them can have them.</summary>
    public bool Overlaps(HostPort other) =>
        Protocol == other.Protocol && Port == other.Port && PodAddress.Family == other.PodAddress.Family
        && (NodeAddress is null || other.NodeAddress is null || NodeAddress == other.NodeAddress);

    /// <summary><c>tcp/8080</c>, <c>udp/53 at 192.0.2.1</c>.</summary>
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{Protocol.ToString().ToLowerInvariant()}/{Port}{(NodeAddress is { } address ? $" at {address}" : "")}");
}
