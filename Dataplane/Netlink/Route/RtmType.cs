namespace Overlay.Dataplane.Netlink.Route;

/// <summary>RTM_*: message types of rtnetlink (linux/rtnetlink.h) for links, addresses, routes, neighbours, rules, queueing disciplines and filters, settings of devices and namespace ids.</summary>
public enum RtmType : ushort
{
    RTM_NEWLINK = 16,
    RTM_DELLINK,
    RTM_GETLINK,
    RTM_SETLINK,
    RTM_NEWADDR,
    RTM_DELADDR,
    RTM_GETADDR,
    RTM_NEWROUTE = 24,
    RTM_DELROUTE,
    RTM_GETROUTE,
    RTM_NEWNEIGH = 28,
    RTM_DELNEIGH,
    RTM_GETNEIGH,
    RTM_NEWRULE = 32,
    RTM_DELRULE,
    RTM_GETRULE,
    RTM_NEWQDISC = 36,
    RTM_DELQDISC,
    RTM_GETQDISC,
    RTM_NEWTFILTER = 44,
    RTM_DELTFILTER,
    RTM_GETTFILTER,
    RTM_NEWNETCONF = 80,
    RTM_DELNETCONF,
    RTM_GETNETCONF,
    RTM_NEWNSID = 88,
    RTM_DELNSID,
    RTM_GETNSID,
}

/// <summary>RTNLGRP_*: multicast groups of rtnetlink (linux/rtnetlink.h), for <see cref="NetlinkMonitor.Open"/>.</summary>
public enum Rtnlgrp : uint
{
    RTNLGRP_NONE,
    RTNLGRP_LINK,
    RTNLGRP_NOTIFY,
    RTNLGRP_NEIGH,
    RTNLGRP_TC,
    RTNLGRP_IPV4_IFADDR,
    RTNLGRP_IPV4_MROUTE,
    RTNLGRP_IPV4_ROUTE,
    RTNLGRP_IPV4_RULE,
    RTNLGRP_IPV6_IFADDR,
    RTNLGRP_IPV6_MROUTE,
    RTNLGRP_IPV6_ROUTE,
    RTNLGRP_IPV6_IFINFO,
    RTNLGRP_DECnet_IFADDR,
    RTNLGRP_NOP2,
    RTNLGRP_DECnet_ROUTE,
    RTNLGRP_DECnet_RULE,
    RTNLGRP_NOP4,
    RTNLGRP_IPV6_PREFIX,
    RTNLGRP_IPV6_RULE,
    RTNLGRP_ND_USEROPT,
    RTNLGRP_PHONET_IFADDR,
    RTNLGRP_PHONET_ROUTE,
    RTNLGRP_DCB,
    RTNLGRP_IPV4_NETCONF,
    RTNLGRP_IPV6_NETCONF,
    RTNLGRP_MDB,
    RTNLGRP_MPLS_ROUTE,
    RTNLGRP_NSID,
    RTNLGRP_MPLS_NETCONF,
    RTNLGRP_IPV4_MROUTE_R,
    RTNLGRP_IPV6_MROUTE_R,
    RTNLGRP_NEXTHOP,
    RTNLGRP_BRVLAN,
    RTNLGRP_MCTP_IFADDR,
    RTNLGRP_TUNNEL,
    RTNLGRP_STATS,
}

/// <summary>RTEXT_FILTER_*: the value of IFLA_EXT_MASK, what a dump of links has or leaves out (linux/rtnetlink.h).</summary>
[Flags]
public enum RtextFilter : uint
{
    None = 0,
    RTEXT_FILTER_VF = 0x1,
    RTEXT_FILTER_BRVLAN = 0x2,
    RTEXT_FILTER_BRVLAN_COMPRESSED = 0x4,
    RTEXT_FILTER_SKIP_STATS = 0x8,
    RTEXT_FILTER_MRP = 0x10,
    RTEXT_FILTER_CFM_CONFIG = 0x20,
    RTEXT_FILTER_CFM_STATUS = 0x40,
    RTEXT_FILTER_MST = 0x80,
}

/// <summary>AF_*: address families as rtnetlink's headers have them (linux/socket.h).</summary>
public enum Af : byte
{
    AF_UNSPEC = 0,
    AF_INET = 2,
    AF_BRIDGE = 7,
    AF_INET6 = 10,
}
