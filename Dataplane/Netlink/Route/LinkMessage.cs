using Overlay.Dataplane.Desired;
using static Overlay.Dataplane.Netlink.NlmF;
using static Overlay.Dataplane.Netlink.Route.IflaType;
using static Overlay.Dataplane.Netlink.Route.RtmType;

namespace Overlay.Dataplane.Netlink.Route;

/// <summary>A link as the kernel tells it (RTM_NEWLINK), and the requests about links: <c>ip link</c>.</summary>
public sealed record LinkMessage
{
    // struct ifinfomsg { unsigned char ifi_family, __ifi_pad; unsigned short ifi_type; int ifi_index; unsigned ifi_flags, ifi_change; };
    internal const int HeaderLength = 16;

    /// <summary><see cref="Kind"/> of a device that <see cref="WriteNewIfb"/> makes.</summary>
    public const string Ifb = "ifb";

    public LinkMessage()
    {
    }

    private LinkMessage(NetlinkMessage message)
    {
        var header = message.Header(HeaderLength);
        Index = BitConverter.ToInt32(header[4..]);
        Flags = (Iff)BitConverter.ToUInt32(header[8..]);
        foreach (var attribute in message.AttributesAfter(HeaderLength))
            switch ((IflaType)attribute.Type)
            {
                case IFLA_IFNAME:
                    Name = attribute.String;
                    break;
                case IFLA_ADDRESS:
                    // Tunnels of other kinds have IP addresses here.
                    Address = attribute.Value.Length == 6 ? MacAddress.FromBytes(attribute.Value) : null;
                    break;
                case IFLA_MTU:
                    Mtu = (int)attribute.UInt32;
                    break;
                case IFLA_LINK:
                    Link = (int)attribute.UInt32;
                    break;
                case IFLA_LINK_NETNSID:
                    LinkNetnsid = (int)attribute.UInt32;
                    break;
                case IFLA_MASTER:
                    Master = (int)attribute.UInt32;
                    break;
                case IFLA_IFALIAS:
                    Alias = attribute.String;
                    break;
                case IFLA_GROUP:
                    Group = attribute.UInt32;
                    break;
                case IFLA_AF_SPEC:
                    AddrGenMode = ParseAddrGenMode(attribute.Nested);
                    break;
                case IFLA_LINKINFO:
                    (Kind, Vxlan, IpTunnel) = ParseLinkInfo(attribute.Nested);
                    break;
            }
    }

    public int Index { get; init; }

    public string Name { get; init; } = "";

    public Iff Flags { get; init; }

    public MacAddress? Address { get; init; }

    public int Mtu { get; init; }

    /// <summary>Index of the other end of a veth, or of the device below; in the namespace <see cref="LinkNetnsid"/>, if that is given.</summary>
    public int? Link { get; init; }

    public int? LinkNetnsid { get; init; }

    public int? Master { get; init; }

    public string? Alias { get; init; }

    public uint Group { get; init; }

    public In6AddrGenMode? AddrGenMode { get; init; }

    /// <summary>IFLA_INFO_KIND: <c>veth</c>, <c>vxlan</c>, <c>bridge</c> …; null for hardware and loopback.</summary>
    public string? Kind { get; init; }

    /// <summary>When <see cref="Kind"/> is <c>vxlan</c>.</summary>
    public VxlanLink? Vxlan { get; init; }

    /// <summary>When <see cref="Kind"/> is <c>ipip</c>, <c>sit</c> or <c>ip6tnl</c>.</summary>
    public IpTunnelLink? IpTunnel { get; init; }

    public bool IsUp => (Flags & Iff.IFF_UP) != 0;

    /// <summary>Reads RTM_NEWLINK or RTM_DELLINK.</summary>
    /// <exception cref="NetlinkFormatException">It is malformed.</exception>
    public static LinkMessage Parse(NetlinkMessage message) => new(message);

    /// <summary>Every link of the namespace, of one kind where <paramref name="kind"/> is given. Equivalent to: <c>ip -d link show [type KIND]</c>.</summary>
    /// <exception cref="NetlinkException">The kernel refuses.</exception>
    public static List<LinkMessage> Dump(NetlinkSocket socket, string? kind = null)
    {
        using var writer = new NetlinkWriter();
        WriteGet(writer, NLM_F_DUMP, socket.NextSequence(), new LinkSettings(), kind);
        var links = socket.Query<LinkMessage>(writer, static (message, rows) => rows.Add(Parse(message)), "RTM_GETLINK dump");
        if (kind is not null)
            links.RemoveAll(link => link.Kind != kind); // A kernel that does not know the kind yet, its module not being loaded, sends all.
        return links;
    }

