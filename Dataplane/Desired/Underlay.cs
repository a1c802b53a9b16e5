using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Desired;

/// <summary>An address that a device of this machine has; none of ours, and none that is link-local.</summary>
/// <param name="Device">The device's name.</param>
/// <param name="Prefix">The address, with the length of its subnet.</param>
/// <param name="Mtu">MTU of the device, bytes.</param>
public readonly record struct DeviceAddress(string Device, Cidr Prefix, int Mtu);

/// <summary>What of this machine carries packets between nodes: one address of each family that it has. Pure.</summary>
/// <param name="Addresses">One of each family at most, IPv4 first. <c>Device</c> is empty for one that no device has: the Node says so, and the machine does not.</param>
/// <param name="Degradations">What is wrong with them.</param>
public sealed record Underlay(EquatableArray<DeviceAddress> Addresses, EquatableArray<Degradation> Degradations)
{
    /// <summary>What is assumed where there is no device to ask: Ethernet's.</summary>
    public const int EthernetMtu = 1500;

    /// <summary>Devices of ours whose packets' checksums the kernel is to make: what sends them in the end would make them wrong.</summary>
    public EquatableArray<string> SoftwareChecksums { get; init; } = [];

    /// <summary>The one of a family, or null.</summary>
    public DeviceAddress? Of(Family family)
    {
        foreach (var address in Addresses)
        {
            if (address.Prefix.Family == family)
                return address;
        }

        return null;
    }

    /// <summary>The addresses alone.</summary>
    public EquatableArray<InetAddress> Own => Addresses.Select(address => address.Prefix.Address).ToEquatableArray();

    /// <summary>The IPv6 address, if a device has it.</summary>
    public InetAddress? OfIPv6 => Of(Family.IPv6) is { Device.Length: > 0 } address ? address.Prefix.Address : null;

    /// <summary>Without a machine: the addresses that are listed, or the Node's, on an Ethernet of which each /24 and /64 is a subnet.</summary>
    public static Underlay Assumed(NodeAddressChoice choice, EquatableArray<InetAddress> internalIPs) => new(
        FirstOfEach(choice is NodeAddressChoice.Listed listed ? listed.Addresses : internalIPs)
            .Select(address => new DeviceAddress("underlay", new(address, address.Family == Family.IPv4 ? 24 : 64), EthernetMtu)).ToEquatableArray(),
        []);

    /// <summary>Chooses.</summary>
    /// <param name="choice">How.</param>
    /// <param name="internalIPs">Of this node's Node.</param>
    /// <param name="found">What the machine has, in the kernel's order.</param>
    /// <param name="source">For <see cref="NodeAddressChoice.Reaching"/>: from where the kernel would send; null: it knows no way.</param>
    public static Underlay Choose(NodeAddressChoice choice, EquatableArray<InetAddress> internalIPs, IReadOnlyList<DeviceAddress> found, InetAddress? source)
    {
        switch (choice)
        {
            case NodeAddressChoice.Auto:
                return Present(internalIPs, found, "Correct the Node's InternalIP, or set nodeAddress.");
            case NodeAddressChoice.Listed listed:
                return Present(listed.Addresses, found, "Correct nodeAddress.");
            case NodeAddressChoice.OfDevices devices:
                var device = devices.Names.SelectMany(name => found.Where(address => Matches(address.Device, name))).Select(address => address.Device).FirstOrDefault();
                return Those(choice, found.Where(address => address.Device == device));
            case NodeAddressChoice.Within within:
                return Those(choice, within.Prefixes.SelectMany(prefix => found.Where(address => prefix.Contains(address.Prefix.Address))));
            case NodeAddressChoice.Reaching:
                var way = found.Where(address => address.Prefix.Address == source).ToList();
                return Those(choice, [.. way, .. found.Where(address => way.Exists(first => first.Device == address.Device))]);
            default:
                throw new System.Diagnostics.UnreachableException();
        }
    }

    // Of each family the first that a device has; where none has, the first, as other nodes send there whatever this machine says.
    private static Underlay Present(EquatableArray<InetAddress> addresses, IReadOnlyList<DeviceAddress> found, string remedy)
    {
        var chosen = new List<DeviceAddress>();
        var degradations = new List<Degradation>();
        foreach (var family in addresses.GroupBy(address => address.Family).OrderBy(family => family.Key))
        {
            var present = family.SelectMany(address => found.Where(device => device.Prefix.Address == address)).ToList();
            chosen.Add(present.Count > 0 ? present[0] : new("", Cidr.Host(family.First()), EthernetMtu));
            if (present.Count == 0)
                degradations.Add(new("underlay", $"no device of this machine has the node's address {family.First()}; MTU {EthernetMtu} is assumed. {remedy}"));
        }

        return new(chosen.ToEquatableArray(), degradations.ToEquatableArray());
    }

    private static Underlay Those(NodeAddressChoice choice, IEnumerable<DeviceAddress> candidates)
    {
        var chosen = candidates.GroupBy(address => address.Prefix.Family).OrderBy(family => family.Key).Select(family => family.First()).ToEquatableArray();
        return new(chosen, chosen.Count > 0 ? [] : [new("underlay", $"nodeAddress: {choice} finds no address on this machine; it has no tunnel until one does. Correct nodeAddress.")]);
    }

    private static IEnumerable<InetAddress> FirstOfEach(EquatableArray<InetAddress> addresses) =>
        addresses.GroupBy(address => address.Family).OrderBy(family => family.Key).Select(family => family.First());

    private static bool Matches(string device, string name) =>
        name.EndsWith('*') ? device.StartsWith(name.AsSpan(0, name.Length - 1), StringComparison.Ordinal) : device == name;
}
