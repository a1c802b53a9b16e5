using Overlay.PolicyEngine.Model;
using static Overlay.Dataplane.Netlink.Netfilter.Expressions.NftaRange;

namespace Overlay.Dataplane.Netlink.Netfilter.Expressions;

/// <summary>NFTA_RANGE_* (<c>enum nft_range_attributes</c>).</summary>
public static class NftaRange
{
    public const ushort NFTA_RANGE_SREG = 1;
    public const ushort NFTA_RANGE_OP = 2;
    public const ushort NFTA_RANGE_FROM_DATA = 3;
    public const ushort NFTA_RANGE_TO_DATA = 4;
}

/// <summary>NFT_RANGE_* (<c>enum nft_range_ops</c>).</summary>
public enum NftRangeOps : uint
{
    NFT_RANGE_EQ = 0,
    NFT_RANGE_NEQ = 1,
}

/// <summary>nft_range.c: goes on with the rule when the register is inside, or outside, a range.</summary>
/// <param name="Op">Inside or outside.</param>
/// <param name="Source">Register.</param>
/// <param name="From">First value of the range.</param>
/// <param name="To">Last value of the range, of the same length.</param>
public sealed record Range(NftRangeOps Op, NftRegisters Source, EquatableArray<byte> From, EquatableArray<byte> To) : Expression
{
    public override string Name => "range";

    private protected override string Text =>
        $"range {(Op == NftRangeOps.NFT_RANGE_EQ ? "eq" : "neq")} {Source.Print()} {NftData.Print(From.AsSpan())} {NftData.Print(To.AsSpan())}";

    internal static Range Read(NetlinkAttribute data)
    {
        var read = new Range(default, default, [], []);
        foreach (var attribute in data.Nested)
            switch (attribute.Type)
            {
                case NFTA_RANGE_SREG:
                    read = read with { Source = (NftRegisters)attribute.UInt32BigEndian };
                    break;
                case NFTA_RANGE_OP:
                    read = read with { Op = (NftRangeOps)attribute.UInt32BigEndian };
                    break;
                case NFTA_RANGE_FROM_DATA:
                    read = read with { From = EquatableArray.Create(NftData.Value(attribute)) };
                    break;
                case NFTA_RANGE_TO_DATA:
                    read = read with { To = EquatableArray.Create(NftData.Value(attribute)) };
                    break;
            }
        return read;
    }

    private protected override void WriteData(NetlinkWriter writer)
    {
        writer.UInt32BigEndian(NFTA_RANGE_SREG, (uint)Source);
        writer.UInt32BigEndian(NFTA_RANGE_OP, (uint)Op);
        NftData.Write(writer, NFTA_RANGE_FROM_DATA, From.AsSpan());
        NftData.Write(writer, NFTA_RANGE_TO_DATA, To.AsSpan());
    }
}
