using static Overlay.Dataplane.Netlink.Route.Netconfa;

namespace Overlay.Dataplane.Netlink.Route;

/// <summary>NETCONFA_*: attributes of a device's settings (linux/netconf.h).</summary>
public enum Netconfa : ushort
{
    NETCONFA_UNSPEC,
    NETCONFA_IFINDEX,
    NETCONFA_FORWARDING,
    NETCONFA_RP_FILTER,
    NETCONFA_MC_FORWARDING,
    NETCONFA_PROXY_NEIGH,
    NETCONFA_IGNORE_ROUTES_WITH_LINKDOWN,
    NETCONFA_INPUT,
    NETCONFA_BC_FORWARDING,
}

/// <summary>Settings of a device that have changed, as the kernel tells them (RTM_NEWNETCONF, one message for each setting): <c>ip monitor netconf</c>.</summary>
public sealed record NetconfMessage
{
    /// <summary>NETCONFA_IFINDEX of <c>conf/all</c>.</summary>
    public const int NETCONFA_IFINDEX_ALL = -1;

    /// <summary>NETCONFA_IFINDEX of <c>conf/default</c>.</summary>
    public const int NETCONFA_IFINDEX_DEFAULT = -2;

    // struct netconfmsg { __u8 ncm_family; }; attributes begin at the next multiple of 4.
    private const int HeaderLength = 4;

    private NetconfMessage(NetlinkMessage message)
    {
        Family = (Af)message.Header(HeaderLength)[0];
        foreach (var attribute in message.AttributesAfter(HeaderLength))
            switch ((Netconfa)attribute.Type)
            {
                case NETCONFA_IFINDEX:
                    Index = (int)attribute.UInt32;
                    break;
                case NETCONFA_FORWARDING:
                    Forwarding = attribute.UInt32 != 0;
                    break;
            }
    }

    /// <summary>AF_INET or AF_INET6; other families have settings too.</summary>
    public Af Family { get; }

    /// <summary>Index of the device, <see cref="NETCONFA_IFINDEX_ALL"/> or <see cref="NETCONFA_IFINDEX_DEFAULT"/>; 0 when it is not told.</summary>
    public int Index { get; }

    /// <summary>Whether packets that come in here are forwarded; null when that is not what has changed.</summary>
    public bool? Forwarding { get; }

    /// <summary>Reads RTM_NEWNETCONF.</summary>
    /// <exception cref="NetlinkFormatException">It is malformed.</exception>
    public static NetconfMessage Parse(NetlinkMessage message) => new(message);
}
