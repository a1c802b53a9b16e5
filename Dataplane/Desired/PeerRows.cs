using System.Diagnostics;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Desired;

/// <summary>
/// The ways from this node to the others, and their rows. A node is reached over the family that both have an address of, IPv4 before IPv6, so that both ends come to the same; and by which
/// device, the encapsulation and both families say:
/// <code>
///           over IPv4                         over IPv6
/// vxlan     overlay-vxlan                     overlay-vxlan, or overlay-vxlan6 when the node has IPv4, too
/// ipip      overlay-ipip, overlay-sit (IPv6)  overlay-ip6tnl
/// none      the underlay's own device: the other node is the gateway, on the same subnet
/// </code>
/// With <c>crossSubnet</c> nodes of the same subnet are reached as with none. A device that no node needs is not made, but for the first of the node's own, which others may come to need at any time.
/// </summary>
/// <param name="configuration">Of this node.</param>
/// <param name="self">This node, with the prefixes that are its own.</param>
/// <param name="underlay">Its addresses.</param>
/// <param name="mtu">Of the devices, bytes.</param>
/// <param name="rows">Takes the rows.</param>
/// <param name="degradations">Takes what cannot be reached, and why.</param>
internal sealed class PeerRows(OverlayConfiguration configuration, Node self, Underlay underlay, int mtu, RowLists rows, List<Degradation> degradations)
{
    private readonly HashSet<MacAddress> _macs = [Ownership.VtepMac(self.Name)];
    private readonly Dictionary<Family, InetAddress> _own = VtepAddresses(self.PodCidrs);

    /// <summary>Bytes that the encapsulation adds over an underlay of this family: VXLAN has an outer IP header, UDP 8, VXLAN 8 and an inner Ethernet header 14 (RFC 7348); IP-in-IP the outer header alone (RFC 2003, 2473, 4213).</summary>
    public static int Overhead(Encapsulation encapsulation, Family underlay)
    {
        var header = underlay == Family.IPv4 ? 20 : 40;
        return encapsulation switch
        {
            Encapsulation.Vxlan => header + 8 + 8 + 14,
            Encapsulation.Ipip => header,
            _ => 0,
        };
    }

    /// <summary>The network address of the first prefix of each family, which no pod ever gets and everybody can derive: by it a node is known at its end of a tunnel.</summary>
    public static Dictionary<Family, InetAddress> VtepAddresses(IEnumerable<Cidr> prefixes) =>
        prefixes.GroupBy(prefix => prefix.Family).ToDictionary(family => family.Key, family => family.First().First);

    /// <summary>The families that both ends have an address of, IPv4 first.</summary>
    public static List<Family> Shared(Underlay underlay, Node node) =>
        FamilyFacts.Both.Where(family => underlay.Of(family) is not null && AddressOf(node, family) is not null).ToList();

    /// <summary>Adds the devices that are there whatever the other nodes: those over the first family of the underlay.</summary>
    public void AddOwnDevices()
    {
        if (underlay.Addresses.Count == 0 || configuration.Encapsulation == Encapsulation.None)
            return;
        foreach (var family in _own.Keys)
            Device(underlay.Addresses[0].Prefix.Family, family);
    }

    /// <summary>Adds the way to another node.</summary>
    /// <param name="node">The node.</param>
    /// <param name="granted">Its prefixes, of families that this node's pods have.</param>
    public void Add(Node node, IReadOnlyList<Cidr> granted)
    {
        var subject = $"Node {node.Name}";
        if (node.PodCidrs.Count == 0)
        {
            degradations.Add(new(subject, "has no podCIDRs yet; there are no pods to reach on it."));
            return;
        }

        var shared = Shared(underlay, node);
        if (shared.Count == 0)
        {
            degradations.Add(new(subject, $"has no address of type InternalIP of a family that this node has one of ({string.Join(' ', underlay.Own)}); its pods are unreachable from here."));
            return;
        }

        if (shared.Find(family => AddressOf(node, family) == underlay.Of(family)!.Value.Prefix.Address) is var same and not default(Family))
        {
            degradations.Add(new(subject, $"has this node's own address {AddressOf(node, same)}; its pods are unreachable from here."));
            return;
        }

        var isDirect = configuration.Encapsulation == Encapsulation.None || configuration.CrossSubnet;
        var tunnelled = new List<Cidr>();
        foreach (var prefix in granted)
        {
            if (isDirect && Direct(node, prefix.Family) is { } way)
                AddRoute(new(prefix, RouteType.Unicast, way.Device, way.Gateway));
            else
                tunnelled.Add(prefix);
        }

        if (tunnelled.Count > 0 && configuration.Encapsulation == Encapsulation.None)
            degradations.Add(new(subject, $"is on no subnet of this node ({string.Join(' ', underlay.Addresses.Select(address => address.Prefix))}), or lacks an address of the family of {string.Join(' ', tunnelled)}, which needs a tunnel; its pods are unreachable from here. Set encapsulation to vxlan or ipip, with crossSubnet: true."));
        else if (tunnelled.Count > 0)
            AddTunnelled(node, shared[0], tunnelled);
    }

