using System.Globalization;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.PolicyEngine.Compile;

/// <summary>Makes <see cref="SetSource"/>s under the names that their content gives them.</summary>
internal static class SetSources
{
    /// <summary><c>peer-HASH-v4</c>: the addresses of selected pods.</summary>
    public static SetSource Peers(Family family, EquatableArray<Selector> selectors) =>
        new SetSource.Pods(new(Name("peer", Parts(selectors), family), [family.AddressType()]), family, selectors, null, null);

    /// <summary><c>peer-HASH-v4</c>: the addresses of pods of which no rule can tell whom it means.</summary>
    public static SetSource OfUnknownNamespaces(Family family) => Peers(family, [Selector.OfUnknownNamespaces]);

    /// <summary><c>peer-port-HASH-v4</c>: addresses of selected pods (within ranges, if given), each with the pod's own ports of these names.</summary>
    public static SetSource PeerPorts(Family family, EquatableArray<Selector> selectors, EquatableArray<AddressRange>? within, EquatableArray<PortName> ports)
    {
        var name = Name("peer-port", [.. Parts(selectors), .. Parts(within ?? []), within is null ? "anywhere" : "within", .. Parts(ports)], family);
        return new SetSource.Pods(new(name, AddressPort(family)), family, selectors, within, ports);
    }

    /// <summary><c>pod-port-HASH-v4</c>: addresses of the pods on this node, each with the pod's own ports of these names.</summary>
    public static SetSource LocalPorts(Family family, EquatableArray<PortName> ports) =>
        new SetSource.LocalPods(new(Name("pod-port", Parts(ports), family), AddressPort(family)), family, ports);

    /// <summary><c>cidr-HASH-v4</c>: addresses wherever they are.</summary>
    public static SetSource Addresses(Family family, EquatableArray<AddressRange> ranges) =>
        new SetSource.Fixed(
            new(Name("cidr", Parts(ranges), family), [family.AddressType()], IsInterval: true),
            ranges.Select(range => Element.Range(range.First, range.Last)).ToEquatableArray());

    /// <summary><c>node-HASH-v4</c>: all addresses of selected nodes.</summary>
    public static SetSource Nodes(Family family, EquatableArray<LabelSelector> selectors) =>
        new SetSource.Nodes(new(Name("node", [Count(selectors.Count), .. selectors.SelectMany(Parts)], family), [family.AddressType()]), family, selectors, null);

    /// <summary><c>node-HASH-v4</c>: all addresses of all nodes.</summary>
    public static SetSource AllNodes(Family family) => Nodes(family, [LabelSelector.Everything]);

    /// <summary><c>node-HASH-v4</c>: the tunnel addresses of nodes with an address in the ranges.</summary>
    public static SetSource Tunnels(Family family, EquatableArray<AddressRange> ranges) =>
        new SetSource.Nodes(new(Name("node", ["within", .. Parts(ranges)], family), [family.AddressType()]), family, null, ranges);

    /// <summary><c>ports-HASH</c>: ports by number. The set is a plain one unless there is a range.</summary>
    public static SetSource Ports(EquatableArray<PortMatch.Numeric> ports)
    {
        var parts = ports.Select(port => string.Create(CultureInfo.InvariantCulture, $"{(byte)port.Protocol} {port.First}-{port.Last}"));
        return new SetSource.Fixed(
            new($"ports-{ContentHash.Of(ContentHash.Long, parts)}", [DataType.InetProto, DataType.InetService], IsInterval: ports.Any(port => port.First != port.Last)),
            ports.Select(port => new Element(Key(port, port.First), Key(port, port.Last), null)).ToEquatableArray());
    }

    /// <summary>The set <c>self-v4</c>: pairs of a local pod's address with itself.</summary>
    public static SetSource Self(Family family) =>
        new SetSource.LocalPods(new(BaseChains.Self(family), [family.AddressType(), family.AddressType()]), family, null);

    private static ElementKey Key(PortMatch.Numeric port, ushort number) => ElementKey.Of(port.Protocol).And(number);

    private static EquatableArray<DataType> AddressPort(Family family) => [family.AddressType(), DataType.InetProto, DataType.InetService];

    private static string Name(string role, IEnumerable<string> parts, Family family) =>
        $"{role}-{ContentHash.Of(ContentHash.Long, parts)}-{family.Suffix()}";

    // Counts go before lists, so that no list runs into the next.
    private static IEnumerable<string> Parts(EquatableArray<Selector> selectors) =>
        [
            Count(selectors.Count),
            .. selectors.SelectMany(selector => (string[])
                [selector.IsOfUnknownNamespaces ? "unknown" : selector.Namespace is null ? "any" : "own", selector.Namespace ?? "", .. Parts(selector.NamespaceSelector), .. Parts(selector.PodSelector)]),
        ];

    private static IEnumerable<string> Parts(LabelSelector selector) =>
        [
            Count(selector.Requirements.Count),
            .. selector.Requirements.SelectMany(requirement => (string[])
                [requirement.Key, requirement.Operator.ToString(), Count(requirement.Values.Count), .. requirement.Values]),
        ];

    private static IEnumerable<string> Parts(EquatableArray<AddressRange> ranges) =>
        [Count(ranges.Count), .. ranges.SelectMany(range => (string[])[range.First.ToString(), range.Last.ToString()])];

    private static IEnumerable<string> Parts(EquatableArray<PortName> ports) =>
        [Count(ports.Count), .. ports.SelectMany(port => (string[])[port.Protocol.ToString(), port.Name])];

    private static string Count(int count) => count.ToString(CultureInfo.InvariantCulture);
}
