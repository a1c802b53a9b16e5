using Overlay.Dataplane.Netlink.Netfilter.Expressions;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;
using static Overlay.Dataplane.Netlink.Netfilter.NftaRule;

namespace Overlay.Dataplane.Netlink.Netfilter;

/// <summary>NFT_MSG_*RULE: a rule of our table. Its handle is the kernel's own and no part of its value.</summary>
/// <param name="Chain">NFTA_RULE_CHAIN.</param>
/// <param name="Expressions">NFTA_RULE_EXPRESSIONS.</param>
/// <param name="Comment">From NFTA_RULE_USERDATA.</param>
public sealed record RuleMessage(string Chain, EquatableArray<Expression> Expressions, string? Comment)
{
    /// <summary>The message of a wanted rule.</summary>
    public static RuleMessage Of(string chain, Rule rule)
    {
        ArgumentNullException.ThrowIfNull(rule);
        return new(chain, Lowering.Lower(rule), rule.Comment);
    }

    /// <summary>libnftnl's text of the expressions and the comment.</summary>
    public override string ToString() => $"{string.Join(' ', Expressions)}{(Comment is null ? "" : $" comment \"{Comment}\"")}";

    /// <summary>Equivalent to: <c>nft add rule inet overlay CHAIN …</c>, or in another <paramref name="table"/>: behind the rules that are there.</summary>
    internal void WriteNew(Batch batch, Rule? model, string table = Ruleset.Table)
    {
        var writer = batch.Writer;
        var message = batch.BeginMessage(NftMsgType.NFT_MSG_NEWRULE, NlmF.NLM_F_CREATE | NlmF.NLM_F_APPEND, new(NftObjectKind.Rule, Chain, model));
        writer.String(NFTA_RULE_TABLE, table);
        writer.String(NFTA_RULE_CHAIN, Chain);
        var nest = writer.BeginNest(NFTA_RULE_EXPRESSIONS.Nested());
        foreach (var expression in Expressions)
            expression.Write(writer);
        writer.EndNest(nest);
        if (Comment is not null)
            writer.Bytes(NFTA_RULE_USERDATA, NftnlUdata.Comment(Comment));
        batch.EndMessage(message);
    }

    /// <summary>Equivalent to: <c>nft flush chain inet overlay CHAIN</c>.</summary>
    internal static void WriteFlush(Batch batch, string chain)
    {
        var message = batch.BeginMessage(NftMsgType.NFT_MSG_DELRULE, NlmF.None, new(NftObjectKind.Chain, chain));
        batch.Writer.String(NFTA_RULE_TABLE, Ruleset.Table);
        batch.Writer.String(NFTA_RULE_CHAIN, chain);
        batch.EndMessage(message);
    }

    /// <summary>Asks for the rules of all chains of our table, chain by chain in order.</summary>
    internal static void WriteDump(NetlinkWriter writer, uint sequence)
    {
        var message = writer.BeginMessage(NftMsgType.NFT_MSG_GETRULE, NlmF.NLM_F_DUMP, sequence);
        writer.String(NFTA_RULE_TABLE, Ruleset.Table);
        writer.EndMessage(message);
    }

    /// <summary>Collects the rules of our table.</summary>
    internal static void Read(NetlinkMessage message, List<RuleMessage> rows)
    {
        var (table, chain) = ("", "");
        var expressions = new List<Expression>();
        string? comment = null;
        foreach (var attribute in Nfnetlink.Attributes(message))
            switch (attribute.Type)
            {
                case NFTA_RULE_TABLE:
                    table = attribute.String;
                    break;
                case NFTA_RULE_CHAIN:
                    chain = attribute.String;
                    break;
                case NFTA_RULE_EXPRESSIONS:
                    foreach (var element in attribute.Nested)
                        expressions.Add(Expression.ReadElement(element));
                    break;
                case NFTA_RULE_USERDATA:
                    comment = NftnlUdata.Comment(attribute.Value);
                    break;
            }
        if (table == Ruleset.Table && Nfnetlink.IsInet(message))
            rows.Add(new(chain, expressions.ToEquatableArray(), comment));
    }
}
