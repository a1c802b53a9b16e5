using static Overlay.Dataplane.Netlink.Netfilter.Expressions.NftaFib;

namespace Overlay.Dataplane.Netlink.Netfilter.Expressions;

/// <summary>NFTA_FIB_* (<c>enum nft_fib_attributes</c>).</summary>
public static class NftaFib
{
    public const ushort NFTA_FIB_DREG = 1;
    public const ushort NFTA_FIB_RESULT = 2;
    public const ushort NFTA_FIB_FLAGS = 3;
}

/// <summary>NFT_FIB_RESULT_* (<c>enum nft_fib_result</c>).</summary>
public enum NftFibResult : uint
{
    NFT_FIB_RESULT_OIF = 1,
    NFT_FIB_RESULT_OIFNAME = 2,
    NFT_FIB_RESULT_ADDRTYPE = 3,
}

/// <summary>NFTA_FIB_F_* (<c>enum nft_fib_flags</c>).</summary>
[Flags]
public enum NftFibFlags : uint
{
    None = 0,
    NFTA_FIB_F_SADDR = 0x1,
    NFTA_FIB_F_DADDR = 0x2,
    NFTA_FIB_F_MARK = 0x4,
    NFTA_FIB_F_IIF = 0x8,
    NFTA_FIB_F_OIF = 0x10,
    NFTA_FIB_F_PRESENT = 0x20,
}

/// <summary>nft_fib.c: looks the packet up in the routing tables.</summary>
/// <param name="Flags">What of the packet is looked up.</param>
/// <param name="Result">What of the answer is wanted.</param>
/// <param name="Destination">Register.</param>
public sealed record Fib(NftFibFlags Flags, NftFibResult Result, NftRegisters Destination) : Expression
{
    public override string Name => "fib";

    private protected override string Text => $"fib {FlagNames} {ResultName} => {Destination.Print()}";

    private string FlagNames => string.Join(" . ", Enum.GetValues<NftFibFlags>()
        .Where(flag => flag is > NftFibFlags.None and < NftFibFlags.NFTA_FIB_F_PRESENT && Flags.HasFlag(flag))
        .Select(flag => flag.ToString()["NFTA_FIB_F_".Length..].ToLowerInvariant()));

    private string ResultName => Result switch
    {
        NftFibResult.NFT_FIB_RESULT_OIF => "oif",
        NftFibResult.NFT_FIB_RESULT_OIFNAME => "oifname",
        NftFibResult.NFT_FIB_RESULT_ADDRTYPE => "type",
        _ => $"{(uint)Result}",
    } + (Flags.HasFlag(NftFibFlags.NFTA_FIB_F_PRESENT) ? " present" : "");

    internal static Fib Read(NetlinkAttribute data)
    {
        var read = new Fib(NftFibFlags.None, default, default);
        foreach (var attribute in data.Nested)
            switch (attribute.Type)
            {
                case NFTA_FIB_DREG:
                    read = read with { Destination = (NftRegisters)attribute.UInt32BigEndian };
                    break;
                case NFTA_FIB_RESULT:
                    read = read with { Result = (NftFibResult)attribute.UInt32BigEndian };
                    break;
                case NFTA_FIB_FLAGS:
                    read = read with { Flags = (NftFibFlags)attribute.UInt32BigEndian };
                    break;
            }
        return read;
    }

    private protected override void WriteData(NetlinkWriter writer)
    {
        writer.UInt32BigEndian(NFTA_FIB_FLAGS, (uint)Flags);
        writer.UInt32BigEndian(NFTA_FIB_RESULT, (uint)Result);
        writer.UInt32BigEndian(NFTA_FIB_DREG, (uint)Destination);
    }
}
