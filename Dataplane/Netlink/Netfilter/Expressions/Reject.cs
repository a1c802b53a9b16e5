using static Overlay.Dataplane.Netlink.Netfilter.Expressions.NftaReject;

namespace Overlay.Dataplane.Netlink.Netfilter.Expressions;

/// <summary>NFTA_REJECT_* (<c>enum nft_reject_attributes</c>).</summary>
public static class NftaReject
{
    public const ushort NFTA_REJECT_TYPE = 1;
    public const ushort NFTA_REJECT_ICMP_CODE = 2;
}

/// <summary>NFT_REJECT_* (<c>enum nft_reject_types</c>).</summary>
public enum NftRejectTypes : uint
{
    NFT_REJECT_ICMP_UNREACH = 0,
    NFT_REJECT_TCP_RST = 1,
    NFT_REJECT_ICMPX_UNREACH = 2,
}

/// <summary>nft_reject.c: drops the packet and tells its sender.</summary>
/// <param name="Type">How the sender is told.</param>
/// <param name="IcmpCode">Code of the ICMP error.</param>
public sealed record Reject(NftRejectTypes Type, byte IcmpCode) : Expression
{
    public override string Name => "reject";

    private protected override string Text => $"reject type {(uint)Type} code {IcmpCode}";

    internal static Reject Read(NetlinkAttribute data)
    {
        var read = new Reject(default, 0);
        foreach (var attribute in data.Nested)
            switch (attribute.Type)
            {
                case NFTA_REJECT_TYPE:
                    read = read with { Type = (NftRejectTypes)attribute.UInt32BigEndian };
                    break;
                case NFTA_REJECT_ICMP_CODE:
                    read = read with { IcmpCode = attribute.Byte };
                    break;
            }
        return read;
    }

    private protected override void WriteData(NetlinkWriter writer)
    {
        writer.UInt32BigEndian(NFTA_REJECT_TYPE, (uint)Type);
        writer.Byte(NFTA_REJECT_ICMP_CODE, IcmpCode);
    }
}
