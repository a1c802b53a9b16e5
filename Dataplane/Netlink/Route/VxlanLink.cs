using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Netlink.Route;

/// <summary>What is particular to a vxlan link: IFLA_INFO_DATA of kind <c>vxlan</c>, in the words of <c>ip link add … type vxlan</c>.</summary>
/// <param name="Id">VNI, 1 to 16777215.</param>
/// <param name="Port">UDP destination port; the kernel's default is not IANA's 4789.</param>
/// <param name="Local">Source address of the outer packets; its family is the underlay's. Null: the kernel chooses, IPv4.</param>
public sealed record VxlanLink(uint Id, ushort Port, InetAddress? Local)
{
    public const string Kind = "vxlan";

    /// <summary>Whether inner addresses are learnt from received packets. Never for us: the forwarding entries are ours.</summary>
    public bool Learning { get; init; }

    /// <summary>TTL of the outer packets; 0: the default of the route.</summary>
    public byte Ttl { get; init; }

    /// <summary>The outer IPv4 header's Don't Fragment.</summary>
    public IflaVxlanDf Df { get; init; }

    /// <summary>Where unknown inner addresses are sent. Never set by us; a link that has one is not ours as we make it.</summary>
    public InetAddress? Remote { get; init; }

    /// <summary>Whether outer IPv4 packets carry a UDP checksum. Null when writing: the kernel's choice.</summary>
    public bool? UdpCsum { get; init; }

    /// <summary>Whether outer IPv6 packets are sent without UDP checksum. Null when writing: the kernel's choice (they carry one).</summary>
    public bool? UdpZeroCsum6Tx { get; init; }

    /// <summary>Whether outer IPv6 packets without UDP checksum are taken. Null when writing: the kernel's choice (they are dropped).</summary>
    public bool? UdpZeroCsum6Rx { get; init; }

    internal void Write(NetlinkWriter writer)
    {
        if (Ttl != 0)
            writer.Byte((ushort)IflaVxlan.IFLA_VXLAN_TTL, Ttl);
        if (Df != IflaVxlanDf.VXLAN_DF_UNSET)
            writer.Byte((ushort)IflaVxlan.IFLA_VXLAN_DF, (byte)Df);
        WriteFlag(writer, IflaVxlan.IFLA_VXLAN_UDP_CSUM, UdpCsum);
        WriteFlag(writer, IflaVxlan.IFLA_VXLAN_UDP_ZERO_CSUM6_TX, UdpZeroCsum6Tx);
        WriteFlag(writer, IflaVxlan.IFLA_VXLAN_UDP_ZERO_CSUM6_RX, UdpZeroCsum6Rx);
        writer.UInt32((ushort)IflaVxlan.IFLA_VXLAN_ID, Id);
        if (Remote is { } remote)
            writer.Address((ushort)(remote.Family == Family.IPv4 ? IflaVxlan.IFLA_VXLAN_GROUP : IflaVxlan.IFLA_VXLAN_GROUP6), remote);
        if (Local is { } local)
            writer.Address((ushort)(local.Family == Family.IPv4 ? IflaVxlan.IFLA_VXLAN_LOCAL : IflaVxlan.IFLA_VXLAN_LOCAL6), local);
        writer.Byte((ushort)IflaVxlan.IFLA_VXLAN_LEARNING, Learning ? (byte)1 : (byte)0);
        writer.UInt16BigEndian((ushort)IflaVxlan.IFLA_VXLAN_PORT, Port);
    }

    internal static VxlanLink Parse(NetlinkAttributes attributes)
    {
        var link = new VxlanLink(0, 0, null);
        foreach (var attribute in attributes)
            link = (IflaVxlan)attribute.Type switch
            {
                IflaVxlan.IFLA_VXLAN_ID => link with { Id = attribute.UInt32 },
                IflaVxlan.IFLA_VXLAN_PORT => link with { Port = attribute.UInt16BigEndian },
                IflaVxlan.IFLA_VXLAN_LOCAL or IflaVxlan.IFLA_VXLAN_LOCAL6 => link with { Local = attribute.Address },
                IflaVxlan.IFLA_VXLAN_GROUP or IflaVxlan.IFLA_VXLAN_GROUP6 => link with { Remote = attribute.Address },
                IflaVxlan.IFLA_VXLAN_LEARNING => link with { Learning = attribute.Byte != 0 },
                IflaVxlan.IFLA_VXLAN_TTL => link with { Ttl = attribute.Byte },
                IflaVxlan.IFLA_VXLAN_DF => link with { Df = (IflaVxlanDf)attribute.Byte },
                IflaVxlan.IFLA_VXLAN_UDP_CSUM => link with { UdpCsum = attribute.Byte != 0 },
                IflaVxlan.IFLA_VXLAN_UDP_ZERO_CSUM6_TX => link with { UdpZeroCsum6Tx = attribute.Byte != 0 },
                IflaVxlan.IFLA_VXLAN_UDP_ZERO_CSUM6_RX => link with { UdpZeroCsum6Rx = attribute.Byte != 0 },
                _ => link,
            };
        return link;
    }

    private static void WriteFlag(NetlinkWriter writer, IflaVxlan type, bool? value)
    {
        if (value is { } set)
            writer.Byte((ushort)type, set ? (byte)1 : (byte)0);
    }
}
