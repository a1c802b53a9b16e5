using Overlay.PolicyEngine.Model;
using static Overlay.Dataplane.Netlink.NlmF;
using static Overlay.Dataplane.Netlink.Route.RtaType;
using static Overlay.Dataplane.Netlink.Route.RtmType;

namespace Overlay.Dataplane.Netlink.Route;

/// <summary>A route as the kernel tells it (RTM_NEWROUTE), and the requests about routes: <c>ip route</c>.</summary>
public sealed record RouteMessage
{
    // struct rtmsg { unsigned char rtm_family, rtm_dst_len, rtm_src_len, rtm_tos, rtm_table, rtm_protocol, rtm_scope, rtm_type; unsigned rtm_flags; };
    private const int HeaderLength = 12;

    public RouteMessage()
    {
    }

    private RouteMessage(NetlinkMessage message)
    {
        var header = message.Header(HeaderLength);
        Table = (RtTable)header[4];
        Protocol = (Rtprot)header[5];
        Scope = (RtScope)header[6];
        Type = (Rtn)header[7];
        Flags = (RtnhF)BitConverter.ToUInt32(header[8..]);
        InetAddress? destination = null;
        var isIp6 = false;
        byte[]? encapsulation = null;
        foreach (var attribute in message.AttributesAfter(HeaderLength))
            switch ((RtaType)attribute.Type)
            {
                case RTA_DST:
                    destination = attribute.Address;
                    break;
                case RTA_GATEWAY:
                    Gateway = attribute.Address;
                    break;
                case RTA_VIA:
                    Gateway = Via(attribute.Value);
                    break;
                case RTA_ENCAP_TYPE:
                    isIp6 = (LwtunnelEncap)attribute.UInt16 == LwtunnelEncap.LWTUNNEL_ENCAP_IP6;
                    break;
                case RTA_ENCAP:
                    encapsulation = attribute.Value.ToArray();
                    break;
                case RTA_PREFSRC:
                    PrefSrc = attribute.Address;
                    break;
                case RTA_PRIORITY:
                    Priority = attribute.UInt32;
                    break;
                case RTA_TABLE:
                    Table = (RtTable)attribute.UInt32;
                    break;
                case RTA_OIF:
                    OutputInterface = (int)attribute.UInt32;
                    break;
            }
        Destination = RouteFamily.Prefix(destination, header[0], header[1]);
        if (isIp6 && encapsulation is not null)
            Encapsulation = Ip6Encapsulation.Parse(new NetlinkAttributes(encapsulation));
    }

    public Cidr Destination { get; init; }

    public Rtn Type { get; init; } = Rtn.RTN_UNICAST;

    /// <summary>Next hop. An IPv4 route may have an IPv6 one (RTA_VIA), not the other way round.</summary>
    public InetAddress? Gateway { get; init; }

    /// <summary>The outer packet's addresses, on an <c>external</c> ip6tnl link.</summary>
    public Ip6Encapsulation? Encapsulation { get; init; }

    /// <summary>Index of the output device. The kernel reports loopback (1) for IPv6 routes of a type other than unicast.</summary>
    public int? OutputInterface { get; init; }

    public Rtprot Protocol { get; init; } = Rtprot.RTPROT_BOOT;

    public RtTable Table { get; init; } = RtTable.RT_TABLE_MAIN;

    /// <summary>Null when writing: as ip(8) chooses it, <c>link</c> for an IPv4 unicast route without gateway, else <c>global</c>. IPv6 has none.</summary>
    public RtScope? Scope { get; init; }

    /// <summary>Source address of what this node itself sends along the route.</summary>
    public InetAddress? PrefSrc { get; init; }

    /// <summary>The metric. Null when writing: 0 for IPv4; IPv6 makes it 1024, and a delete without it matches every metric.</summary>
    public uint? Priority { get; init; }

    /// <summary>RTNH_F_ONLINK: the gateway is on the link though no address or route says so.</summary>
    public RtnhF Flags { get; init; }

