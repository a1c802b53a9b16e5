using System.Diagnostics;
using System.Globalization;
using System.Text;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Desired;

/// <summary>
/// Prints rows as ip(8) and bridge(8) show them. Routes read exactly as <c>ip route show proto 79</c> and <c>ip -6 route show proto 79</c>
/// print them, neighbours as <c>ip neigh show nud permanent</c>, forwarding entries as <c>bridge fdb show</c> (but for blanks at the end of a line);
/// links and addresses are that output cut down to what we decide.
/// </summary>
public static class NodeText
{
    /// <summary>All rows, one a line, under a comment for each table; every line ends with a line feed.</summary>
    public static string Print(NodeRows rows)
    {
        var text = new StringBuilder();
        Append(text, "ip link", rows.Links.Select(Print));
        Append(text, "ip address", rows.Addresses.Select(Print));
        Append(text, "ip neighbour", rows.Neighbors.Select(Print));
        Append(text, "bridge fdb", rows.Fdb.Select(Print));
        Append(text, "ip route", rows.Routes.Select(Print));
        return text.ToString();
    }

    /// <summary><c>overlay-vxlan mtu 1450 link/ether 02:… vxlan id 4096 local 192.0.2.1 dstport 4789 nolearning</c>.</summary>
    public static string Print(Link row) => row.SoftwareChecksums ? $"{Print(row with { SoftwareChecksums = false })} (ethtool: tx-checksumming off)" : row.Kind switch
    {
        LinkKind.Vxlan vxlan => $"{row.Name} mtu {row.Mtu} link/ether {row.Mac} vxlan id {vxlan.Vni} local {vxlan.Local} dstport {vxlan.Port} nolearning",
        LinkKind.Ipip ipip => $"{row.Name} mtu {row.Mtu} link/ipip {ipip.Local} ipip remote any local {ipip.Local} ttl 64",
        LinkKind.Sit sit => $"{row.Name} mtu {row.Mtu} link/sit {sit.Local} sit remote any local {sit.Local} ttl 64",
        LinkKind.Ip6tnl => $"{row.Name} mtu {row.Mtu} link/tunnel6 :: ip6tnl external",
        LinkKind.Unlike => $"{row.Name} mtu {row.Mtu} with parameters that are not ours",
        _ => throw new UnreachableException(),
    };

    /// <summary><c>inet 10.42.1.0/32 dev overlay-vxlan</c>.</summary>
    public static string Print(Address row) => $"{(row.Prefix.Family == Family.IPv4 ? "inet" : "inet6")} {row.Prefix} dev {row.Device}";

    /// <summary><c>10.42.2.0 dev overlay-vxlan lladdr 02:… PERMANENT</c>.</summary>
    public static string Print(Neighbor row) => $"{row.Key.Destination} dev {row.Key.Device} lladdr {row.LinkLayerAddress} PERMANENT";

    /// <summary><c>02:… dev overlay-vxlan dst 192.0.2.2 self permanent</c>.</summary>
    public static string Print(FdbEntry row) => $"{row.Key.LinkLayerAddress} dev {row.Key.Device} dst {row.Destination} self permanent";

    /// <summary><c>10.42.2.0/24 via 10.42.2.0 dev overlay-vxlan onlink</c>.</summary>
    public static string Print(Route row)
    {
        var v6 = row.Destination.Family == Family.IPv6;
        var isHost = row.Destination.PrefixLength == row.Destination.Family.Bits();
        var text = new StringBuilder();
        if (row.Type != RouteType.Unicast)
            text.Append(row.Type.ToString().ToLowerInvariant()).Append(' ');
        text.Append(isHost ? row.Destination.Address.ToString() : row.Destination.ToString());
        if (row.Outer is { } outer)
            text.Append(CultureInfo.InvariantCulture, $"  encap ip6 id 0 src {outer.Source} dst {outer.Destination} hoplimit 0 tc 0");
        if (row.Gateway is { } gateway)
            text.Append(CultureInfo.InvariantCulture, $" via {(gateway.Family == row.Destination.Family ? "" : "inet6 ")}{gateway}");
        if (row.Device is not null || v6)
            text.Append(" dev ").Append(row.Device ?? "lo"); // the kernel hangs IPv6's routes to nowhere on the loopback device
        if (row.Gateway is null && row.Type == RouteType.Unicast && !v6)
            text.Append(" scope link");
        if (row.Source is { } source)
            text.Append(CultureInfo.InvariantCulture, $" src {source}");
        if (v6 || row.Metric != 0)
            text.Append(CultureInfo.InvariantCulture, $" metric {row.Metric}");
        if (row.Gateway is not null)
            text.Append(" onlink");
        if (v6)
            text.Append(" pref medium");
        return text.ToString();
    }

    private static void Append(StringBuilder text, string table, IEnumerable<string> rows)
    {
        text.Append("# ").Append(table).Append('\n');
        foreach (var row in rows)
            text.Append(row).Append('\n');
    }
}
