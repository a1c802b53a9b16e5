using static Overlay.Dataplane.Netlink.Netfilter.NftaGen;

namespace Overlay.Dataplane.Netlink.Netfilter;

/// <summary>NFT_MSG_GETGEN: the number of the ruleset's generation; every transaction in the network namespace, of whomever, counts it up.</summary>
internal static class GenerationMessage
{
    /// <exception cref="NetlinkException">The kernel refused.</exception>
    internal static uint Query(NetlinkSocket socket)
    {
        using var question = new NetlinkWriter();
        var message = question.BeginMessage((ushort)(Nfnetlink.NFNL_SUBSYS_NFTABLES << 8 | (byte)NftMsgType.NFT_MSG_GETGEN), (ushort)(NlmF.NLM_F_REQUEST | NlmF.NLM_F_ACK), socket.NextSequence());
        question.Nfgenmsg(NfFamily.NFPROTO_UNSPEC, 0);
        question.EndMessage(message);
        var generations = socket.Query<uint>(question, Read, "NFT_MSG_GETGEN");
        return generations.Count > 0 ? generations[0] : throw new NetlinkFormatException("The answer to NFT_MSG_GETGEN has no NFTA_GEN_ID.");
    }

    private static void Read(NetlinkMessage message, List<uint> rows)
    {
        foreach (var attribute in Nfnetlink.Attributes(message))
            if (attribute.Type == NFTA_GEN_ID)
                rows.Add(attribute.UInt32BigEndian);
    }
}
