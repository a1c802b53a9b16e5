namespace Overlay.Dataplane.Netlink.Netfilter;

/// <summary>A table of nftables, or a chain in one, of whomever and of whichever family: its name alone.</summary>
/// <param name="Family">NFPROTO_* of the table.</param>
/// <param name="Table">NFTA_TABLE_NAME.</param>
/// <param name="Chain">NFTA_CHAIN_NAME; empty for the table itself.</param>
public readonly record struct NftName(NfFamily Family, string Table, string Chain)
{
    /// <summary>As nft(8) calls the family.</summary>
    public string FamilyName => Family switch
    {
        NfFamily.NFPROTO_IPV4 => "ip",
        NfFamily.NFPROTO_IPV6 => "ip6",
        NfFamily.NFPROTO_INET => "inet",
        _ => $"family-{(byte)Family}",
    };

    /// <summary>Every table and chain of the network namespace. Equivalent to: <c>nft list tables; nft list chains</c>.</summary>
    /// <param name="socket">NETLINK_NETFILTER.</param>
    /// <exception cref="NetlinkException">The kernel refuses (EPERM: CAP_NET_ADMIN is needed).</exception>
    public static List<NftName> Dump(NetlinkSocket socket) => [.. Dump(socket, NftMsgType.NFT_MSG_GETTABLE), .. Dump(socket, NftMsgType.NFT_MSG_GETCHAIN)];

    private static List<NftName> Dump(NetlinkSocket socket, NftMsgType type)
    {
        ArgumentNullException.ThrowIfNull(socket);
        using var question = new NetlinkWriter();
        var message = question.BeginMessage((ushort)(Nfnetlink.NFNL_SUBSYS_NFTABLES << 8 | (byte)type), (ushort)(NlmF.NLM_F_REQUEST | NlmF.NLM_F_DUMP), socket.NextSequence());
        question.Nfgenmsg(NfFamily.NFPROTO_UNSPEC, 0);
        question.EndMessage(message);
        return socket.Query<NftName>(question, type == NftMsgType.NFT_MSG_GETTABLE ? ReadTable : ReadChain, type.ToString());
    }

    private static void ReadTable(NetlinkMessage message, List<NftName> rows)
    {
        foreach (var attribute in Nfnetlink.Attributes(message))
            if (attribute.Type == NftaTable.NFTA_TABLE_NAME)
                rows.Add(new((NfFamily)message.Payload[0], attribute.String, ""));
    }

    private static void ReadChain(NetlinkMessage message, List<NftName> rows)
    {
        var (table, chain) = ("", "");
        foreach (var attribute in Nfnetlink.Attributes(message))
            switch (attribute.Type)
            {
                case NftaChain.NFTA_CHAIN_TABLE:
                    table = attribute.String;
                    break;
                case NftaChain.NFTA_CHAIN_NAME:
                    chain = attribute.String;
                    break;
            }
        rows.Add(new((NfFamily)message.Payload[0], table, chain));
    }
}
