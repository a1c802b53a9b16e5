using static Overlay.Dataplane.Netlink.Netfilter.NftaDevice;
using static Overlay.Dataplane.Netlink.Netfilter.NftaFlowtable;
using static Overlay.Dataplane.Netlink.Netfilter.NftaFlowtableHook;

namespace Overlay.Dataplane.Netlink.Netfilter;

/// <summary>NFTA_FLOWTABLE_* (<c>enum nft_flowtable_attributes</c>).</summary>
public static class NftaFlowtable
{
    public const ushort NFTA_FLOWTABLE_TABLE = 1;
    public const ushort NFTA_FLOWTABLE_NAME = 2;
    public const ushort NFTA_FLOWTABLE_HOOK = 3;
}

/// <summary>NFTA_FLOWTABLE_HOOK_* (<c>enum nft_flowtable_hook_attributes</c>).</summary>
public static class NftaFlowtableHook
{
    public const ushort NFTA_FLOWTABLE_HOOK_NUM = 1;
    public const ushort NFTA_FLOWTABLE_HOOK_PRIORITY = 2;
    public const ushort NFTA_FLOWTABLE_HOOK_DEVS = 3;
}

/// <summary>NFTA_DEVICE_* (<c>enum nft_devices_attributes</c>).</summary>
public static class NftaDevice
{
    public const ushort NFTA_DEVICE_NAME = 1;
}

/// <summary>
/// NFT_MSG_*FLOWTABLE: a flowtable of the family inet, which takes packets of flows that it knows at the ingress of its devices, before any chain, and sends them on
/// (Documentation/networking/nf_flowtable.rst of the kernel).
/// </summary>
/// <param name="Table">NFTA_FLOWTABLE_TABLE.</param>
/// <param name="Name">NFTA_FLOWTABLE_NAME.</param>
/// <param name="Devices">NFTA_FLOWTABLE_HOOK_DEVS: names. One that is removed is taken off by the kernel.</param>
internal sealed record FlowtableMessage(string Table, string Name, IReadOnlyCollection<string> Devices)
{
    // NF_NETDEV_INGRESS (linux/netfilter.h).
    private const uint Ingress = 0;

    /// <summary>Equivalent to: <c>nft add flowtable inet TABLE NAME { hook ingress priority filter; devices = { … }; }</c>. To one that exists the devices are added; one of them that does not exist fails with ENOENT.</summary>
    internal void WriteNew(Batch batch)
    {
        var writer = batch.Writer;
        var message = batch.BeginMessage(NftMsgType.NFT_MSG_NEWFLOWTABLE, NlmF.NLM_F_CREATE, new(NftObjectKind.Flowtable, Name));
        writer.String(NFTA_FLOWTABLE_TABLE, Table);
        writer.String(NFTA_FLOWTABLE_NAME, Name);
        var hook = writer.BeginNest(NFTA_FLOWTABLE_HOOK.Nested());
        writer.UInt32BigEndian(NFTA_FLOWTABLE_HOOK_NUM, Ingress);
        writer.UInt32BigEndian(NFTA_FLOWTABLE_HOOK_PRIORITY, 0);
        if (Devices.Count > 0)
        {
            var devices = writer.BeginNest(NFTA_FLOWTABLE_HOOK_DEVS.Nested());
            foreach (var device in Devices)
                writer.String(NFTA_DEVICE_NAME, device);
            writer.EndNest(devices);
        }

        writer.EndNest(hook);
        batch.EndMessage(message);
    }

    /// <summary>Asks for the flowtables of all tables of the family inet.</summary>
    internal static void WriteDump(NetlinkWriter writer, uint sequence) =>
        writer.EndMessage(writer.BeginMessage(NftMsgType.NFT_MSG_GETFLOWTABLE, NlmF.NLM_F_DUMP, sequence));

    /// <summary>Collects flowtables.</summary>
    internal static void Read(NetlinkMessage message, List<FlowtableMessage> rows)
    {
        var (table, name) = ("", "");
        var devices = new List<string>();
        foreach (var attribute in Nfnetlink.Attributes(message))
            switch (attribute.Type)
            {
                case NFTA_FLOWTABLE_TABLE:
                    table = attribute.String;
                    break;
                case NFTA_FLOWTABLE_NAME:
                    name = attribute.String;
                    break;
                case NFTA_FLOWTABLE_HOOK:
                    foreach (var hook in attribute.Nested)
                        if (hook.Type == NFTA_FLOWTABLE_HOOK_DEVS)
                            foreach (var device in hook.Nested)
                                devices.Add(device.String);
                    break;
            }
        if (Nfnetlink.IsInet(message))
            rows.Add(new(table, name, devices));
    }
}
