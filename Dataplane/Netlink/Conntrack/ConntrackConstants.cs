// linux/netfilter/nfnetlink_conntrack.h and nf_conntrack_common.h.
namespace Overlay.Dataplane.Netlink.Conntrack;

/// <summary>IPCTNL_MSG_CT_*: message types of ctnetlink (<c>enum cntl_msg_types</c>).</summary>
public enum IpctnlMsg : byte
{
    IPCTNL_MSG_CT_NEW = 0,
    IPCTNL_MSG_CT_GET = 1,
    IPCTNL_MSG_CT_DELETE = 2,
}

/// <summary>CTA_*: attributes of a connection (<c>enum ctattr_type</c>).</summary>
public static class Cta
{
    public const ushort CTA_TUPLE_ORIG = 1;
    public const ushort CTA_TUPLE_REPLY = 2;
    public const ushort CTA_STATUS = 3;
    public const ushort CTA_MARK = 8;
    public const ushort CTA_TUPLE_MASTER = 14;
    public const ushort CTA_ZONE = 18;
    public const ushort CTA_MARK_MASK = 21;
}

/// <summary>CTA_TUPLE_*: attributes of a tuple (<c>enum ctattr_tuple</c>).</summary>
public static class CtaTuple
{
    public const ushort CTA_TUPLE_IP = 1;
    public const ushort CTA_TUPLE_PROTO = 2;
    public const ushort CTA_TUPLE_ZONE = 3;
}

/// <summary>CTA_IP_*: addresses of a tuple (<c>enum ctattr_ip</c>).</summary>
public static class CtaIp
{
    public const ushort CTA_IP_V4_SRC = 1;
    public const ushort CTA_IP_V4_DST = 2;
    public const ushort CTA_IP_V6_SRC = 3;
    public const ushort CTA_IP_V6_DST = 4;
}

/// <summary>CTA_PROTO_*: the transport's part of a tuple (<c>enum ctattr_l4proto</c>).</summary>
public static class CtaProto
{
    public const ushort CTA_PROTO_NUM = 1;
    public const ushort CTA_PROTO_SRC_PORT = 2;
    public const ushort CTA_PROTO_DST_PORT = 3;
    public const ushort CTA_PROTO_ICMP_ID = 4;
    public const ushort CTA_PROTO_ICMP_TYPE = 5;
    public const ushort CTA_PROTO_ICMP_CODE = 6;
    public const ushort CTA_PROTO_ICMPV6_ID = 7;
    public const ushort CTA_PROTO_ICMPV6_TYPE = 8;
    public const ushort CTA_PROTO_ICMPV6_CODE = 9;
}

/// <summary>IPS_*: status of a connection (<c>enum ip_conntrack_status</c>); those we look at.</summary>
[Flags]
public enum IpConntrackStatus : uint
{
    None = 0,
    IPS_EXPECTED = 1 << 0,
    IPS_SEEN_REPLY = 1 << 1,
    IPS_ASSURED = 1 << 2,
    IPS_CONFIRMED = 1 << 3,
    IPS_SRC_NAT = 1 << 4,
    IPS_DST_NAT = 1 << 5,
}
