using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Route;

namespace Overlay.Dataplane.Kernel;

/// <summary>Addresses on our tunnel device; every address there is ours.</summary>
public sealed class AddressTable(NetlinkSocket socket, LinkTable links) : RtnetlinkTable<Address, Present>(socket, links)
{
    /// <inheritdoc/>
    protected override Dictionary<Address, Present> Dump() => Devices.TryGetValue(Ownership.VxlanDevice, out var index)
        ? AddressMessage.Dump(Socket, index).ToDictionary(address => new Address(Ownership.VxlanDevice, address.Prefix), _ => default(Present))
        : [];

    /// <inheritdoc/>
    protected override string? DeviceOf(Address key, Present value) => key.Device;

    /// <inheritdoc/>
    protected override void WriteUpsert(NetlinkWriter writer, uint sequence, Address key, Present value, int device) =>
        AddressMessage.WriteNew(writer, sequence, new() { Index = device, Prefix = key.Prefix, Flags = key.Prefix.Family == PolicyEngine.Model.Family.IPv6 ? IfaF.IFA_F_NODAD : IfaF.None });

    /// <inheritdoc/>
    protected override void WriteDelete(NetlinkWriter writer, uint sequence, Address key, Present value, int device) =>
        AddressMessage.WriteDelete(writer, sequence, new() { Index = device, Prefix = key.Prefix });

    /// <inheritdoc/>
    protected override string Text(Address key, Present value) => NodeText.Print(key);
}
