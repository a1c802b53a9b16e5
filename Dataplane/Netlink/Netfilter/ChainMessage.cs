using Overlay.PolicyEngine.Nftables;
using static Overlay.Dataplane.Netlink.Netfilter.NftaChain;
using static Overlay.Dataplane.Netlink.Netfilter.NftaHook;

namespace Overlay.Dataplane.Netlink.Netfilter;

/// <summary>NFT_MSG_*CHAIN: a chain of our table, without its rules.</summary>
/// <param name="Name">NFTA_CHAIN_NAME.</param>
/// <param name="Base">What makes it a base chain; null for a chain that is only jumped to.</param>
public sealed record ChainMessage(string Name, ChainHook? Base)
{
    /// <summary>The message of a wanted chain.</summary>
    public static ChainMessage Of(Chain chain)
    {
        ArgumentNullException.ThrowIfNull(chain);
        return new(chain.Name, ChainHook.Of(chain.Base));
    }

    /// <summary>Equivalent to: <c>nft add chain inet overlay NAME { type … hook … priority …; policy accept; }</c>, or in another <paramref name="table"/>. Also for one that exists with the same hook.</summary>
    internal void WriteNew(Batch batch, string table = Ruleset.Table)
    {
        var message = batch.BeginMessage(NftMsgType.NFT_MSG_NEWCHAIN, NlmF.NLM_F_CREATE, Subject(Name));
        WriteName(batch.Writer, Name, table);
        if (Base is { } hook)
        {
            batch.Writer.String(NFTA_CHAIN_TYPE, hook.Type);
            batch.Writer.UInt32BigEndian(NFTA_CHAIN_POLICY, (uint)hook.Policy);
            var nest = batch.Writer.BeginNest(NFTA_CHAIN_HOOK.Nested());
            batch.Writer.UInt32BigEndian(NFTA_HOOK_HOOKNUM, hook.Number);
            batch.Writer.UInt32BigEndian(NFTA_HOOK_PRIORITY, (uint)hook.Priority);
            batch.Writer.EndNest(nest);
        }
        batch.EndMessage(message);
    }

    /// <summary>Equivalent to: <c>nft delete chain inet overlay NAME</c>. Nothing may jump to it.</summary>
    internal static void WriteDelete(Batch batch, string name)
    {
        var message = batch.BeginMessage(NftMsgType.NFT_MSG_DELCHAIN, NlmF.None, Subject(name));
        WriteName(batch.Writer, name, Ruleset.Table);
        batch.EndMessage(message);
    }

    /// <summary>Asks for the chains of all tables of the family inet; the kernel knows no finer question.</summary>
    internal static void WriteDump(NetlinkWriter writer, uint sequence) =>
        writer.EndMessage(writer.BeginMessage(NftMsgType.NFT_MSG_GETCHAIN, NlmF.NLM_F_DUMP, sequence));

    /// <summary>Collects the chains of our table.</summary>
    internal static void Read(NetlinkMessage message, List<ChainMessage> rows)
    {
        var (table, name, type) = ("", "", "");
        var policy = NftVerdicts.NF_ACCEPT;
        ChainHook? hook = null;
        foreach (var attribute in Nfnetlink.Attributes(message))
            switch (attribute.Type)
            {
                case NFTA_CHAIN_TABLE:
                    table = attribute.String;
                    break;
                case NFTA_CHAIN_NAME:
                    name = attribute.String;
                    break;
                case NFTA_CHAIN_TYPE:
                    type = attribute.String;
                    break;
                case NFTA_CHAIN_POLICY:
                    policy = (NftVerdicts)attribute.UInt32BigEndian;
                    break;
                case NFTA_CHAIN_HOOK:
                    hook = ChainHook.Read(attribute.Nested);
                    break;
            }
        if (table == Ruleset.Table && Nfnetlink.IsInet(message))
            rows.Add(new(name, hook is { } found ? found with { Type = type, Policy = policy } : null));
    }

    private static void WriteName(NetlinkWriter writer, string name, string table)
    {
        writer.String(NFTA_CHAIN_TABLE, table);
        writer.String(NFTA_CHAIN_NAME, name);
    }

    private static BatchSubject Subject(string name) => new(NftObjectKind.Chain, name);
}

/// <summary>NFTA_CHAIN_HOOK and what goes with it.</summary>
/// <param name="Type">NFTA_CHAIN_TYPE: filter, nat or route.</param>
/// <param name="Number">NFTA_HOOK_HOOKNUM.</param>
/// <param name="Priority">NFTA_HOOK_PRIORITY.</param>
/// <param name="Policy">NFTA_CHAIN_POLICY: what becomes of a packet that no rule judges.</param>
public readonly record struct ChainHook(string Type, uint Number, int Priority, NftVerdicts Policy)
{
    internal static ChainHook? Of(BaseChain? chain) => chain is { } wanted
        ? new(wanted.Type == ChainType.Nat ? "nat" : "filter", (uint)wanted.Hook, wanted.Priority, NftVerdicts.NF_ACCEPT)
        : null;

    internal static ChainHook Read(NetlinkAttributes attributes)
    {
        var read = default(ChainHook);
        foreach (var attribute in attributes)
            switch (attribute.Type)
            {
                case NFTA_HOOK_HOOKNUM:
                    read = read with { Number = attribute.UInt32BigEndian };
                    break;
                case NFTA_HOOK_PRIORITY:
                    read = read with { Priority = (int)attribute.UInt32BigEndian };
                    break;
            }
        return read;
    }

    /// <summary>As nft(8) writes it.</summary>
    public override string ToString() =>
        $"type {Type} hook {((Hook)Number).ToString().ToLowerInvariant()} priority {Priority}; policy {(Policy == NftVerdicts.NF_ACCEPT ? "accept" : "drop")};";
}
