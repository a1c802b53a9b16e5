using Overlay.Dataplane.Netlink.Netfilter;
using static Overlay.Dataplane.Netlink.Conntrack.Cta;
using static Overlay.Dataplane.Netlink.Conntrack.IpctnlMsg;
using static Overlay.Dataplane.Netlink.NlmF;

namespace Overlay.Dataplane.Netlink.Conntrack;

/// <summary>A connection that the kernel tracks, as far as we look at it. A value without heap.</summary>
/// <param name="Original">Packets of whoever began, before address translation.</param>
/// <param name="Reply">Packets of the other end: their source is the original destination after translation.</param>
/// <param name="Status">IPS_*.</param>
/// <param name="Mark"><c>ct mark</c>.</param>
/// <param name="Zone">Zone of both directions; 0 for the default.</param>
public readonly record struct ConntrackMessage(ConntrackTuple Original, ConntrackTuple Reply, IpConntrackStatus Status, uint Mark, ushort Zone = 0)
{
    // struct nfgenmsg
    private const int HeaderLength = 4;

    /// <summary>Reads IPCTNL_MSG_CT_NEW.</summary>
    /// <exception cref="NetlinkFormatException">It is malformed.</exception>
    public static ConntrackMessage Parse(NetlinkMessage message)
    {
        ConntrackTuple original = default, reply = default;
        var (status, mark, zone) = (IpConntrackStatus.None, 0u, (ushort)0);
        foreach (var attribute in message.AttributesAfter(HeaderLength))
            switch (attribute.Type)
            {
                case CTA_TUPLE_ORIG:
                    original = ConntrackTuple.Read(attribute);
                    break;
                case CTA_TUPLE_REPLY:
                    reply = ConntrackTuple.Read(attribute);
                    break;
                case CTA_STATUS:
                    status = (IpConntrackStatus)attribute.UInt32BigEndian;
                    break;
                case CTA_MARK:
                    mark = attribute.UInt32BigEndian;
                    break;
                case CTA_ZONE:
                    zone = attribute.UInt16BigEndian;
                    break;
            }
        return new(original, reply, status, mark, zone);
    }

    /// <summary>
    /// Passes every connection of the namespace to <paramref name="collect"/>, which keeps what it wants. Connections that come or go meanwhile may be missing or come twice.
    /// Equivalent to: <c>conntrack -L [-f FAMILY] [-m MARK/MASK]</c>.
    /// </summary>
    /// <param name="socket">NETLINK_NETFILTER.</param>
    /// <param name="collect">Reads one reply; called again from the start, with an empty list, when the answer was cut short.</param>
    /// <param name="mark">Bits of <c>ct mark</c> of which the kernel shall only list connections that have them all; 0 for every connection.</param>
    /// <exception cref="NetlinkException">The kernel refuses, or has no ctnetlink (CONFIG_NF_CT_NETLINK).</exception>
    public static List<T> Dump<T>(NetlinkSocket socket, NetlinkCollector<T> collect, uint mark = 0)
    {
        using var writer = new NetlinkWriter();
        WriteDump(writer, socket.NextSequence(), NfFamily.NFPROTO_UNSPEC, mark, mark);
        return socket.Query(writer, collect, "IPCTNL_MSG_CT_GET dump");
    }

    /// <summary>Equivalent to: <c>conntrack -L -f FAMILY -m MARK/MASK</c>; without the last when the mask is 0.</summary>
    internal static void WriteDump(NetlinkWriter writer, uint sequence, NfFamily family, uint mark, uint mask)
    {
        var message = Begin(writer, IPCTNL_MSG_CT_GET, NLM_F_REQUEST | NLM_F_DUMP, sequence, family);
        if (mask != 0)
        {
            writer.UInt32BigEndian(CTA_MARK, mark);
            writer.UInt32BigEndian(CTA_MARK_MASK, mask);
        }
        writer.EndMessage(message);
    }

    /// <summary>
    /// Changes the bits of <paramref name="mask"/> in the connection's mark and leaves the others as they are at that moment; conntrack(8) can only write all of them.
    /// ENOENT when the connection is gone.
    /// </summary>
    /// <returns>The message, for NLM_F_ACK, which it does not carry.</returns>
    internal NetlinkMark WriteMark(NetlinkWriter writer, uint sequence, uint mark, uint mask)
    {
        var message = Begin(writer, IPCTNL_MSG_CT_NEW, NLM_F_REQUEST, sequence, FamilyOfOriginal);
        Original.Write(writer, CTA_TUPLE_ORIG);
        writer.UInt32BigEndian(CTA_MARK, mark);
        writer.UInt32BigEndian(CTA_MARK_MASK, mask);
        if (Zone != 0)
            writer.UInt16BigEndian(CTA_ZONE, Zone);
        writer.EndMessage(message);
        return message;
    }

    /// <summary>Forgets the connection. Equivalent to: <c>conntrack -D</c> with all that names it. ENOENT when it is gone.</summary>
    /// <returns>The message, for NLM_F_ACK, which it does not carry.</returns>
    internal NetlinkMark WriteDelete(NetlinkWriter writer, uint sequence)
    {
        var message = Begin(writer, IPCTNL_MSG_CT_DELETE, NLM_F_REQUEST, sequence, FamilyOfOriginal);
        Original.Write(writer, CTA_TUPLE_ORIG);
        if (Zone != 0)
            writer.UInt16BigEndian(CTA_ZONE, Zone);
        writer.EndMessage(message);
        return message;
    }

    private NfFamily FamilyOfOriginal => Original.Source.Family == PolicyEngine.Model.Family.IPv4 ? NfFamily.NFPROTO_IPV4 : NfFamily.NFPROTO_IPV6;

    private static NetlinkMark Begin(NetlinkWriter writer, IpctnlMsg type, NlmF flags, uint sequence, NfFamily family)
    {
        var message = writer.BeginMessage((ushort)(Nfnetlink.NFNL_SUBSYS_CTNETLINK << 8 | (byte)type), (ushort)flags, sequence);
        writer.Nfgenmsg(family, 0);
        return message;
    }
}
