using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;
using static Overlay.Dataplane.Netlink.Netfilter.Expressions.NftaImmediate;

namespace Overlay.Dataplane.Netlink.Netfilter.Expressions;

/// <summary>NFTA_IMMEDIATE_* (<c>enum nft_immediate_attributes</c>).</summary>
public static class NftaImmediate
{
    public const ushort NFTA_IMMEDIATE_DREG = 1;
    public const ushort NFTA_IMMEDIATE_DATA = 2;
}

/// <summary>nft_immediate.c: a verdict into the verdict register, or bytes into another.</summary>
/// <param name="Destination">NFT_REG_VERDICT for a verdict.</param>
/// <param name="Verdict">Null for bytes.</param>
/// <param name="Value">Empty for a verdict.</param>
public sealed record Immediate(NftRegisters Destination, Verdict? Verdict, EquatableArray<byte> Value) : Expression
{
    public override string Name => "immediate";

    private protected override string Text =>
        $"immediate {Destination.Print()} {(Verdict is { } verdict ? NftData.Print(verdict) : NftData.Print(Value.AsSpan()))}";

    internal static Immediate Of(Verdict verdict) => new(NftRegisters.NFT_REG_VERDICT, verdict, []);

    internal static Immediate Read(NetlinkAttribute data)
    {
        var read = new Immediate(default, null, []);
        foreach (var attribute in data.Nested)
            switch (attribute.Type)
            {
                case NFTA_IMMEDIATE_DREG:
                    read = read with { Destination = (NftRegisters)attribute.UInt32BigEndian };
                    break;
                case NFTA_IMMEDIATE_DATA:
                    read = read with { Verdict = NftData.Verdict(attribute), Value = EquatableArray.Create(NftData.Value(attribute)) };
                    break;
            }
        return read;
    }

    private protected override void WriteData(NetlinkWriter writer)
    {
        writer.UInt32BigEndian(NFTA_IMMEDIATE_DREG, (uint)Destination);
        if (Verdict is { } verdict)
            NftData.Write(writer, NFTA_IMMEDIATE_DATA, verdict);
        else
            NftData.Write(writer, NFTA_IMMEDIATE_DATA, Value.AsSpan());
    }
}