    /// <summary>Reads RTM_NEWROUTE or RTM_DELROUTE.</summary>
    /// <exception cref="NetlinkFormatException">It is malformed.</exception>
    public static RouteMessage Parse(NetlinkMessage message) => new(message);

    /// <summary>
    /// The routes of one table of a family, of one protocol unless that is RTPROT_UNSPEC. Equivalent to:
    /// <c>ip -4|-6 route show table TABLE [proto PROTOCOL]</c>. The kernel filters, so that the cost is that of what is found.
    /// </summary>
    /// <exception cref="NetlinkException">The kernel refuses.</exception>
    public static List<RouteMessage> Dump(NetlinkSocket socket, Family family, Rtprot protocol = Rtprot.RTPROT_UNSPEC, RtTable table = RtTable.RT_TABLE_MAIN)
    {
        using var writer = new NetlinkWriter();
        WriteDump(writer, socket.NextSequence(), family, protocol, table);
        try
        {
            return socket.Query<RouteMessage>(writer, static (reply, rows) => rows.Add(Parse(reply)), $"RTM_GETROUTE dump of table {table}");
        }
        catch (NetlinkException exception) when (exception.Errno == Errno.ENOENT)
        {
            return []; // A table comes into being with its first route.
        }
    }

    /// <summary>The way that a packet to <paramref name="destination"/> would take, null when there is none. Equivalent to: <c>ip route get DESTINATION</c>.</summary>
    /// <exception cref="NetlinkException">The kernel refuses for another reason.</exception>
    public static RouteMessage? Get(NetlinkSocket socket, InetAddress destination)
    {
        using var writer = new NetlinkWriter();
        WriteGet(writer, socket.NextSequence(), destination);
        try
        {
            return socket.Query<RouteMessage>(writer, static (reply, rows) => rows.Add(Parse(reply)), $"RTM_GETROUTE {destination}").FirstOrDefault();
        }
        catch (NetlinkException exception) when (exception.Errno is Errno.ENETUNREACH or Errno.EHOSTUNREACH or Errno.EINVAL or Errno.EACCES)
        {
            return null; // none; or unreachable, blackhole and prohibit, which are told by errors of their own
        }
    }

    internal static void WriteGet(NetlinkWriter writer, uint sequence, InetAddress destination)
    {
        var message = writer.BeginMessage((ushort)RTM_GETROUTE, (ushort)(NLM_F_REQUEST | NLM_F_ACK), sequence);
        var header = writer.Reserve(HeaderLength);
        header[0] = (byte)destination.Family.ToAf();
        header[1] = (byte)destination.Family.Bits();
        writer.Address((ushort)RTA_DST, destination);
        writer.EndMessage(message);
    }

    /// <summary>Equivalent to: <c>ip route replace …</c>: one with the same prefix, table and metric makes way.</summary>
    public static void WriteReplace(NetlinkWriter writer, uint sequence, RouteMessage route) =>
        route.Write(writer, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, sequence, route.Scope ?? route.ChosenScope);

    /// <summary>Equivalent to: <c>ip route add …</c>. EEXIST when there is one with the same prefix, table and metric.</summary>
    public static void WriteNew(NetlinkWriter writer, uint sequence, RouteMessage route) =>
        route.Write(writer, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sequence, route.Scope ?? route.ChosenScope);

    /// <summary>Equivalent to: <c>ip route delete TYPE …</c>: the first that agrees in everything given here. ESRCH when there is none.</summary>
    public static void WriteDelete(NetlinkWriter writer, uint sequence, RouteMessage route) =>
        route.Write(writer, RTM_DELROUTE, None, sequence, AnyScope(route.Destination.Family));

    internal static void WriteDump(NetlinkWriter writer, uint sequence, Family family, Rtprot protocol, RtTable table)
    {
        var message = writer.BeginMessage((ushort)RTM_GETROUTE, (ushort)(NLM_F_REQUEST | NLM_F_DUMP), sequence);
        var header = writer.Reserve(HeaderLength);
        header[0] = (byte)family.ToAf();
        header[5] = (byte)protocol;
        writer.UInt32((ushort)RTA_TABLE, (uint)table);
        writer.EndMessage(message);
    }

