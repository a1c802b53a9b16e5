using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Route;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Kernel;

/// <summary>Forwarding entries of the VXLAN devices; every entry there is ours, the devices learn none.</summary>
public sealed class FdbTable(NetlinkSocket socket, LinkTable links) : RtnetlinkTable<FdbKey, InetAddress>(socket, links)
{
    /// <inheritdoc/>
    protected override Dictionary<FdbKey, InetAddress> Dump()
    {
        var rows = new Dictionary<FdbKey, InetAddress>();
        foreach (var name in (string[])[Ownership.VxlanDevice, Ownership.Vxlan6Device])
        {
            if (!Devices.TryGetValue(name, out var index))
                continue;
            foreach (var entry in NeighborMessage.Dump(Socket, Af.AF_BRIDGE, index))
            {
                if (entry is { Destination: { } destination, LinkLayerAddress: { } mac })
                    rows[new(name, mac)] = destination;
            }
        }

        return rows;
    }

    /// <inheritdoc/>
    protected override string? DeviceOf(FdbKey key, InetAddress value) => key.Device;

    /// <inheritdoc/>
    protected override void WriteUpsert(NetlinkWriter writer, uint sequence, FdbKey key, InetAddress value, int device) =>
        NeighborMessage.WriteReplace(writer, sequence, NeighborMessage.Forwarding(device, key.LinkLayerAddress, value));

    /// <inheritdoc/>
    protected override void WriteDelete(NetlinkWriter writer, uint sequence, FdbKey key, InetAddress value, int device) =>
        NeighborMessage.WriteDelete(writer, sequence, NeighborMessage.Forwarding(device, key.LinkLayerAddress, value));

    /// <inheritdoc/>
    protected override string Text(FdbKey key, InetAddress value) => NodeText.Print(new FdbEntry(key, value));
}
