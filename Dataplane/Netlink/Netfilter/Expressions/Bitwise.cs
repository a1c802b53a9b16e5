using Overlay.PolicyEngine.Model;
using static Overlay.Dataplane.Netlink.Netfilter.Expressions.NftaBitwise;

namespace Overlay.Dataplane.Netlink.Netfilter.Expressions;

/// <summary>NFTA_BITWISE_* (<c>enum nft_bitwise_attributes</c>).</summary>
public static class NftaBitwise
{
    public const ushort NFTA_BITWISE_SREG = 1;
    public const ushort NFTA_BITWISE_DREG = 2;
    public const ushort NFTA_BITWISE_LEN = 3;
    public const ushort NFTA_BITWISE_MASK = 4;
    public const ushort NFTA_BITWISE_XOR = 5;
    public const ushort NFTA_BITWISE_OP = 6;
}

/// <summary>NFT_BITWISE_* (<c>enum nft_bitwise_ops</c>).</summary>
public enum NftBitwiseOps : uint
{
    NFT_BITWISE_MASK_XOR = 0,
    NFT_BITWISE_LSHIFT = 1,
    NFT_BITWISE_RSHIFT = 2,
}

/// <summary>nft_bitwise.c: <c>destination = (source &amp; mask) ^ xor</c>.</summary>
/// <param name="Source">Register.</param>
/// <param name="Destination">Register.</param>
/// <param name="Mask">As long as the operands.</param>
/// <param name="Xor">As long as the operands.</param>
public sealed record Bitwise(NftRegisters Source, NftRegisters Destination, EquatableArray<byte> Mask, EquatableArray<byte> Xor) : Expression
{
    public override string Name => "bitwise";

    private protected override string Text =>
        $"bitwise {Destination.Print()} = ( {Source.Print()} & {NftData.Print(Mask.AsSpan())} ) ^ {NftData.Print(Xor.AsSpan())}";

    /// <summary><c>register &amp;= mask</c>.</summary>
    internal static Bitwise And(NftRegisters register, EquatableArray<byte> mask) => new(register, register, mask, new(new byte[mask.Count]));

    /// <summary>Null for a shift.</summary>
    internal static Bitwise? Read(NetlinkAttribute data)
    {
        var read = new Bitwise(default, default, [], []);
        foreach (var attribute in data.Nested)
            switch (attribute.Type)
            {
                case NFTA_BITWISE_SREG:
                    read = read with { Source = (NftRegisters)attribute.UInt32BigEndian };
                    break;
                case NFTA_BITWISE_DREG:
                    read = read with { Destination = (NftRegisters)attribute.UInt32BigEndian };
                    break;
                case NFTA_BITWISE_MASK:
                    read = read with { Mask = EquatableArray.Create(NftData.Value(attribute)) };
                    break;
                case NFTA_BITWISE_XOR:
                    read = read with { Xor = EquatableArray.Create(NftData.Value(attribute)) };
                    break;
                case NFTA_BITWISE_OP when attribute.UInt32BigEndian != (uint)NftBitwiseOps.NFT_BITWISE_MASK_XOR:
                    return null;
            }
        return read;
    }

    private protected override void WriteData(NetlinkWriter writer)
    {
        writer.UInt32BigEndian(NFTA_BITWISE_SREG, (uint)Source);
        writer.UInt32BigEndian(NFTA_BITWISE_DREG, (uint)Destination);
        writer.UInt32BigEndian(NFTA_BITWISE_OP, (uint)NftBitwiseOps.NFT_BITWISE_MASK_XOR);
        writer.UInt32BigEndian(NFTA_BITWISE_LEN, (uint)Mask.Count);
        NftData.Write(writer, NFTA_BITWISE_MASK, Mask.AsSpan());
        NftData.Write(writer, NFTA_BITWISE_XOR, Xor.AsSpan());
    }
}
