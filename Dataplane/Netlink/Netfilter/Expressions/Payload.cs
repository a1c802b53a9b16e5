using static Overlay.Dataplane.Netlink.Netfilter.Expressions.NftaPayload;

namespace Overlay.Dataplane.Netlink.Netfilter.Expressions;

/// <summary>NFTA_PAYLOAD_* (<c>enum nft_payload_attributes</c>).</summary>
public static class NftaPayload
{
    public const ushort NFTA_PAYLOAD_DREG = 1;
    public const ushort NFTA_PAYLOAD_BASE = 2;
    public const ushort NFTA_PAYLOAD_OFFSET = 3;
    public const ushort NFTA_PAYLOAD_LEN = 4;
    public const ushort NFTA_PAYLOAD_SREG = 5;
}

/// <summary>NFT_PAYLOAD_* (<c>enum nft_payload_bases</c>).</summary>
public enum NftPayloadBases : uint
{
    NFT_PAYLOAD_LL_HEADER = 0,
    NFT_PAYLOAD_NETWORK_HEADER = 1,
    NFT_PAYLOAD_TRANSPORT_HEADER = 2,
    NFT_PAYLOAD_INNER_HEADER = 3,
}

/// <summary>nft_payload.c: bytes of the packet into a register.</summary>
/// <param name="Base">Header that <paramref name="Offset"/> counts from.</param>
/// <param name="Offset">In bytes.</param>
/// <param name="Length">In bytes.</param>
/// <param name="Destination">Register.</param>
public sealed record Payload(NftPayloadBases Base, uint Offset, uint Length, NftRegisters Destination) : Expression
{
    public override string Name => "payload";

    private protected override string Text => $"payload load {Length}b @ {BaseName} header + {Offset} => {Destination.Print()}";

    private string BaseName => Base switch
    {
        NftPayloadBases.NFT_PAYLOAD_LL_HEADER => "link",
        NftPayloadBases.NFT_PAYLOAD_NETWORK_HEADER => "network",
        NftPayloadBases.NFT_PAYLOAD_TRANSPORT_HEADER => "transport",
        NftPayloadBases.NFT_PAYLOAD_INNER_HEADER => "inner",
        _ => $"{(uint)Base}",
    };

    /// <summary>Null for a payload that writes to the packet.</summary>
    internal static Payload? Read(NetlinkAttribute data)
    {
        var read = new Payload(default, 0, 0, default);
        foreach (var attribute in data.Nested)
            switch (attribute.Type)
            {
                case NFTA_PAYLOAD_DREG:
                    read = read with { Destination = (NftRegisters)attribute.UInt32BigEndian };
                    break;
                case NFTA_PAYLOAD_BASE:
                    read = read with { Base = (NftPayloadBases)attribute.UInt32BigEndian };
                    break;
                case NFTA_PAYLOAD_OFFSET:
                    read = read with { Offset = attribute.UInt32BigEndian };
                    break;
                case NFTA_PAYLOAD_LEN:
                    read = read with { Length = attribute.UInt32BigEndian };
                    break;
                case NFTA_PAYLOAD_SREG:
                    return null;
            }
        return read;
    }

    private protected override void WriteData(NetlinkWriter writer)
    {
        writer.UInt32BigEndian(NFTA_PAYLOAD_DREG, (uint)Destination);
        writer.UInt32BigEndian(NFTA_PAYLOAD_BASE, (uint)Base);
        writer.UInt32BigEndian(NFTA_PAYLOAD_OFFSET, Offset);
        writer.UInt32BigEndian(NFTA_PAYLOAD_LEN, Length);
    }
}
