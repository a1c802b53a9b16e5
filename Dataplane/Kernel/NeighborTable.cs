using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Route;

namespace Overlay.Dataplane.Kernel;

/// <summary>Neighbours on the tunnel devices and on pods' interfaces; the permanent ones there are ours.</summary>
public sealed class NeighborTable(NetlinkSocket socket, LinkTable links) : RtnetlinkTable<NeighborKey, MacAddress>(socket, links)
{
    /// <inheritdoc/>
    protected override Dictionary<NeighborKey, MacAddress> Dump()
    {
        var ours = Devices
            .Where(device => Ownership.IsOurs(device.Key))
            .ToDictionary(device => device.Value, device => device.Key);
        var rows = new Dictionary<NeighborKey, MacAddress>();
        foreach (var neighbor in NeighborMessage.Dump(Socket, Af.AF_UNSPEC, 0))
        {
            if ((neighbor.State & Nud.NUD_PERMANENT) != 0 && ours.TryGetValue(neighbor.Index, out var device) && neighbor is { Destination: { } destination, LinkLayerAddress: { } mac })
                rows[new(device, destination)] = mac;
        }

        return rows;
    }

    /// <inheritdoc/>
    protected override string? DeviceOf(NeighborKey key, MacAddress value) => key.Device;

    /// <inheritdoc/>
    protected override void WriteUpsert(NetlinkWriter writer, uint sequence, NeighborKey key, MacAddress value, int device) =>
        NeighborMessage.WriteReplace(writer, sequence, NeighborMessage.Permanent(device, key.Destination, value));

    /// <inheritdoc/>
    protected override void WriteDelete(NetlinkWriter writer, uint sequence, NeighborKey key, MacAddress value, int device) =>
        NeighborMessage.WriteDelete(writer, sequence, NeighborMessage.Permanent(device, key.Destination, value));

    /// <inheritdoc/>
    protected override string Text(NeighborKey key, MacAddress value) => NodeText.Print(new Neighbor(key, value));
}