    /// <summary>As <c>ip route show</c>, with the device's index.</summary>
    public override string ToString() =>
        (Type == Rtn.RTN_UNICAST ? "" : $"{Type.ToString()[4..].ToLowerInvariant()} ") + Destination +
        (Encapsulation is { } encapsulation ? $" encap ip6 src {encapsulation.Source} dst {encapsulation.Destination}" : "") +
        (Gateway is { } gateway ? $" via {(gateway.Family == Destination.Family ? "" : "inet6 ")}{gateway}" : "") + (OutputInterface is { } device ? $" dev {device}" : "") + $" proto {(byte)Protocol}" +
        (PrefSrc is { } source ? $" src {source}" : "") + (Priority is { } metric ? $" metric {metric}" : "") +
        ((Flags & RtnhF.RTNH_F_ONLINK) != 0 ? " onlink" : "");

    private RtScope ChosenScope => Type == Rtn.RTN_UNICAST && Gateway is null && Destination.Family == Family.IPv4
        ? RtScope.RT_SCOPE_LINK
        : RtScope.RT_SCOPE_UNIVERSE;

    // In a delete, scope nowhere matches any; IPv6 has no scopes.
    private static RtScope AnyScope(Family family) => family == Family.IPv4 ? RtScope.RT_SCOPE_NOWHERE : RtScope.RT_SCOPE_UNIVERSE;

    private void Write(NetlinkWriter writer, RtmType message, NlmF flags, uint sequence, RtScope scope)
    {
        var mark = writer.BeginMessage((ushort)message, (ushort)(NLM_F_REQUEST | NLM_F_ACK | flags), sequence);
        var header = writer.Reserve(HeaderLength);
        header[0] = (byte)Destination.Family.ToAf();
        header[1] = (byte)Destination.PrefixLength;
        header[4] = Table <= (RtTable)byte.MaxValue ? (byte)Table : (byte)RtTable.RT_TABLE_UNSPEC;
        header[5] = (byte)Protocol;
        header[6] = (byte)scope;
        header[7] = (byte)Type;
        BitConverter.TryWriteBytes(header[8..], (uint)Flags);
        if (Destination.PrefixLength > 0)
            writer.Address((ushort)RTA_DST, Destination.Address);
        if (Gateway is { } gateway && gateway.Family == Destination.Family)
            writer.Address((ushort)RTA_GATEWAY, gateway);
        else if (Gateway is { } other)
            WriteVia(writer, other);
        Encapsulation?.Write(writer);
        if (PrefSrc is { } source)
            writer.Address((ushort)RTA_PREFSRC, source);
        if (Priority is { } metric)
            writer.UInt32((ushort)RTA_PRIORITY, metric);
        if (Table > (RtTable)byte.MaxValue)
            writer.UInt32((ushort)RTA_TABLE, (uint)Table);
        if (OutputInterface is { } device)
            writer.UInt32((ushort)RTA_OIF, (uint)device);
        writer.EndMessage(mark);
    }

    // struct rtvia { __kernel_sa_family_t rtvia_family; __u8 rtvia_addr[]; };
    private static InetAddress Via(ReadOnlySpan<byte> value) => value.Length is sizeof(ushort) + 4 or sizeof(ushort) + 16
        ? InetAddress.FromBytes(value[sizeof(ushort)..])
        : throw new NetlinkFormatException($"RTA_VIA has {value.Length} bytes where a family and an address are expected.");

    private static void WriteVia(NetlinkWriter writer, InetAddress gateway)
    {
        var via = writer.Attribute((ushort)RTA_VIA, sizeof(ushort) + gateway.Length);
        BitConverter.TryWriteBytes(via, (ushort)gateway.Family.ToAf());
        gateway.WriteTo(via[sizeof(ushort)..]);
    }
}
