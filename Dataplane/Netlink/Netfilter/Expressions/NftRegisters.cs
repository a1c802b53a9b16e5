namespace Overlay.Dataplane.Netlink.Netfilter.Expressions;

/// <summary>NFT_REG_*: registers of 16 bytes, and the same bytes again as registers of 4 (<c>enum nft_registers</c>).</summary>
public enum NftRegisters : uint
{
    NFT_REG_VERDICT = 0,
    NFT_REG_1 = 1,
    NFT_REG_2 = 2,
    NFT_REG_3 = 3,
    NFT_REG_4 = 4,
    NFT_REG32_00 = 8,
    NFT_REG32_01 = 9,
    NFT_REG32_15 = 23,
}

/// <summary>Places in the register file.</summary>
public static class Register
{
    /// <summary>The register that begins at 4-byte slot <paramref name="slot"/>, 0 to 15, by the number nft(8) uses: that of a 16-byte register where one begins.</summary>
    public static NftRegisters AtSlot(int slot) => slot % 4 == 0 ? NftRegisters.NFT_REG_1 + (uint)(slot / 4) : NftRegisters.NFT_REG32_00 + (uint)slot;

    /// <summary>As libnftnl prints it: <c>reg 1</c>.</summary>
    public static string Print(this NftRegisters register) => $"reg {(uint)register}";
}
