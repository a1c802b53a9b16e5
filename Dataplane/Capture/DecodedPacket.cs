using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Capture;

/// <summary>What the headers of a packet say: of the innermost one, when it came in a tunnel.</summary>
internal sealed record DecodedPacket
{
    /// <summary><c>tcp</c>, <c>udp</c>, <c>sctp</c>, <c>icmp</c> (of both families), <c>arp</c>; else what is known: <c>gre</c>, <c>protocol 99</c>, <c>ethertype 0x88cc</c>.</summary>
    public required string Protocol { get; init; }

    /// <summary>Null when the packet has none, or is cut before it.</summary>
    public InetAddress? Source { get; init; }

    /// <summary>As <see cref="Source"/>.</summary>
    public InetAddress? Destination { get; init; }

    /// <summary>Null where there are no ports: other protocols, later fragments.</summary>
    public ushort? SourcePort { get; init; }

    /// <summary>As <see cref="SourcePort"/>.</summary>
    public ushort? DestinationPort { get; init; }

    /// <summary>Of TCP, as tcpdump(8) writes them: <c>S</c>, <c>S.</c>, <c>P.</c>, <c>R</c>, <c>.</c>; else empty.</summary>
    public string Flags { get; init; } = "";

    /// <summary>Bytes, its IP header included; as the header says, which a cut packet does not have.</summary>
    public int Length { get; init; }

    /// <summary>What is worth knowing besides: <c>echo request 7</c>, <c>fragment at 1480</c>, <c>cut short</c>; may be empty.</summary>
    public string Detail { get; init; } = "";

    /// <summary>Of an ICMP error: the packet that it is about, as far as it is quoted.</summary>
    public DecodedPacket? Quoted { get; init; }

    /// <summary>The tunnels it came in, outermost first.</summary>
    public IReadOnlyList<OuterHeader> Tunnels { get; init; } = [];

    /// <summary>Every address in it.</summary>
    public IEnumerable<InetAddress> Addresses => ((InetAddress?[])[Source, Destination]).OfType<InetAddress>()
        .Concat(Tunnels.SelectMany(tunnel => (InetAddress[])[tunnel.Source, tunnel.Destination]))
        .Concat(Quoted?.Addresses ?? []);
}

/// <summary>The header of a tunnel's packet.</summary>
/// <param name="Encapsulation"><c>vxlan</c>, <c>ipip</c>, <c>sit</c> or <c>ip6tnl</c>.</param>
/// <param name="Source">Who put it in.</param>
/// <param name="Destination">Who takes it out.</param>
/// <param name="Vni">Of VXLAN.</param>
internal sealed record OuterHeader(string Encapsulation, InetAddress Source, InetAddress Destination, uint? Vni);
