using Overlay.PolicyEngine.Model;
using static Overlay.Dataplane.Netlink.Route.LwtunnelIp6;

namespace Overlay.Dataplane.Netlink.Route;

/// <summary>
/// RTA_ENCAP of type LWTUNNEL_ENCAP_IP6 (linux/lwtunnel.h): the addresses of the outer packet, for a route over an <c>external</c> tunnel. Equivalent to:
/// <c>encap ip6 src SOURCE dst DESTINATION</c>.
/// </summary>
/// <param name="Source">IPv6.</param>
/// <param name="Destination">IPv6.</param>
public readonly record struct Ip6Encapsulation(InetAddress Source, InetAddress Destination)
{
    internal void Write(NetlinkWriter writer)
    {
        var nest = writer.BeginNest((ushort)RtaType.RTA_ENCAP);
        writer.Address((ushort)LWTUNNEL_IP6_DST, Destination);
        writer.Address((ushort)LWTUNNEL_IP6_SRC, Source);
        writer.EndNest(nest);
        writer.UInt16((ushort)RtaType.RTA_ENCAP_TYPE, (ushort)LwtunnelEncap.LWTUNNEL_ENCAP_IP6);
    }

    internal static Ip6Encapsulation Parse(NetlinkAttributes attributes)
    {
        var encapsulation = default(Ip6Encapsulation);
        foreach (var attribute in attributes)
            encapsulation = (LwtunnelIp6)attribute.Type switch
            {
                LWTUNNEL_IP6_DST => encapsulation with { Destination = attribute.Address },
                LWTUNNEL_IP6_SRC => encapsulation with { Source = attribute.Address },
                _ => encapsulation,
            };
        return encapsulation;
    }
}
