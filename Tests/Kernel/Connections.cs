using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Conntrack;
using Overlay.Dataplane.Netlink.Netfilter;
using static Overlay.Dataplane.Netlink.Conntrack.Cta;

namespace Overlay.Tests.Kernel;

/// <summary>Connections that the kernel tracks though nobody has them.</summary>
internal static class Connections
{
    /// <summary>IPCTNL_MSG_CT_NEW with what creating takes; conntrack(8) makes one at a time.</summary>
    public static void Create(NetlinkSocket socket, IEnumerable<ConntrackTuple> tuples, ConntrackTuple? master = null)
    {
        const ushort CTA_PROTOINFO = 4, CTA_TIMEOUT = 7, CTA_PROTOINFO_TCP = 1, CTA_PROTOINFO_TCP_STATE = 1;
        using var writer = new NetlinkWriter();
        foreach (var batch in tuples.Chunk(256))
        {
            writer.Clear();
            var last = default(NetlinkMark);
            foreach (var tuple in batch)
            {
                last = writer.BeginMessage(Nfnetlink.NFNL_SUBSYS_CTNETLINK << 8, (ushort)(NlmF.NLM_F_REQUEST | NlmF.NLM_F_CREATE | NlmF.NLM_F_EXCL), socket.NextSequence());
                writer.Nfgenmsg(NfFamily.NFPROTO_IPV4, 0);
                tuple.Write(writer, CTA_TUPLE_ORIG);
                new ConntrackTuple(tuple.Destination, tuple.Source, tuple.Protocol, tuple.DestinationPort, tuple.SourcePort).Write(writer, CTA_TUPLE_REPLY);
                writer.UInt32BigEndian(CTA_TIMEOUT, 600);
                master?.Write(writer, CTA_TUPLE_MASTER);
                if (tuple.Protocol == 6)
                {
                    var info = writer.BeginNest(CTA_PROTOINFO.Nested());
                    var tcp = writer.BeginNest(CTA_PROTOINFO_TCP.Nested());
                    writer.Byte(CTA_PROTOINFO_TCP_STATE, 3);
                    writer.EndNest(tcp);
                    writer.EndNest(info);
                }
                writer.EndMessage(last);
            }
            writer.AddFlags(last, (ushort)NlmF.NLM_F_ACK);
            socket.Request(writer, "create connections");
        }
    }
}
