using static Overlay.Dataplane.Netlink.Netfilter.Expressions.NftaCt;

namespace Overlay.Dataplane.Netlink.Netfilter.Expressions;

/// <summary>NFTA_CT_* (<c>enum nft_ct_attributes</c>).</summary>
public static class NftaCt
{
    public const ushort NFTA_CT_DREG = 1;
    public const ushort NFTA_CT_KEY = 2;
    public const ushort NFTA_CT_DIRECTION = 3;
    public const ushort NFTA_CT_SREG = 4;
}

/// <summary>NFT_CT_*: those we load (<c>enum nft_ct_keys</c>).</summary>
public enum NftCtKeys : uint
{
    NFT_CT_STATE = 0,
    NFT_CT_DIRECTION = 1,
    NFT_CT_STATUS = 2,
    NFT_CT_MARK = 3,
}

/// <summary>nft_ct.c: a fact about the packet's connection into a register.</summary>
/// <param name="Key">Which fact.</param>
/// <param name="Destination">Register.</param>
public sealed record Ct(NftCtKeys Key, NftRegisters Destination) : Expression
{
    public override string Name => "ct";

    private protected override string Text => $"ct load {KeyText} => {Destination.Print()}";

    private string KeyText => Key switch
    {
        NftCtKeys.NFT_CT_STATE => "state",
        NftCtKeys.NFT_CT_DIRECTION => "direction",
        NftCtKeys.NFT_CT_STATUS => "status",
        NftCtKeys.NFT_CT_MARK => "mark",
        _ => $"{(uint)Key}",
    };

    /// <summary>Null for one that asks about a direction or changes the connection.</summary>
    internal static Ct? Read(NetlinkAttribute data)
    {
        var read = new Ct(default, default);
        foreach (var attribute in data.Nested)
            switch (attribute.Type)
            {
                case NFTA_CT_DREG:
                    read = read with { Destination = (NftRegisters)attribute.UInt32BigEndian };
                    break;
                case NFTA_CT_KEY:
                    read = read with { Key = (NftCtKeys)attribute.UInt32BigEndian };
                    break;
                case NFTA_CT_DIRECTION or NFTA_CT_SREG:
                    return null;
            }
        return read;
    }

    private protected override void WriteData(NetlinkWriter writer)
    {
        writer.UInt32BigEndian(NFTA_CT_KEY, (uint)Key);
        writer.UInt32BigEndian(NFTA_CT_DREG, (uint)Destination);
    }
}
