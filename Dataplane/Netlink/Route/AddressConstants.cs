namespace Overlay.Dataplane.Netlink.Route;

/// <summary>IFA_*: attributes of an address (linux/if_addr.h).</summary>
public enum IfaType : ushort
{
    IFA_UNSPEC,
    IFA_ADDRESS,
    IFA_LOCAL,
    IFA_LABEL,
    IFA_BROADCAST,
    IFA_ANYCAST,
    IFA_CACHEINFO,
    IFA_MULTICAST,
    IFA_FLAGS,
    IFA_RT_PRIORITY,
    IFA_TARGET_NETNSID,
    IFA_PROTO,
}

/// <summary>IFA_F_*: <c>ifa_flags</c> and IFA_FLAGS (linux/if_addr.h).</summary>
[Flags]
public enum IfaF : uint
{
    None = 0,
    IFA_F_SECONDARY = 0x1,
    IFA_F_NODAD = 0x2,
    IFA_F_OPTIMISTIC = 0x4,
    IFA_F_DADFAILED = 0x8,
    IFA_F_HOMEADDRESS = 0x10,
    IFA_F_DEPRECATED = 0x20,
    IFA_F_TENTATIVE = 0x40,
    IFA_F_PERMANENT = 0x80,
    IFA_F_MANAGETEMPADDR = 0x100,
    IFA_F_NOPREFIXROUTE = 0x200,
    IFA_F_MCAUTOJOIN = 0x400,
    IFA_F_STABLE_PRIVACY = 0x800,
}
