using static Overlay.Dataplane.Netlink.Netfilter.Expressions.NftaNat;

namespace Overlay.Dataplane.Netlink.Netfilter.Expressions;

/// <summary>NFTA_NAT_* (<c>enum nft_nat_attributes</c>).</summary>
public static class NftaNat
{
    public const ushort NFTA_NAT_TYPE = 1;
    public const ushort NFTA_NAT_FAMILY = 2;
    public const ushort NFTA_NAT_REG_ADDR_MIN = 3;
    public const ushort NFTA_NAT_REG_ADDR_MAX = 4;
    public const ushort NFTA_NAT_REG_PROTO_MIN = 5;
    public const ushort NFTA_NAT_REG_PROTO_MAX = 6;
    public const ushort NFTA_NAT_FLAGS = 7;
}

/// <summary>NFT_NAT_* (<c>enum nft_nat_types</c>).</summary>
public enum NftNatTypes : uint
{
    NFT_NAT_SNAT = 0,
    NFT_NAT_DNAT = 1,
}

/// <summary>nft_nat.c: the source or the destination becomes the address and the port in two registers; a packet of another family goes on with the next rule.</summary>
/// <param name="Type">Source or destination.</param>
/// <param name="Family">Family of the address.</param>
/// <param name="Address">Register of the address.</param>
/// <param name="Port">Register of the port.</param>
public sealed record Nat(NftNatTypes Type, NfFamily Family, NftRegisters Address, NftRegisters Port) : Expression
{
    // What the kernel adds by itself, because there are an address and a port.
    private const NfNatRange Implied = NfNatRange.NF_NAT_RANGE_MAP_IPS | NfNatRange.NF_NAT_RANGE_PROTO_SPECIFIED;

    public override string Name => "nat";

    private protected override string Text =>
        $"nat {(Type == NftNatTypes.NFT_NAT_DNAT ? "dnat" : "snat")} {(Family == NfFamily.NFPROTO_IPV6 ? "ip6" : "ip")} addr_min {Address.Print()} proto_min {Port.Print()}";

    /// <summary>Null for one with a range, or with flags.</summary>
    internal static Nat? Read(NetlinkAttribute data)
    {
        var read = new Nat(default, default, default, default);
        NftRegisters? lastAddress = null, lastPort = null;
        var flags = NfNatRange.None;
        foreach (var attribute in data.Nested)
            switch (attribute.Type)
            {
                case NFTA_NAT_TYPE:
                    read = read with { Type = (NftNatTypes)attribute.UInt32BigEndian };
                    break;
                case NFTA_NAT_FAMILY:
                    read = read with { Family = (NfFamily)attribute.UInt32BigEndian };
                    break;
                case NFTA_NAT_REG_ADDR_MIN:
                    read = read with { Address = (NftRegisters)attribute.UInt32BigEndian };
                    break;
                case NFTA_NAT_REG_ADDR_MAX:
                    lastAddress = (NftRegisters)attribute.UInt32BigEndian;
                    break;
                case NFTA_NAT_REG_PROTO_MIN:
                    read = read with { Port = (NftRegisters)attribute.UInt32BigEndian };
                    break;
                case NFTA_NAT_REG_PROTO_MAX:
                    lastPort = (NftRegisters)attribute.UInt32BigEndian;
                    break;
                case NFTA_NAT_FLAGS:
                    flags = (NfNatRange)attribute.UInt32BigEndian;
                    break;
            }
        return (lastAddress ?? read.Address) == read.Address && (lastPort ?? read.Port) == read.Port && (flags & ~Implied) == 0 ? read : null;
    }

    private protected override void WriteData(NetlinkWriter writer)
    {
        writer.UInt32BigEndian(NFTA_NAT_TYPE, (uint)Type);
        writer.UInt32BigEndian(NFTA_NAT_FAMILY, (uint)Family);
        writer.UInt32BigEndian(NFTA_NAT_REG_ADDR_MIN, (uint)Address);
        writer.UInt32BigEndian(NFTA_NAT_REG_PROTO_MIN, (uint)Port);
    }
}