    /// <summary>The link of that name, null when there is none. Equivalent to: <c>ip -d link show dev NAME</c>.</summary>
    /// <exception cref="NetlinkException">The kernel refuses.</exception>
    public static LinkMessage? Get(NetlinkSocket socket, string name) => Get(socket, new LinkSettings { Name = name }, name);

    /// <summary>The link of that index, null when there is none.</summary>
    /// <exception cref="NetlinkException">The kernel refuses.</exception>
    public static LinkMessage? Get(NetlinkSocket socket, int index) => Get(socket, new LinkSettings { Index = index }, $"{index}");

    /// <summary>
    /// Equivalent to: <c>ip link add NAME … type veth peer name PEER netns NS …</c>: both ends at once, each with index, address, MTU, group
    /// and namespace of its own. Only the near end may be up from the start (for the peer the kernel says ENOTCONN).
    /// </summary>
    public static void WriteNewVeth(NetlinkWriter writer, uint sequence, LinkSettings link, LinkSettings peer)
    {
        peer.CheckForCreation();
        var open = BeginNew(writer, sequence, link, "veth");
        var data = writer.BeginNest((ushort)IflaInfo.IFLA_INFO_DATA);
        var nest = writer.BeginNest((ushort)VethInfo.VETH_INFO_PEER);
        peer.WriteHeader(writer);
        peer.WriteAttributes(writer);
        writer.EndNest(nest);
        writer.EndNest(data);
        EndNew(writer, open);
    }

    /// <summary>Equivalent to: <c>ip link add NAME … type vxlan id VNI dstport PORT local ADDRESS nolearning …</c>.</summary>
    public static void WriteNewVxlan(NetlinkWriter writer, uint sequence, LinkSettings link, VxlanLink vxlan) =>
        WriteNew(writer, sequence, link, VxlanLink.Kind, vxlan.Write);

    /// <summary>Equivalent to: <c>ip link add NAME … type ipip|sit|ip6tnl local ADDRESS ttl TTL [external]</c>.</summary>
    public static void WriteNewIpTunnel(NetlinkWriter writer, uint sequence, LinkSettings link, IpTunnelLink tunnel) =>
        WriteNew(writer, sequence, link, tunnel.Kind, tunnel.Write);

    /// <summary>Equivalent to: <c>ip link add NAME … type bridge</c>.</summary>
    public static void WriteNewBridge(NetlinkWriter writer, uint sequence, LinkSettings link) =>
        EndNew(writer, BeginNew(writer, sequence, link, "bridge"));

    /// <summary>Equivalent to: <c>ip link add NAME … type ifb</c>: a device that gives back what is redirected to it, through its own queueing discipline.</summary>
    public static void WriteNewIfb(NetlinkWriter writer, uint sequence, LinkSettings link) =>
        EndNew(writer, BeginNew(writer, sequence, link, Ifb));

    /// <summary>Equivalent to: <c>ip link set DEV up|down name … netns … address … mtu … alias … group … addrgenmode … master …</c>.</summary>
    public static void WriteSet(NetlinkWriter writer, uint sequence, LinkSettings link)
    {
        var message = writer.BeginMessage((ushort)RTM_NEWLINK, (ushort)(NLM_F_REQUEST | NLM_F_ACK), sequence);
        link.WriteHeader(writer);
        link.WriteAttributes(writer);
        writer.EndMessage(message);
    }

    /// <summary>Equivalent to: <c>ip link delete dev DEV</c>. Costs an RCU grace period, 10 to 30 ms; see <see cref="WriteDeleteGroup"/>.</summary>
    public static void WriteDelete(NetlinkWriter writer, uint sequence, int index) =>
        WriteDelete(writer, sequence, new LinkSettings { Index = index });

    /// <summary>Equivalent to: <c>ip link delete group GROUP</c>: one grace period for all of them. ENODEV when the group is empty.</summary>
    public static void WriteDeleteGroup(NetlinkWriter writer, uint sequence, uint group) =>
        WriteDelete(writer, sequence, new LinkSettings { Group = group });

