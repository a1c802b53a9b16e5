using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Route;

namespace Overlay.Dataplane.Kernel;

/// <summary>Addresses on our tunnel devices; every address there is ours.</summary>
public sealed class AddressTable(NetlinkSocket socket, LinkTable links) : RtnetlinkTable<Address, Present>(socket, links)
{
    /// <inheritdoc/>
    protected override Dictionary<Address, Present> Dump() => Ownership.Tunnels
        .Where(Devices.ContainsKey)
        .SelectMany(name => AddressMessage.Dump(Socket, Devices[name]).Select(address => new Address(name, address.Prefix)))
        .ToDictionary(address => address, _ => default(Present));

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
