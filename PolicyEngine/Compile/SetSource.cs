using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.PolicyEngine.Compile;

/// <summary>A port by name and protocol, as a rule asks for it.</summary>
/// <param name="Protocol">Protocol.</param>
/// <param name="Name">Name of the container port.</param>
public readonly record struct PortName(IpProtocol Protocol, string Name);

/// <summary>
/// A set that rules refer to and where its elements come from: the join of policies and pods, as data. Its name is made of its content,
/// so equal sources are one set, however many rules use them. A closed family.
/// </summary>
/// <param name="Set">The set; one family each.</param>
public abstract record SetSource(Set Set)
{
    /// <summary>Elements that no pod changes: the ports or the ipBlocks of a rule.</summary>
    /// <param name="Set">The set.</param>
    /// <param name="Elements">All of them, disjoint.</param>
    public sealed record Fixed(Set Set, EquatableArray<Element> Elements) : SetSource(Set);

    /// <summary>Of every pod that one of the selectors selects: its addresses, or its addresses each with its ports of the names asked for.</summary>
    /// <param name="Set">The set.</param>
    /// <param name="Family">Family of the addresses.</param>
    /// <param name="Selectors">Alternatives.</param>
    /// <param name="Within">Only addresses in one of these; null for all.</param>
    /// <param name="Ports">Null: the key is an address. Else the key is (address, protocol, port).</param>
    public sealed record Pods(Set Set, Family Family, EquatableArray<Selector> Selectors, EquatableArray<AddressRange>? Within, EquatableArray<PortName>? Ports)
        : SetSource(Set);

    /// <summary>Of every pod wired on this node: pairs of its address with itself, or its addresses each with its ports of the names asked for.</summary>
    /// <param name="Set">The set.</param>
    /// <param name="Family">Family of the addresses.</param>
    /// <param name="Ports">Null: the key is (address, address). Else the key is (address, protocol, port).</param>
    public sealed record LocalPods(Set Set, Family Family, EquatableArray<PortName>? Ports) : SetSource(Set);

    /// <summary>
    /// Of nodes: all addresses of those that a selector selects; or the tunnel addresses of those that have another address in one of the ranges, so that
    /// what is said of a node's address holds for the address that other nodes' pods know it by.
    /// </summary>
    /// <param name="Set">The set.</param>
    /// <param name="Family">Family of the addresses.</param>
    /// <param name="Selectors">Alternatives; null when <paramref name="Within"/> decides.</param>
    /// <param name="Within">Ranges; null when <paramref name="Selectors"/> decide.</param>
    public sealed record Nodes(Set Set, Family Family, EquatableArray<LabelSelector>? Selectors, EquatableArray<AddressRange>? Within) : SetSource(Set);

    /// <summary>The keys a node has in a set of this source.</summary>
    public IEnumerable<ElementKey> Keys(ClusterNode node)
    {
        if (this is not Nodes source)
            return [];
        var selected = source.Selectors is { } selectors
            ? selectors.Any(selector => selector.Matches(node.Labels)) ? node.Addresses.Concat(node.TunnelAddresses) : []
            : node.Addresses.Any(address => source.Within!.Value.Any(range => range.Contains(address))) ? node.TunnelAddresses : Enumerable.Empty<InetAddress>();
        return selected.Where(address => address.Family == source.Family).Distinct().Select(ElementKey.Of);
    }

    /// <summary>The keys a pod has in a set of this source, once it is selected.</summary>
    public IEnumerable<ElementKey> Keys(Pod pod) => this switch
    {
        Pods { Ports: null } source => Addresses(pod, source.Family, source.Within).Select(ElementKey.Of),
        Pods source => Addresses(pod, source.Family, source.Within).SelectMany(address => PortKeys(pod, address, source.Ports.Value)),
        LocalPods { Ports: null } source => Addresses(pod, source.Family, null).Select(address => ElementKey.Of(address).And(address)),
        LocalPods source => Addresses(pod, source.Family, null).SelectMany(address => PortKeys(pod, address, source.Ports.Value)),
        _ => [],
    };

    private static IEnumerable<InetAddress> Addresses(Pod pod, Family family, EquatableArray<AddressRange>? within) =>
        pod.Addresses.Where(address => address.Family == family && (within is not { } ranges || ranges.Any(range => range.Contains(address)))).Distinct();

    private static IEnumerable<ElementKey> PortKeys(Pod pod, InetAddress address, EquatableArray<PortName> names) =>
        pod.Ports
            .Where(port => names.AsSpan().Contains(new PortName(port.Protocol, port.Name)))
            .Select(port => ElementKey.Of(address).And(port.Protocol).And(port.Port))
            .Distinct();
}
