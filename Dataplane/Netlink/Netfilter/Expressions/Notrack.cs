namespace Overlay.Dataplane.Netlink.Netfilter.Expressions;

/// <summary>nft_ct.c, notrack: connection tracking passes the packet over. It has no attributes.</summary>
public sealed record Notrack : Expression
{
    public override string Name => "notrack";

    private protected override string Text => "notrack";

    private protected override void WriteData(NetlinkWriter writer)
    {
        // It has none.
    }
}
