using static Overlay.Dataplane.Netlink.Netfilter.Expressions.NftaMasq;

namespace Overlay.Dataplane.Netlink.Netfilter.Expressions;

/// <summary>NFTA_MASQ_* (<c>enum nft_masq_attributes</c>).</summary>
public static class NftaMasq
{
    public const ushort NFTA_MASQ_FLAGS = 1;
    public const ushort NFTA_MASQ_REG_PROTO_MIN = 2;
}

/// <summary>NF_NAT_RANGE_* (linux/netfilter/nf_nat.h).</summary>
[Flags]
public enum NfNatRange : uint
{
    None = 0,
    NF_NAT_RANGE_MAP_IPS = 0x1,
    NF_NAT_RANGE_PROTO_SPECIFIED = 0x2,
    NF_NAT_RANGE_PROTO_RANDOM = 0x4,
    NF_NAT_RANGE_PERSISTENT = 0x8,
    NF_NAT_RANGE_PROTO_RANDOM_FULLY = 0x10,
}

/// <summary>nft_masq.c: the source becomes the address of the device the packet leaves by.</summary>
/// <param name="Flags">How ports are chosen.</param>
public sealed record Masq(NfNatRange Flags) : Expression
{
    public override string Name => "masq";

    private protected override string Text => Flags == 0 ? "masq" : $"masq flags 0x{(uint)Flags:x}";

    /// <summary>Null for one with a range of ports.</summary>
    internal static Masq? Read(NetlinkAttribute data)
    {
        var flags = NfNatRange.None;
        foreach (var attribute in data.Nested)
            switch (attribute.Type)
            {
                case NFTA_MASQ_FLAGS:
                    flags = (NfNatRange)attribute.UInt32BigEndian;
                    break;
                case NFTA_MASQ_REG_PROTO_MIN:
                    return null;
            }
        return new(flags);
    }

    private protected override void WriteData(NetlinkWriter writer) => writer.UInt32BigEndian(NFTA_MASQ_FLAGS, (uint)Flags);
}
