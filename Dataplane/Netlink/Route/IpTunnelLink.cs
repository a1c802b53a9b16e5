using Overlay.PolicyEngine.Model;
using static Overlay.Dataplane.Netlink.Route.IflaIptun;

namespace Overlay.Dataplane.Netlink.Route;

/// <summary>
/// What is particular to a link that puts IP into IP: IFLA_INFO_DATA of the kinds <c>ipip</c> (IPv4 in IPv4), <c>sit</c> (IPv6 in IPv4) and <c>ip6tnl</c> (both in IPv6), in the words of
/// <c>ip link add … type ipip local ADDRESS ttl TTL</c>. Without a remote, each route says by its gateway or its encapsulation where its packets go.
/// </summary>
/// <param name="Kind">One of <see cref="Ipip"/>, <see cref="Sit"/> and <see cref="Ip6tnl"/>.</param>
public sealed record IpTunnelLink(string Kind)
{
    public const string Ipip = "ipip";
    public const string Sit = "sit";
    public const string Ip6tnl = "ip6tnl";

    /// <summary>Source address of the outer packets, and the only one that packets are taken at; null: any.</summary>
    public InetAddress? Local { get; init; }

    /// <summary>Where all packets go. Never set by us.</summary>
    public InetAddress? Remote { get; init; }

    /// <summary>TTL or hop limit of the outer packets; 0: that of the inner one.</summary>
    public byte Ttl { get; init; }

    /// <summary><c>external</c>: both outer addresses are the route's (RTA_ENCAP). One link of a kind and namespace can be so.</summary>
    public bool CollectMetadata { get; init; }

    /// <summary>Whether a link of this kind is read and written here.</summary>
    public static bool Has(string? kind) => kind is Ipip or Sit or Ip6tnl;

    internal void Write(NetlinkWriter writer)
    {
        if (CollectMetadata)
            writer.Flag((ushort)IFLA_IPTUN_COLLECT_METADATA);
        if (Local is { } local)
            writer.Address((ushort)IFLA_IPTUN_LOCAL, local);
        if (Remote is { } remote)
            writer.Address((ushort)IFLA_IPTUN_REMOTE, remote);
        if (Ttl != 0)
            writer.Byte((ushort)IFLA_IPTUN_TTL, Ttl);
    }

    internal static IpTunnelLink Parse(string kind, NetlinkAttributes attributes)
    {
        var link = new IpTunnelLink(kind);
        foreach (var attribute in attributes)
            link = (IflaIptun)attribute.Type switch
            {
                IFLA_IPTUN_LOCAL => link with { Local = Given(attribute.Address) },
                IFLA_IPTUN_REMOTE => link with { Remote = Given(attribute.Address) },
                IFLA_IPTUN_TTL => link with { Ttl = attribute.Byte },
                IFLA_IPTUN_COLLECT_METADATA => link with { CollectMetadata = true },
                _ => link,
            };
        return link;
    }

    // The kernel tells an address that is not set as zeros.
    private static InetAddress? Given(InetAddress address) => address == default || address == InetAddress.Parse("::") || address == InetAddress.Parse("0.0.0.0") ? null : address;
}
