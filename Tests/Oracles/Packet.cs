using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Tests.Oracles;

/// <summary>A packet as the hooks of one node see it.</summary>
/// <param name="Source">Source address.</param>
/// <param name="Destination">Destination address, of the same family.</param>
/// <param name="Protocol">IP protocol number.</param>
/// <param name="DestinationPort">Destination port; for ICMP whatever stands in those two bytes.</param>
/// <param name="InputInterface">Device it came in by; null when this node sends it.</param>
/// <param name="OutputInterface">Device it leaves by; null when it is for this node.</param>
public sealed record Packet(InetAddress Source, InetAddress Destination, byte Protocol, ushort DestinationPort, string? InputInterface, string? OutputInterface)
{
    public const byte Icmp = 1;
    public const byte Icmpv6 = 58;

    /// <summary>Type of an ICMP or ICMPv6 packet.</summary>
    public byte IcmpType { get; init; }

    /// <summary>What connection tracking says of it.</summary>
    public CtState State { get; init; } = CtState.New;

    /// <summary>Whether the route to <see cref="Source"/> leaves by <see cref="InputInterface"/> (fib).</summary>
    public bool SourceRoutedBack { get; init; } = true;

    public uint Mark { get; init; }

    /// <summary>The mark of its connection (<c>ct mark</c>).</summary>
    public uint ConnectionMark { get; init; }

    public Family Family => Source.Family;

    public InetAddress Address(Side side) => side == Side.Saddr ? Source : Destination;

    /// <summary>The hooks it passes, in order.</summary>
    public IEnumerable<Hook> Hooks => (InputInterface, OutputInterface) switch
    {
        (not null, not null) => [Hook.Prerouting, Hook.Forward, Hook.Postrouting],
        (not null, null) => [Hook.Prerouting, Hook.Input],
        (null, not null) => [Hook.Output, Hook.Postrouting],
        _ => throw new InvalidOperationException("A packet comes in or goes out, or both."),
    };

    public override string ToString() =>
        $"{Source} -> {Destination} protocol {Protocol} port {DestinationPort} in {InputInterface ?? "-"} out {OutputInterface ?? "-"} ct {State}{(SourceRoutedBack ? "" : " spoofed")}";
}
