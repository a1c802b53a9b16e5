using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.PolicyEngine.Compile;

/// <summary>
/// The chains and maps of host ports, there while a pod of this node has one. Few rules, whatever the number of ports: what comes for an address of the node is looked up by (address, protocol, port),
/// then by (protocol, port), and goes to the pod found. Policy is behind it and sees the pod's address and the client's: a client's address stays, but where no reply would come back.
/// </summary>
public static class HostPorts
{
    private const string Pods = RulesetOptions.PodInterfacePrefix + "*";
    private static readonly Cidr Loopback = Cidr.Parse("127.0.0.0/8");
    private static readonly Cidr LoopbackIPv6 = Cidr.Parse("::1/128");

    /// <summary>Map of host ports to pods' endpoints: <c>hostport-v4</c>, or <c>hostport-address-v4</c> for those that are only at one address of the node.</summary>
    public static string MapOf(Family family, bool byAddress) => $"hostport-{(byAddress ? "address-" : "")}{family.Suffix()}";

    /// <summary>The chains.</summary>
    public static EquatableArray<Chain> Chains { get; } = [Prerouting, Input, Output, Postrouting, Translation];

    /// <summary>The maps.</summary>
    public static EquatableArray<Set> Maps { get; } = FamilyFacts.Both.SelectMany(family => (Set[])
    [
        new(MapOf(family, byAddress: true), [family.AddressType(), DataType.InetProto, DataType.InetService]) { EndpointFamily = family },
        new(MapOf(family, byAddress: false), [DataType.InetProto, DataType.InetService]) { EndpointFamily = family },
    ]).ToEquatableArray();

    /// <summary>The elements of the maps for the pods of this node, by name of the map. Of two pods that want one host port the first by name has it.</summary>
    public static IReadOnlyDictionary<string, EquatableArray<Element>> Elements(IEnumerable<Pod> pods)
    {
        var elements = Maps.ToDictionary(map => map.Name, _ => new Dictionary<ElementKey, Element>());
        foreach (var port in pods.OrderBy(pod => pod.Name).SelectMany(pod => pod.HostPorts))
        {
            var key = (port.NodeAddress is { } address ? ElementKey.Of(address) : default).And(port.Protocol).And(port.Port);
            elements[MapOf(port.PodAddress.Family, port.NodeAddress is not null)].TryAdd(key, Element.Of(key) with { Endpoint = new(port.PodAddress, port.PodPort) });
        }

        return elements.ToDictionary(map => map.Key, map => map.Value.Values.ToEquatableArray());
    }

    private static Rule Local => new([new Match.AddressIsLocal(Side.Daddr)], [new Statement.Final(Verdict.Goto(Translation.Name))]);

    private static Chain Prerouting => new("hostport-prerouting", new(ChainType.Nat, Hook.Prerouting, -100), [Local]);

    // No kernel sends what comes from ::1 out of any device, whatever its source becomes.
    private static Chain Output => new("hostport-output", new(ChainType.Nat, Hook.Output, -100),
    [
        new([new Match.AddressInPrefix(Side.Daddr, LoopbackIPv6)], [new Statement.Final(Verdict.Accept)]),
        Local,
    ]);

    // The interfaces of pods with host ports let the node's loopback addresses through (route_localnet), for replies to what the node asked from them. Nothing may begin that way.
    private static Chain Input => new("hostport-input", new(ChainType.Filter, Hook.Input, -1),
    [
        new(
            [new Match.InputInterface(Pods), new Match.ConnectionState(CtState.Invalid | CtState.New | CtState.Untracked), new Match.AddressInPrefix(Side.Daddr, Loopback)],
            [new Statement.Counter(), new Statement.Final(Verdict.Drop)],
            "to a loopback address"),
    ]);

    // A pod cannot answer itself, nor a loopback address: both would stay within it.
    private static Chain Postrouting => new("hostport-postrouting", new(ChainType.Nat, Hook.Postrouting, 99),
    [
        new([new Match.OutputInterface(Pods), new Match.AddressInPrefix(Side.Saddr, Loopback)], [new Statement.Masquerade()]),
        .. FamilyFacts.Both.Select(family => new Rule([new Match.OutputInterface(Pods), new Match.AddressPairInSet(family, BaseChains.Self(family))], [new Statement.Masquerade()], "to itself")),
    ]);

    private static Chain Translation => new("hostport", null,
        (from byAddress in (bool[])[true, false]
         from family in FamilyFacts.Both
         select new Rule([], [new Statement.DestinationNat(family, byAddress, MapOf(family, byAddress))])).ToEquatableArray());
}
