namespace Overlay.PolicyEngine.Nftables;

/// <summary>Prints nft(8) text.</summary>
public static partial class NftText
{
}
