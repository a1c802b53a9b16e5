using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.PolicyEngine.Explain;

/// <summary>A packet as the hooks of one node see it.</summary>
/// <param name="Source">Source address.</param>
/// <param name="Destination">Destination address, of the same family.</param>
/// <param name="Protocol">IP protocol number.</param>
/// <param name="DestinationPort">Destination port; for ICMP whatever stands in those two bytes.</param>
/// <param name="InputInterface">Device it came in by; null when this node sends it.</param>
/// <param name="OutputInterface">Device it leaves by; null when it is for this node.</param>
public sealed record Packet(InetAddress Source, InetAddress Destination, byte Protocol, ushort DestinationPort, string? InputInterface, string? OutputInterface)
{
    /// <summary>IP protocol number of ICMP (IANA).</summary>
    public const byte Icmp = 1;

    /// <summary>IP protocol number of ICMPv6 (IANA).</summary>
    public const byte Icmpv6 = 58;

    private static readonly Hook[] Forwarded = [Hook.Prerouting, Hook.Forward, Hook.Postrouting];
    private static readonly Hook[] Received = [Hook.Prerouting, Hook.Input];
    private static readonly Hook[] SentOn = [Hook.Prerouting, Hook.Output, Hook.Postrouting];
    private static readonly Hook[] Sent = [Hook.Output, Hook.Postrouting];

    /// <summary>Type of an ICMP or ICMPv6 packet.</summary>
    public byte IcmpType { get; init; }

    /// <summary>What connection tracking says of it.</summary>
    public CtState State { get; init; } = CtState.New;

    /// <summary>Whether the route to <see cref="Source"/> leaves by <see cref="InputInterface"/> (fib).</summary>
    public bool SourceRoutedBack { get; init; } = true;

    /// <summary>Its mark (fwmark).</summary>
    public uint Mark { get; init; }

    /// <summary>The mark of its connection (<c>ct mark</c>).</summary>
    public uint ConnectionMark { get; init; }

    /// <summary>
    /// Whether IPVS sends it on: it takes the packet out of the input hook before the chains that are behind <c>NF_IP_PRI_NAT_SRC - 1</c> there, gives it <see cref="Destination"/>
    /// in place of a Service's address, and puts it into the output hook, without the device it came in by.
    /// </summary>
    public bool ByIpvs { get; init; }

    /// <summary>Family of both addresses.</summary>
    public Family Family => Source.Family;

    /// <summary>One of its addresses.</summary>
    public InetAddress Address(Side side) => side == Side.Saddr ? Source : Destination;

    /// <summary>The hooks it passes, in order.</summary>
    public IReadOnlyList<Hook> Hooks => (InputInterface, OutputInterface) switch
    {
        (not null, not null) => ByIpvs ? SentOn : Forwarded,
        (not null, null) => Received,
        (null, not null) => Sent,
        _ => throw new InvalidOperationException("A packet comes in or goes out, or both."),
    };

    /// <summary>In one line, for people.</summary>
    public override string ToString() =>
        $"{Source} -> {Destination} protocol {Protocol} port {DestinationPort} in {InputInterface ?? "-"} out {OutputInterface ?? "-"} ct {State}{(ByIpvs ? " by IPVS" : "")}{(SourceRoutedBack ? "" : " spoofed")}";
}
