namespace Overlay.Dataplane.Netlink.Route;

/// <summary>RTA_*: attributes of a route (linux/rtnetlink.h).</summary>
public enum RtaType : ushort
{
    RTA_UNSPEC,
    RTA_DST,
    RTA_SRC,
    RTA_IIF,
    RTA_OIF,
    RTA_GATEWAY,
    RTA_PRIORITY,
    RTA_PREFSRC,
    RTA_METRICS,
    RTA_MULTIPATH,
    RTA_PROTOINFO,
    RTA_FLOW,
    RTA_CACHEINFO,
    RTA_SESSION,
    RTA_MP_ALGO,
    RTA_TABLE,
    RTA_MARK,
    RTA_MFC_STATS,
    RTA_VIA,
    RTA_NEWDST,
    RTA_PREF,
    RTA_ENCAP_TYPE,
    RTA_ENCAP,
    RTA_EXPIRES,
    RTA_PAD,
    RTA_UID,
    RTA_TTL_PROPAGATE,
    RTA_IP_PROTO,
    RTA_SPORT,
    RTA_DPORT,
    RTA_NH_ID,
}

/// <summary>RTN_*: <c>rtm_type</c> (linux/rtnetlink.h).</summary>
public enum Rtn : byte
{
    RTN_UNSPEC,
    RTN_UNICAST,
    RTN_LOCAL,
    RTN_BROADCAST,
    RTN_ANYCAST,
    RTN_MULTICAST,
    RTN_BLACKHOLE,
    RTN_UNREACHABLE,
    RTN_PROHIBIT,
    RTN_THROW,
    RTN_NAT,
    RTN_XRESOLVE,
}

/// <summary>RTPROT_*: <c>rtm_protocol</c>, who made the route (linux/rtnetlink.h); any number may stand there.</summary>
public enum Rtprot : byte
{
    RTPROT_UNSPEC,
    RTPROT_REDIRECT,
    RTPROT_KERNEL,
    RTPROT_BOOT,
    RTPROT_STATIC,
    RTPROT_GATED = 8,
    RTPROT_RA,
    RTPROT_MRT,
    RTPROT_ZEBRA,
    RTPROT_BIRD,
    RTPROT_DNROUTED,
    RTPROT_XORP,
    RTPROT_NTK,
    RTPROT_DHCP,
    RTPROT_MROUTED,
    RTPROT_KEEPALIVED,
    RTPROT_BABEL = 42,
    RTPROT_OPENR = 99,
    RTPROT_BGP = 186,
    RTPROT_ISIS,
    RTPROT_OSPF,
    RTPROT_RIP,
    RTPROT_EIGRP = 192,
}

/// <summary>RT_SCOPE_*: <c>rtm_scope</c> and <c>ifa_scope</c> (linux/rtnetlink.h).</summary>
public enum RtScope : byte
{
    RT_SCOPE_UNIVERSE,
    RT_SCOPE_SITE = 200,
    RT_SCOPE_LINK = 253,
    RT_SCOPE_HOST,
    RT_SCOPE_NOWHERE,
}

/// <summary>RT_TABLE_*: <c>rtm_table</c> and RTA_TABLE (linux/rtnetlink.h); any number may stand there.</summary>
public enum RtTable : uint
{
    RT_TABLE_UNSPEC,
    RT_TABLE_COMPAT = 252,
    RT_TABLE_DEFAULT,
    RT_TABLE_MAIN,
    RT_TABLE_LOCAL,
}

/// <summary>RTNH_F_*: flags of a next hop, in <c>rtm_flags</c> (linux/rtnetlink.h).</summary>
[Flags]
public enum RtnhF : uint
{
    None = 0,
    RTNH_F_DEAD = 0x1,
    RTNH_F_PERVASIVE = 0x2,
    RTNH_F_ONLINK = 0x4,
    RTNH_F_OFFLOAD = 0x8,
    RTNH_F_LINKDOWN = 0x10,
    RTNH_F_UNRESOLVED = 0x20,
    RTNH_F_TRAP = 0x40,
}
