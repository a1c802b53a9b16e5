using static Overlay.Dataplane.Netlink.Netfilter.Expressions.NftaLookup;

namespace Overlay.Dataplane.Netlink.Netfilter.Expressions;

/// <summary>NFTA_LOOKUP_* (<c>enum nft_lookup_attributes</c>).</summary>
public static class NftaLookup
{
    public const ushort NFTA_LOOKUP_SET = 1;
    public const ushort NFTA_LOOKUP_SREG = 2;
    public const ushort NFTA_LOOKUP_DREG = 3;
    public const ushort NFTA_LOOKUP_SET_ID = 4;
    public const ushort NFTA_LOOKUP_FLAGS = 5;
}

/// <summary>NFT_LOOKUP_F_* (<c>enum nft_lookup_flags</c>).</summary>
[Flags]
public enum NftLookupFlags : uint
{
    None = 0,
    NFT_LOOKUP_F_INV = 0x1,
}

/// <summary>nft_lookup.c: goes on with the rule when the set has the registers' value; from a map it loads the value found.</summary>
/// <param name="Set">Its name. (NFTA_LOOKUP_SET_ID is only for sets without one.)</param>
/// <param name="Source">First register of the key.</param>
/// <param name="Destination">For a map: where its value goes; NFT_REG_VERDICT in a verdict map.</param>
/// <param name="Flags">Inverted or not.</param>
public sealed record Lookup(string Set, NftRegisters Source, NftRegisters? Destination, NftLookupFlags Flags) : Expression
{
    public override string Name => "lookup";

    private protected override string Text =>
        $"lookup {Source.Print()} set {Set}{(Destination is { } register ? $" d{register.Print()}" : "")}{(Flags == 0 ? "" : $" 0x{(uint)Flags:x}")}";

    internal static Lookup Read(NetlinkAttribute data)
    {
        var read = new Lookup("", default, null, NftLookupFlags.None);
        foreach (var attribute in data.Nested)
            switch (attribute.Type)
            {
                case NFTA_LOOKUP_SET:
                    read = read with { Set = attribute.String };
                    break;
                case NFTA_LOOKUP_SREG:
                    read = read with { Source = (NftRegisters)attribute.UInt32BigEndian };
                    break;
                case NFTA_LOOKUP_DREG:
                    read = read with { Destination = (NftRegisters)attribute.UInt32BigEndian };
                    break;
                case NFTA_LOOKUP_FLAGS:
                    read = read with { Flags = (NftLookupFlags)attribute.UInt32BigEndian };
                    break;
            }
        return read;
    }

    private protected override void WriteData(NetlinkWriter writer)
    {
        writer.UInt32BigEndian(NFTA_LOOKUP_SREG, (uint)Source);
        if (Destination is { } register)
            writer.UInt32BigEndian(NFTA_LOOKUP_DREG, (uint)register);
        writer.String(NFTA_LOOKUP_SET, Set);
        if (Flags != 0)
            writer.UInt32BigEndian(NFTA_LOOKUP_FLAGS, (uint)Flags);
    }
}
