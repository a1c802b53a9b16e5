using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Route;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Kernel;

/// <summary>Reads what of this machine can carry packets between nodes; which of it does, <see cref="Desired.Underlay.Choose"/> says.</summary>
public static class MachineAddresses
{
    /// <summary>The underlay, as the machine is now.</summary>
    /// <param name="kernel">The node's kernel.</param>
    /// <param name="choice">How its addresses are found.</param>
    /// <param name="internalIPs">Of its Node.</param>
    /// <param name="softwareChecksums">Devices of ours that are to have no checksum offload. One that has none now keeps it so: whoever switched it off had a reason.</param>
    /// <exception cref="NetlinkException">The kernel refused to tell.</exception>
    public static Underlay Underlay(NodeKernel kernel, NodeAddressChoice choice, EquatableArray<InetAddress> internalIPs, IReadOnlySet<string> softwareChecksums) =>
        Underlay(kernel.Route, choice, internalIPs) with
        {
            SoftwareChecksums = Ownership.Tunnels.Where(device => softwareChecksums.Contains(device) || Ethtool.TxChecksum(kernel.Route, device) == false).Order(StringComparer.Ordinal).ToEquatableArray(),
        };

    /// <summary>As the other, but for checksums.</summary>
    /// <param name="socket">NETLINK_ROUTE.</param>
    /// <param name="choice">How its addresses are found.</param>
    /// <param name="internalIPs">Of its Node.</param>
    /// <exception cref="NetlinkException">The kernel refused to tell.</exception>
    internal static Underlay Underlay(NetlinkSocket socket, NodeAddressChoice choice, EquatableArray<InetAddress> internalIPs)
    {
        var source = choice is NodeAddressChoice.Reaching reaching ? RouteMessage.Get(socket, reaching.Target)?.PrefSrc : null;
        return Desired.Underlay.Choose(choice, internalIPs, Find(socket), source);
    }

    /// <summary>Whether an address can be a node's own towards others: not link-local, nor the machine's loopback.</summary>
    internal static bool Counts(AddressMessage address) => address.Scope == RtScope.RT_SCOPE_UNIVERSE;

    private static List<DeviceAddress> Find(NetlinkSocket socket)
    {
        var links = new Dictionary<int, LinkMessage?>();
        var found = new List<DeviceAddress>();
        foreach (var address in AddressMessage.Dump(socket).Where(Counts).OrderBy(IsFleeting))
        {
            if (!links.TryGetValue(address.Index, out var link))
                links.Add(address.Index, link = LinkMessage.Get(socket, address.Index));
            if (link is not null && !Ownership.IsOurs(link.Name))
                found.Add(new(link.Name, address.Prefix, link.Mtu));
        }

        return found;
    }

    // IPv6 privacy addresses (IFA_F_TEMPORARY, the same bit as IPv4's IFA_F_SECONDARY) and those about to go come after all others.
    private static bool IsFleeting(AddressMessage address) =>
        address.Prefix.Family == Family.IPv6 && (address.Flags & (IfaF.IFA_F_SECONDARY | IfaF.IFA_F_DEPRECATED)) != 0;
}
