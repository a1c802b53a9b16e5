namespace Overlay.Dataplane.Netlink.Route;

/// <summary>NDA_*: attributes of a neighbour or forwarding entry (linux/neighbour.h).</summary>
public enum NdaType : ushort
{
    NDA_UNSPEC,
    NDA_DST,
    NDA_LLADDR,
    NDA_CACHEINFO,
    NDA_PROBES,
    NDA_VLAN,
    NDA_PORT,
    NDA_VNI,
    NDA_IFINDEX,
    NDA_MASTER,
    NDA_LINK_NETNSID,
    NDA_SRC_VNI,
    NDA_PROTOCOL,
    NDA_NH_ID,
    NDA_FDB_EXT_ATTRS,
    NDA_FLAGS_EXT,
    NDA_NDM_STATE_MASK,
    NDA_NDM_FLAGS_MASK,
}

/// <summary>NUD_*: <c>ndm_state</c> (linux/neighbour.h); NUD_NONE is no flag.</summary>
[Flags]
public enum Nud : ushort
{
    None = 0,
    NUD_INCOMPLETE = 0x1,
    NUD_REACHABLE = 0x2,
    NUD_STALE = 0x4,
    NUD_DELAY = 0x8,
    NUD_PROBE = 0x10,
    NUD_FAILED = 0x20,
    NUD_NOARP = 0x40,
    NUD_PERMANENT = 0x80,
}

/// <summary>NTF_*: <c>ndm_flags</c> (linux/neighbour.h).</summary>
[Flags]
public enum Ntf : byte
{
    None = 0,
    NTF_USE = 0x1,
    NTF_SELF = 0x2,
    NTF_MASTER = 0x4,
    NTF_PROXY = 0x8,
    NTF_EXT_LEARNED = 0x10,
    NTF_OFFLOADED = 0x20,
    NTF_STICKY = 0x40,
    NTF_ROUTER = 0x80,
}
