using Overlay.PolicyEngine.Model;
using static Overlay.Dataplane.Netlink.Netfilter.NftaExpr;
using static Overlay.Dataplane.Netlink.Netfilter.NftaList;

namespace Overlay.Dataplane.Netlink.Netfilter.Expressions;

/// <summary>One instruction of nf_tables. Equality is what a rule in the kernel is compared by; the text is libnftnl's, as <c>nft --debug=netlink</c> shows it.</summary>
public abstract record Expression
{
    private protected Expression()
    {
    }

    /// <summary>The name of the kernel's module, <c>NFTA_EXPR_NAME</c>.</summary>
    public abstract string Name { get; }

    /// <summary>Everything between the brackets.</summary>
    private protected abstract string Text { get; }

    /// <summary>As libnftnl prints it: <c>[ payload load 4b @ network header + 16 => reg 1 ]</c>.</summary>
    public sealed override string ToString() => $"[ {Text} ]";

    /// <summary>Appends it to an open list of expressions.</summary>
    internal void Write(NetlinkWriter writer)
    {
        var element = writer.BeginNest(NFTA_LIST_ELEM.Nested());
        writer.String(NFTA_EXPR_NAME, Name);
        var data = writer.BeginNest(NFTA_EXPR_DATA.Nested());
        WriteData(writer);
        writer.EndNest(data);
        writer.EndNest(element);
    }

    /// <summary>Reads one element of a list of expressions. What we never write becomes <see cref="Unknown"/>.</summary>
    /// <exception cref="NetlinkFormatException">Its bytes are no attributes.</exception>
    internal static Expression ReadElement(NetlinkAttribute element)
    {
        var name = "";
        var data = default(NetlinkAttribute);
        foreach (var attribute in element.Nested)
            switch (attribute.Type)
            {
                case NFTA_EXPR_NAME:
                    name = attribute.String;
                    break;
                case NFTA_EXPR_DATA:
                    data = attribute;
                    break;
            }
        return ReadKnown(name, data) ?? Unknown.Read(name, data);
    }

    private protected abstract void WriteData(NetlinkWriter writer);

    // Null: none of ours, or a form of one that we never write.
    private static Expression? ReadKnown(string name, NetlinkAttribute data) => name switch
    {
        "payload" => Payload.Read(data),
        "meta" => Meta.Read(data),
        "ct" => Ct.Read(data),
        "cmp" => Cmp.Read(data),
        "range" => Range.Read(data),
        "lookup" => Lookup.Read(data),
        "bitwise" => Bitwise.Read(data),
        "immediate" => Immediate.Read(data),
        "counter" => Counter.Read(data),
        "flow_offload" => FlowAdd.Read(data),
        "notrack" => new Notrack(),
        "masq" => Masq.Read(data),
        "nat" => Nat.Read(data),
        "fib" => Fib.Read(data),
        "reject" => Reject.Read(data),
        _ => null,
    };
}

/// <summary>An expression that only others put into rules: kept as it came, so that a rule with it differs from all of ours.</summary>
/// <param name="Module">The name the kernel gave.</param>
/// <param name="Data">The attributes, unread.</param>
public sealed record Unknown(string Module, EquatableArray<byte> Data) : Expression
{
    public override string Name => Module;

    private protected override string Text => $"{Module} 0x{Convert.ToHexStringLower(Data.AsSpan())}";

    internal static Unknown Read(string name, NetlinkAttribute data) => new(name, EquatableArray.Create(data.Value));

    private protected override void WriteData(NetlinkWriter writer) => Data.AsSpan().CopyTo(writer.Reserve(Data.Count));
}
