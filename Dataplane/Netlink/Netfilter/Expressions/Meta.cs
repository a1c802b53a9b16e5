using static Overlay.Dataplane.Netlink.Netfilter.Expressions.NftaMeta;

namespace Overlay.Dataplane.Netlink.Netfilter.Expressions;

/// <summary>NFTA_META_* (<c>enum nft_meta_attributes</c>).</summary>
public static class NftaMeta
{
    public const ushort NFTA_META_DREG = 1;
    public const ushort NFTA_META_KEY = 2;
    public const ushort NFTA_META_SREG = 3;
}

/// <summary>NFT_META_*: those we load (<c>enum nft_meta_keys</c>).</summary>
public enum NftMetaKeys : uint
{
    NFT_META_MARK = 3,
    NFT_META_IIFNAME = 6,
    NFT_META_OIFNAME = 7,
    NFT_META_NFPROTO = 15,
    NFT_META_L4PROTO = 16,
}

/// <summary>nft_meta.c: a fact about the packet into a register.</summary>
/// <param name="Key">Which fact.</param>
/// <param name="Destination">Register.</param>
public sealed record Meta(NftMetaKeys Key, NftRegisters Destination) : Expression
{
    public override string Name => "meta";

    private protected override string Text => $"meta load {KeyName} => {Destination.Print()}";

    private string KeyName => Key switch
    {
        NftMetaKeys.NFT_META_MARK => "mark",
        NftMetaKeys.NFT_META_IIFNAME => "iifname",
        NftMetaKeys.NFT_META_OIFNAME => "oifname",
        NftMetaKeys.NFT_META_NFPROTO => "nfproto",
        NftMetaKeys.NFT_META_L4PROTO => "l4proto",
        _ => $"{(uint)Key}",
    };

    /// <summary>Null for a meta that changes the packet.</summary>
    internal static Meta? Read(NetlinkAttribute data)
    {
        var read = new Meta(default, default);
        foreach (var attribute in data.Nested)
            switch (attribute.Type)
            {
                case NFTA_META_DREG:
                    read = read with { Destination = (NftRegisters)attribute.UInt32BigEndian };
                    break;
                case NFTA_META_KEY:
                    read = read with { Key = (NftMetaKeys)attribute.UInt32BigEndian };
                    break;
                case NFTA_META_SREG:
                    return null;
            }
        return read;
    }

    private protected override void WriteData(NetlinkWriter writer)
    {
        writer.UInt32BigEndian(NFTA_META_KEY, (uint)Key);
        writer.UInt32BigEndian(NFTA_META_DREG, (uint)Destination);
    }
}
