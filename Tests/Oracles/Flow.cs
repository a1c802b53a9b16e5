using System.Net;
using System.Net.Sockets;
using Overlay.PolicyEngine.Explain;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Oracles;

/// <summary>The first packet of a connection, between two addresses.</summary>
/// <param name="Source">Source address.</param>
/// <param name="Destination">Destination address, of the same family.</param>
/// <param name="Protocol"><c>TCP</c>, <c>UDP</c>, <c>SCTP</c> or <c>ICMP</c> (ICMPv6 between IPv6 addresses): an echo request.</param>
/// <param name="Port">Destination port; 0 for ICMP.</param>
public sealed record Flow(IPAddress Source, IPAddress Destination, string Protocol, int Port)
{
    public InetAddress SourceAddress => InetAddress.FromBytes(Source.GetAddressBytes());

    public InetAddress DestinationAddress => InetAddress.FromBytes(Destination.GetAddressBytes());

    /// <summary>IP protocol number.</summary>
    public byte ProtocolNumber => Protocol switch
    {
        "TCP" => (byte)IpProtocol.Tcp,
        "UDP" => (byte)IpProtocol.Udp,
        "SCTP" => (byte)IpProtocol.Sctp,
        "ICMP" => Source.AddressFamily == AddressFamily.InterNetwork ? Packet.Icmp : Packet.Icmpv6,
        _ => throw new FormatException($"'{Protocol}' is not TCP, UDP, SCTP or ICMP."),
    };

    /// <summary>ICMP echo request, or ICMPv6 echo request.</summary>
    public byte IcmpType => Protocol == "ICMP" ? (byte)(Source.AddressFamily == AddressFamily.InterNetwork ? 8 : 128) : (byte)0;

    public override string ToString() => $"{Source} -> {Destination} {Protocol}{(Port == 0 ? "" : $" {Port}")}";
}
