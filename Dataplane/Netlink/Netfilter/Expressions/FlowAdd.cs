using static Overlay.Dataplane.Netlink.Netfilter.Expressions.NftaFlow;

namespace Overlay.Dataplane.Netlink.Netfilter.Expressions;

/// <summary>NFTA_FLOW_* (<c>enum nft_offload_attributes</c>).</summary>
public static class NftaFlow
{
    public const ushort NFTA_FLOW_TABLE_NAME = 1;
}

/// <summary>nft_flow_offload.c: the packet's connection is put into a flowtable; without effect on one of another protocol than TCP, UDP and GRE, and on a TCP connection that is not established. In the forward hook only.</summary>
/// <param name="Flowtable">Its name, of the same table.</param>
public sealed record FlowAdd(string Flowtable) : Expression
{
    public override string Name => "flow_offload";

    private protected override string Text => $"flow add @{Flowtable}";

    internal static FlowAdd Read(NetlinkAttribute data)
    {
        var name = "";
        foreach (var attribute in data.Nested)
            if (attribute.Type == NFTA_FLOW_TABLE_NAME)
                name = attribute.String;
        return new(name);
    }

    private protected override void WriteData(NetlinkWriter writer) => writer.String(NFTA_FLOW_TABLE_NAME, Flowtable);
}
