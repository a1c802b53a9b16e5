using Overlay.PolicyEngine.Model;
using static Overlay.Dataplane.Netlink.Netfilter.Expressions.NftaCmp;

namespace Overlay.Dataplane.Netlink.Netfilter.Expressions;

/// <summary>NFTA_CMP_* (<c>enum nft_cmp_attributes</c>).</summary>
public static class NftaCmp
{
    public const ushort NFTA_CMP_SREG = 1;
    public const ushort NFTA_CMP_OP = 2;
    public const ushort NFTA_CMP_DATA = 3;
}

/// <summary>NFT_CMP_* (<c>enum nft_cmp_ops</c>).</summary>
public enum NftCmpOps : uint
{
    NFT_CMP_EQ = 0,
    NFT_CMP_NEQ = 1,
    NFT_CMP_LT = 2,
    NFT_CMP_LTE = 3,
    NFT_CMP_GT = 4,
    NFT_CMP_GTE = 5,
}

/// <summary>nft_cmp.c: goes on with the rule when the register compares to the data as asked.</summary>
/// <param name="Op">How.</param>
/// <param name="Source">Register; as many of its bytes as <paramref name="Data"/> has.</param>
/// <param name="Data">1 to 16 bytes.</param>
public sealed record Cmp(NftCmpOps Op, NftRegisters Source, EquatableArray<byte> Data) : Expression
{
    public override string Name => "cmp";

    private protected override string Text => $"cmp {OpName} {Source.Print()} {NftData.Print(Data.AsSpan())}";

    private string OpName => Op switch
    {
        NftCmpOps.NFT_CMP_EQ => "eq",
        NftCmpOps.NFT_CMP_NEQ => "neq",
        NftCmpOps.NFT_CMP_LT => "lt",
        NftCmpOps.NFT_CMP_LTE => "lte",
        NftCmpOps.NFT_CMP_GT => "gt",
        NftCmpOps.NFT_CMP_GTE => "gte",
        _ => $"{(uint)Op}",
    };

    internal static Cmp Read(NetlinkAttribute data)
    {
        var read = new Cmp(default, default, []);
        foreach (var attribute in data.Nested)
            switch (attribute.Type)
            {
                case NFTA_CMP_SREG:
                    read = read with { Source = (NftRegisters)attribute.UInt32BigEndian };
                    break;
                case NFTA_CMP_OP:
                    read = read with { Op = (NftCmpOps)attribute.UInt32BigEndian };
                    break;
                case NFTA_CMP_DATA:
                    read = read with { Data = EquatableArray.Create(NftData.Value(attribute)) };
                    break;
            }
        return read;
    }

    private protected override void WriteData(NetlinkWriter writer)
    {
        writer.UInt32BigEndian(NFTA_CMP_SREG, (uint)Source);
        writer.UInt32BigEndian(NFTA_CMP_OP, (uint)Op);
        NftData.Write(writer, NFTA_CMP_DATA, Data.AsSpan());
    }
}
