namespace Overlay.Dataplane.Netlink;

/// <summary>NETLINK_*: the families of netlink we speak (linux/netlink.h).</summary>
public enum NetlinkProtocol
{
    NETLINK_ROUTE = 0,
    NETLINK_NETFILTER = 12,
    NETLINK_GENERIC = 16,
}

/// <summary>NLM_F_*: <c>nlmsg_flags</c> (linux/netlink.h). One bit means different things in GET, NEW, DELETE and ACK messages.</summary>
[Flags]
public enum NlmF : ushort
{
    None = 0,
    NLM_F_REQUEST = 0x01,
    NLM_F_MULTI = 0x02,
    NLM_F_ACK = 0x04,
    NLM_F_ECHO = 0x08,
    NLM_F_DUMP_INTR = 0x10,
    NLM_F_DUMP_FILTERED = 0x20,

    NLM_F_ROOT = 0x100,
    NLM_F_MATCH = 0x200,
    NLM_F_ATOMIC = 0x400,
    NLM_F_DUMP = NLM_F_ROOT | NLM_F_MATCH,

    NLM_F_REPLACE = 0x100,
    NLM_F_EXCL = 0x200,
    NLM_F_CREATE = 0x400,
    NLM_F_APPEND = 0x800,

    NLM_F_NONREC = 0x100,
    NLM_F_BULK = 0x200,

    NLM_F_CAPPED = 0x100,
    NLM_F_ACK_TLVS = 0x200,
}

/// <summary>NLMSG_*: message types that every family shares (linux/netlink.h).</summary>
public enum NlmsgType : ushort
{
    NLMSG_NOOP = 1,
    NLMSG_ERROR = 2,
    NLMSG_DONE = 3,
    NLMSG_OVERRUN = 4,
    NLMSG_MIN_TYPE = 0x10,
}

/// <summary>NLMSGERR_ATTR_*: attributes of an extended acknowledgement (linux/netlink.h).</summary>
public enum NlmsgerrAttr : ushort
{
    NLMSGERR_ATTR_UNUSED,
    NLMSGERR_ATTR_MSG,
    NLMSGERR_ATTR_OFFS,
    NLMSGERR_ATTR_COOKIE,
    NLMSGERR_ATTR_POLICY,
    NLMSGERR_ATTR_MISS_TYPE,
    NLMSGERR_ATTR_MISS_NEST,
}

/// <summary>NLA_F_*: flags in <c>nla_type</c> (linux/netlink.h).</summary>
[Flags]
public enum NlaF : ushort
{
    None = 0,
    NLA_F_NESTED = 0x8000,
    NLA_F_NET_BYTEORDER = 0x4000,
}

/// <summary>NETLINK_*: socket options at level SOL_NETLINK (linux/netlink.h).</summary>
internal enum NetlinkOption
{
    NETLINK_ADD_MEMBERSHIP = 1,
    NETLINK_DROP_MEMBERSHIP = 2,
    NETLINK_CAP_ACK = 10,
    NETLINK_EXT_ACK = 11,
    NETLINK_GET_STRICT_CHK = 12,
}
