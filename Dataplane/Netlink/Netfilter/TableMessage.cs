using Overlay.PolicyEngine.Nftables;
using static Overlay.Dataplane.Netlink.Netfilter.NftaTable;

namespace Overlay.Dataplane.Netlink.Netfilter;

/// <summary>NFT_MSG_*TABLE about our table.</summary>
/// <param name="Flags">NFT_TABLE_F_DORMANT takes all its chains off their hooks.</param>
public sealed record TableMessage(NftTableFlags Flags)
{
    /// <summary>Equivalent to: <c>nft add table inet overlay</c>, or another <paramref name="table"/>. For a table that exists it sets the flags.</summary>
    internal void WriteNew(Batch batch, string table = Ruleset.Table)
    {
        var message = batch.BeginMessage(NftMsgType.NFT_MSG_NEWTABLE, NlmF.None, new(NftObjectKind.Table, table));
        batch.Writer.String(NFTA_TABLE_NAME, table);
        batch.Writer.UInt32BigEndian(NFTA_TABLE_FLAGS, (uint)Flags);
        batch.EndMessage(message);
    }

    /// <summary>Equivalent to: <c>nft delete table inet overlay</c>, or another <paramref name="table"/>: the table with all that is in it.</summary>
    internal static void WriteDelete(Batch batch, string table = Ruleset.Table)
    {
        var message = batch.BeginMessage(NftMsgType.NFT_MSG_DELTABLE, NlmF.None, new(NftObjectKind.Table, table));
        batch.Writer.String(NFTA_TABLE_NAME, table);
        batch.EndMessage(message);
    }

    /// <summary>Asks for the tables of the family inet: a dump, because a single GET of an absent table is an error.</summary>
    internal static void WriteDump(NetlinkWriter writer, uint sequence) =>
        writer.EndMessage(writer.BeginMessage(NftMsgType.NFT_MSG_GETTABLE, NlmF.NLM_F_DUMP, sequence));

    /// <summary>Collects our table and no other.</summary>
    internal static void Read(NetlinkMessage message, List<TableMessage> rows)
    {
        var (name, flags) = ("", NftTableFlags.None);
        foreach (var attribute in Nfnetlink.Attributes(message))
            switch (attribute.Type)
            {
                case NFTA_TABLE_NAME:
                    name = attribute.String;
                    break;
                case NFTA_TABLE_FLAGS:
                    flags = (NftTableFlags)attribute.UInt32BigEndian;
                    break;
            }
        if (name == Ruleset.Table && Nfnetlink.IsInet(message))
            rows.Add(new(flags));
    }
}