    /// <summary>The address by which other nodes reach a node, or null.</summary>
    public static InetAddress? AddressOf(Node node, Family family)
    {
        foreach (var address in node.Underlay)
        {
            if (address.Family == family)
                return address;
        }

        return null;
    }

    // An IPv4 prefix may have an IPv6 gateway; the other way round the kernel knows no way.
    private (string Device, InetAddress Gateway)? Direct(Node node, Family pods)
    {
        foreach (var family in (Family[])(pods == Family.IPv4 ? [Family.IPv4, Family.IPv6] : [Family.IPv6]))
        {
            if (underlay.Of(family) is { Device.Length: > 0 } own && AddressOf(node, family) is { } address && own.Prefix.Contains(address))
                return (own.Device, address);
        }

        return null;
    }

    private void AddTunnelled(Node node, Family family, List<Cidr> prefixes)
    {
        var remote = AddressOf(node, family)!.Value;
        if (configuration.Encapsulation == Encapsulation.Vxlan)
        {
            AddVtep(node, family, remote, prefixes);
            return;
        }

        foreach (var prefix in prefixes)
        {
            var route = new Route(prefix, RouteType.Unicast, Device(family, prefix.Family), (family, prefix.Family) switch
            {
                (Family.IPv4, Family.IPv4) => remote,
                (Family.IPv4, Family.IPv6) => new InetAddress(Family.IPv6, remote.Value), // RFC 4291 section 2.5.5.1, as sit reads it
                _ => null,
            });
            AddRoute(family == Family.IPv4 ? route : route with { Outer = new(underlay.Of(family)!.Value.Prefix.Address, remote) });
        }
    }

    private void AddVtep(Node node, Family family, InetAddress remote, List<Cidr> prefixes)
    {
        var mac = Ownership.VtepMac(node.Name);
        if (!_macs.Add(mac))
        {
            degradations.Add(new($"Node {node.Name}", $"its tunnel's Ethernet address {mac}, derived from its name, is another node's, too; its pods are unreachable from here. Give it another name."));
            return;
        }

        var gateways = VtepAddresses(prefixes);
        var device = "";
        foreach (var (pods, gateway) in gateways)
        {
            device = Device(family, pods);
            rows.Neighbors.Add(new(new(device, gateway), mac));
        }

        rows.Fdb.Add(new(new(device, mac), remote));
        foreach (var prefix in prefixes)
            AddRoute(new(prefix, RouteType.Unicast, device, gateways[prefix.Family]));
    }

    // While the device of a way is missing, or made anew, packets would take the default route, bare; so they wait.
    private void AddRoute(Route route)
    {
        if (rows.Add(route))
            rows.Add(new Route(route.Destination, RouteType.Blackhole, null, null) { Metric = Route.LastResort });
    }

    // The device that carries packets of pods' family over an underlay of another or the same; made with its address when it is first asked for.
    private string Device(Family over, Family pods)
    {
        var local = underlay.Of(over)!.Value.Prefix.Address;
        var isFirst = underlay.Addresses[0].Prefix.Family == over;
        var (name, kind) = (configuration.Encapsulation, over, pods) switch
        {
            (Encapsulation.Vxlan, _, _) => (isFirst ? Ownership.VxlanDevice : Ownership.Vxlan6Device, new LinkKind.Vxlan(configuration.VxlanVni, configuration.VxlanPort, local)),
            (Encapsulation.Ipip, Family.IPv4, Family.IPv4) => (Ownership.IpipDevice, new LinkKind.Ipip(local)),
            (Encapsulation.Ipip, Family.IPv4, _) => (Ownership.SitDevice, new LinkKind.Sit(local)),
            (Encapsulation.Ipip, _, _) => (Ownership.Ip6tnlDevice, (LinkKind)new LinkKind.Ip6tnl()),
            _ => throw new UnreachableException(),
        };
        if (!rows.Links.Exists(link => link.Name == name))
            rows.Links.Add(new(name, kind, kind is LinkKind.Vxlan ? Ownership.VtepMac(self.Name) : null, mtu) { SoftwareChecksums = underlay.SoftwareChecksums.Contains(name) });
        var address = new Address(name, Cidr.Host(_own[pods]));
        if (!rows.Addresses.Contains(address))
            rows.Addresses.Add(address);
        return name;
    }
}
