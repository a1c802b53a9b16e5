namespace Overlay.Dataplane.Netlink.Route;

/// <summary>TCA_*: attributes of queueing disciplines and filters (linux/rtnetlink.h).</summary>
public enum Tca : ushort
{
    TCA_UNSPEC,
    TCA_KIND,
    TCA_OPTIONS,
    TCA_STATS,
    TCA_XSTATS,
    TCA_RATE,
    TCA_FCNT,
    TCA_STATS2,
    TCA_STAB,
    TCA_PAD,
    TCA_DUMP_INVISIBLE,
    TCA_CHAIN,
    TCA_HW_OFFLOAD,
}

/// <summary>TC_H_*: who stands where (linux/pkt_sched.h). A handle is two numbers of 16 bits; tc(8) writes them MAJOR:MINOR, in hex.</summary>
public static class TcHandle
{
    /// <summary>Parent of the discipline through which a device sends.</summary>
    public const uint TC_H_ROOT = 0xFFFFFFFF;

    /// <summary>Parent of the discipline <c>ingress</c>.</summary>
    public const uint TC_H_INGRESS = 0xFFFFFFF1;

    /// <summary>Handle of the discipline <c>ingress</c>, <c>ffff:</c>, and so the parent of filters of what comes in.</summary>
    public const uint Ingress = 0xFFFF0000;

    /// <summary><c>1:</c>.</summary>
    public const uint First = 0x00010000;
}

/// <summary>TCA_TBF_*: the token bucket filter (linux/pkt_sched.h).</summary>
public enum TcaTbf : ushort
{
    TCA_TBF_UNSPEC,
    TCA_TBF_PARMS,
    TCA_TBF_RTAB,
    TCA_TBF_PTAB,
    TCA_TBF_RATE64,
    TCA_TBF_PRATE64,
    TCA_TBF_BURST,
    TCA_TBF_PBURST,
    TCA_TBF_PAD,
}

/// <summary>TC_LINKLAYER_*: how lengths count (linux/pkt_sched.h).</summary>
public enum TcLinklayer : byte
{
    TC_LINKLAYER_UNAWARE,
    TC_LINKLAYER_ETHERNET,
    TC_LINKLAYER_ATM,
}

/// <summary>TCA_U32_*: the classifier that compares words of a packet (linux/pkt_cls.h).</summary>
public enum TcaU32 : ushort
{
    TCA_U32_UNSPEC,
    TCA_U32_CLASSID,
    TCA_U32_HASH,
    TCA_U32_LINK,
    TCA_U32_DIVISOR,
    TCA_U32_SEL,
    TCA_U32_POLICE,
    TCA_U32_ACT,
    TCA_U32_INDEV,
    TCA_U32_PCNT,
    TCA_U32_MARK,
    TCA_U32_FLAGS,
}

/// <summary>TC_U32_*: flags of a selector (linux/pkt_cls.h).</summary>
[Flags]
public enum TcU32 : byte
{
    None = 0,
    TC_U32_TERMINAL = 1,
    TC_U32_OFFSET = 2,
    TC_U32_VAROFFSET = 4,
    TC_U32_EAT = 8,
}

/// <summary>TCA_ACT_*: attributes of one action (linux/pkt_cls.h).</summary>
public enum TcaAct : ushort
{
    TCA_ACT_UNSPEC,
    TCA_ACT_KIND,
    TCA_ACT_OPTIONS,
    TCA_ACT_INDEX,
    TCA_ACT_STATS,
    TCA_ACT_PAD,
    TCA_ACT_COOKIE,
    TCA_ACT_FLAGS,
}

/// <summary>TC_ACT_*: what becomes of a packet after an action (linux/pkt_cls.h).</summary>
public enum TcAct
{
    TC_ACT_UNSPEC = -1,
    TC_ACT_OK,
    TC_ACT_RECLASSIFY,
    TC_ACT_SHOT,
    TC_ACT_PIPE,
    TC_ACT_STOLEN,
}

/// <summary>TCA_MIRRED_*: the action that sends a packet by another device (linux/tc_act/tc_mirred.h).</summary>
public enum TcaMirred : ushort
{
    TCA_MIRRED_UNSPEC,
    TCA_MIRRED_TM,
    TCA_MIRRED_PARMS,
    TCA_MIRRED_PAD,
}

/// <summary>TCA_EGRESS_*, TCA_INGRESS_*: how <c>mirred</c> does it (linux/tc_act/tc_mirred.h).</summary>
public enum TcaMirredAction
{
    TCA_EGRESS_REDIR = 1,
    TCA_EGRESS_MIRROR,
    TCA_INGRESS_REDIR,
    TCA_INGRESS_MIRROR,
}
