using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Route;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Kernel;

/// <summary>The device that carries packets between nodes.</summary>
/// <param name="Device">Its name, or null when no device has the node's address.</param>
/// <param name="Mtu">Its MTU in bytes; Ethernet's 1500 when there is none.</param>
/// <param name="Degradations">What is wrong with it.</param>
public sealed record Underlay(string? Device, int Mtu, EquatableArray<Degradation> Degradations)
{
    private const int EthernetMtu = 1500;

    /// <summary>Finds the device that has the first of <paramref name="nodeAddresses"/>, IPv4 before IPv6.</summary>
    /// <exception cref="NetlinkException">The kernel refused to tell.</exception>
    public static Underlay Find(NodeKernel kernel, EquatableArray<InetAddress> nodeAddresses)
    {
        if (nodeAddresses.Count == 0)
            return new(null, EthernetMtu, []); // The projection reports the missing address.
        var address = nodeAddresses.Min();
        foreach (var present in AddressMessage.Dump(kernel.Route))
        {
            if (present.Prefix.Address == address && LinkMessage.Get(kernel.Route, present.Index) is { } link)
                return new(link.Name, link.Mtu, []);
        }

        return new(null, EthernetMtu, [new("underlay", $"no device of this machine has the node's address {address}; MTU {EthernetMtu} is assumed. Correct the Node's InternalIP, or set nodeAddress.")]);
    }
}