    private static void WriteDelete(NetlinkWriter writer, uint sequence, LinkSettings link)
    {
        // Index 0 and group 0 would be every link of the namespace.
        if (link.Index == 0 && link.Group is null or 0)
            throw new ArgumentException("Neither index 0 nor group 0 can be deleted.");
        var message = writer.BeginMessage((ushort)RTM_DELLINK, (ushort)(NLM_F_REQUEST | NLM_F_ACK), sequence);
        link.WriteHeader(writer);
        link.WriteAttributes(writer);
        writer.EndMessage(message);
    }

    internal static void WriteGet(NetlinkWriter writer, NlmF flags, uint sequence, LinkSettings link, string? kind = null)
    {
        var message = writer.BeginMessage((ushort)RTM_GETLINK, (ushort)(NLM_F_REQUEST | flags), sequence);
        link.WriteHeader(writer);
        link.WriteAttributes(writer);
        writer.UInt32((ushort)IFLA_EXT_MASK, (uint)RtextFilter.RTEXT_FILTER_SKIP_STATS);
        if (kind is not null)
        {
            var info = writer.BeginNest((ushort)IFLA_LINKINFO | (ushort)NlaF.NLA_F_NESTED);
            writer.String((ushort)IflaInfo.IFLA_INFO_KIND, kind);
            writer.EndNest(info);
        }
        writer.EndMessage(message);
    }

    private static LinkMessage? Get(NetlinkSocket socket, LinkSettings link, string name)
    {
        using var writer = new NetlinkWriter();
        WriteGet(writer, NLM_F_ACK, socket.NextSequence(), link);
        try
        {
            return socket.Query<LinkMessage>(writer, static (message, rows) => rows.Add(Parse(message)), $"RTM_GETLINK {name}").FirstOrDefault();
        }
        catch (NetlinkException exception) when (exception.Errno == Errno.ENODEV)
        {
            return null;
        }
    }

    private static void WriteNew(NetlinkWriter writer, uint sequence, LinkSettings link, string kind, Action<NetlinkWriter> writeData)
    {
        var open = BeginNew(writer, sequence, link, kind);
        var data = writer.BeginNest((ushort)IflaInfo.IFLA_INFO_DATA);
        writeData(writer);
        writer.EndNest(data);
        EndNew(writer, open);
    }

    private static (NetlinkMark Message, NetlinkMark Info) BeginNew(NetlinkWriter writer, uint sequence, LinkSettings link, string kind)
    {
        link.CheckForCreation();
        var message = writer.BeginMessage((ushort)RTM_NEWLINK, (ushort)(NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL), sequence);
        link.WriteHeader(writer);
        link.WriteAttributes(writer);
        var info = writer.BeginNest((ushort)IFLA_LINKINFO);
        writer.Bytes((ushort)IflaInfo.IFLA_INFO_KIND, System.Text.Encoding.ASCII.GetBytes(kind));
        return (message, info);
    }

    private static void EndNew(NetlinkWriter writer, (NetlinkMark Message, NetlinkMark Info) open)
    {
        writer.EndNest(open.Info);
        writer.EndMessage(open.Message);
    }

    private static (string? Kind, VxlanLink? Vxlan, IpTunnelLink? IpTunnel) ParseLinkInfo(NetlinkAttributes info)
    {
        string? kind = null;
        VxlanLink? vxlan = null;
        IpTunnelLink? tunnel = null;
        foreach (var attribute in info)
            switch ((IflaInfo)attribute.Type)
            {
                case IflaInfo.IFLA_INFO_KIND:
                    kind = attribute.String;
                    break;
                case IflaInfo.IFLA_INFO_DATA when kind == VxlanLink.Kind: // The kernel writes the kind first.
                    vxlan = VxlanLink.Parse(attribute.Nested);
                    break;
                case IflaInfo.IFLA_INFO_DATA when IpTunnelLink.Has(kind):
                    tunnel = IpTunnelLink.Parse(kind!, attribute.Nested);
                    break;
            }
        return (kind, vxlan, tunnel);
    }

    private static In6AddrGenMode? ParseAddrGenMode(NetlinkAttributes families)
    {
        foreach (var family in families)
            if ((Af)family.Type == Af.AF_INET6)
                foreach (var attribute in family.Nested)
                    if ((IflaInet6)attribute.Type == IflaInet6.IFLA_INET6_ADDR_GEN_MODE)
                        return (In6AddrGenMode)attribute.Byte;
        return null;
    }
}
