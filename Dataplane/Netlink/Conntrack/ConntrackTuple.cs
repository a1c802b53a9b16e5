using Overlay.Dataplane.Netlink.Netfilter;
using Overlay.PolicyEngine.Model;
using static Overlay.Dataplane.Netlink.Conntrack.CtaIp;
using static Overlay.Dataplane.Netlink.Conntrack.CtaProto;
using static Overlay.Dataplane.Netlink.Conntrack.CtaTuple;

namespace Overlay.Dataplane.Netlink.Conntrack;

/// <summary>One direction of a connection as its packets look (<c>struct nf_conntrack_tuple</c>). A value without heap: a node has 100,000 and more.</summary>
/// <param name="Source">Source address.</param>
/// <param name="Destination">Destination address.</param>
/// <param name="Protocol">IP protocol number.</param>
/// <param name="SourcePort">Source port; of ICMP the identifier; 0 for protocols without.</param>
/// <param name="DestinationPort">Destination port; of ICMP the type in the upper and the code in the lower byte; 0 for protocols without.</param>
/// <param name="Zone">Zone of this direction alone; 0 for none.</param>
public readonly record struct ConntrackTuple(InetAddress Source, InetAddress Destination, byte Protocol, ushort SourcePort, ushort DestinationPort, ushort Zone = 0)
{
    internal const byte IPPROTO_ICMP = 1;
    internal const byte IPPROTO_ICMPV6 = 58;

    /// <summary>Reads CTA_TUPLE_ORIG, CTA_TUPLE_REPLY or CTA_TUPLE_MASTER.</summary>
    /// <exception cref="NetlinkFormatException">It is malformed.</exception>
    internal static ConntrackTuple Read(NetlinkAttribute tuple)
    {
        InetAddress source = default, destination = default;
        byte protocol = 0;
        ushort from = 0, to = 0, zone = 0;
        foreach (var part in tuple.Nested)
            switch (part.Type)
            {
                case CTA_TUPLE_IP:
                    ReadAddresses(part, ref source, ref destination);
                    break;
                case CTA_TUPLE_PROTO:
                    ReadProtocol(part, ref protocol, ref from, ref to);
                    break;
                case CTA_TUPLE_ZONE:
                    zone = part.UInt16BigEndian;
                    break;
            }
        return new(source, destination, protocol, from, to, zone);
    }

    /// <summary>Writes the tuple as attribute <paramref name="type"/>.</summary>
    internal void Write(NetlinkWriter writer, ushort type)
    {
        var tuple = writer.BeginNest(type.Nested());
        var ip = writer.BeginNest(CTA_TUPLE_IP.Nested());
        writer.Address(Source.Family == Family.IPv4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, Source);
        writer.Address(Source.Family == Family.IPv4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, Destination);
        writer.EndNest(ip);
        var proto = writer.BeginNest(CTA_TUPLE_PROTO.Nested());
        writer.Byte(CTA_PROTO_NUM, Protocol);
        switch (Protocol)
        {
            case IPPROTO_ICMP:
                WriteIcmp(writer, CTA_PROTO_ICMP_ID, CTA_PROTO_ICMP_TYPE, CTA_PROTO_ICMP_CODE);
                break;
            case IPPROTO_ICMPV6:
                WriteIcmp(writer, CTA_PROTO_ICMPV6_ID, CTA_PROTO_ICMPV6_TYPE, CTA_PROTO_ICMPV6_CODE);
                break;
            default:
                writer.UInt16BigEndian(CTA_PROTO_SRC_PORT, SourcePort);
                writer.UInt16BigEndian(CTA_PROTO_DST_PORT, DestinationPort);
                break;
        }
        writer.EndNest(proto);
        if (Zone != 0)
            writer.UInt16BigEndian(CTA_TUPLE_ZONE, Zone);
        writer.EndNest(tuple);
    }

    private static void ReadAddresses(NetlinkAttribute ip, ref InetAddress source, ref InetAddress destination)
    {
        foreach (var attribute in ip.Nested)
            switch (attribute.Type)
            {
                case CTA_IP_V4_SRC or CTA_IP_V6_SRC:
                    source = attribute.Address;
                    break;
                case CTA_IP_V4_DST or CTA_IP_V6_DST:
                    destination = attribute.Address;
                    break;
            }
    }

    private static void ReadProtocol(NetlinkAttribute proto, ref byte protocol, ref ushort from, ref ushort to)
    {
        foreach (var attribute in proto.Nested)
            switch (attribute.Type)
            {
                case CTA_PROTO_NUM:
                    protocol = attribute.Byte;
                    break;
                case CTA_PROTO_SRC_PORT or CTA_PROTO_ICMP_ID or CTA_PROTO_ICMPV6_ID:
                    from = attribute.UInt16BigEndian;
                    break;
                case CTA_PROTO_DST_PORT:
                    to = attribute.UInt16BigEndian;
                    break;
                case CTA_PROTO_ICMP_TYPE or CTA_PROTO_ICMPV6_TYPE:
                    to = (ushort)(attribute.Byte << 8 | (byte)to);
                    break;
                case CTA_PROTO_ICMP_CODE or CTA_PROTO_ICMPV6_CODE:
                    to = (ushort)((to & 0xff00) | attribute.Byte);
                    break;
            }
    }

    private void WriteIcmp(NetlinkWriter writer, ushort id, ushort type, ushort code)
    {
        writer.Byte(code, (byte)DestinationPort);
        writer.Byte(type, (byte)(DestinationPort >> 8));
        writer.UInt16BigEndian(id, SourcePort);
    }
}
