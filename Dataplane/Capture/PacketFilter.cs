using Overlay.Dataplane.Operator;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Capture;

/// <summary>Which packets are wanted. All that is set must be true of the packet, or of the one that it is an error about. Pure.</summary>
internal sealed record PacketFilter
{
    /// <summary>As <see cref="DecodedPacket.Protocol"/>.</summary>
    public string? Protocol { get; init; }

    /// <summary>Of either end.</summary>
    public ushort? Port { get; init; }

    /// <summary>One of them is that of either end.</summary>
    public IReadOnlySet<InetAddress>? Addresses { get; init; }

    /// <summary>Either end is a pod of it.</summary>
    public string? Namespace { get; init; }

    /// <summary>Whether a packet is wanted.</summary>
    /// <param name="packet">The packet.</param>
    /// <param name="name">Who has an address.</param>
    public bool Passes(DecodedPacket packet, Func<InetAddress, NamedAddress> name) =>
        Matches(packet, name) || (packet.Quoted is { } quoted && Passes(quoted, name));

    private bool Matches(DecodedPacket packet, Func<InetAddress, NamedAddress> name) =>
        (Protocol is null || packet.Protocol == Protocol)
        && (Port is null || packet.SourcePort == Port || packet.DestinationPort == Port)
        && (Addresses is null || IsEither(packet, Addresses.Contains))
        && (Namespace is null || IsEither(packet, address => name(address).Pod?.StartsWith(Namespace + "/", StringComparison.Ordinal) == true));

    private static bool IsEither(DecodedPacket packet, Func<InetAddress, bool> wanted) =>
        (packet.Source is { } source && wanted(source)) || (packet.Destination is { } destination && wanted(destination));
}
