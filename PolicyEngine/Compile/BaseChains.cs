using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.PolicyEngine.Compile;

/// <summary>
/// The chains and sets that every node has, whatever the policies. What a pod sends is judged in the base chain <c>egress</c>, what is sent to a pod in the base
/// chain <c>ingress</c> behind it, so that accept means the same in both: this half has nothing against it. Each costs one look-up, the dispatch of the pod's address.
/// Two base chains, and not a chain that goes on to another: kernels before 6.19 check a ruleset at each commit by walking every path through it, and paths of one half would
/// be multiplied by those of the other. What neither comes from nor goes to a pod's interface passes both at their first rule.
/// IPVS (kube-proxy's mode ipvs) forwards nothing: it takes packets out of the input hook and sends them from the output hook, where <c>ipvs-egress</c> and <c>ipvs-ingress</c> judge them
/// by the same maps.
/// </summary>
public static class BaseChains
{
    private const string Pods = RulesetOptions.PodInterfacePrefix + "*";

    private static Cidr LinkLocal { get; } = Cidr.Parse("fe80::/10");

    /// <summary>The base chain that judges what local pods send to others.</summary>
    public const string EgressChain = "egress";

    /// <summary>The base chain that judges what others send to local pods.</summary>
    public const string IngressChain = "ingress";

    /// <summary>The base chain that judges what local pods send to others and IPVS sends on.</summary>
    public const string IpvsEgressChain = "ipvs-egress";

    /// <summary>The base chain that judges what others send to local pods and IPVS sends on.</summary>
    public const string IpvsIngressChain = "ipvs-ingress";

    /// <summary>The base chain that judges what local pods send to their own node.</summary>
    public const string HostChain = "host";

    /// <summary>Map of local pods' addresses to what becomes of their packets: <c>ingress-v4</c>, <c>egress-v4</c>, <c>host-v4</c>.</summary>
    public static string Dispatch(PacketPath path, Family family) => $"{path.ToString().ToLowerInvariant()}-{family.Suffix()}";

    /// <summary>Pairs of a local pod's address with itself.</summary>
    public static string Self(Family family) => $"self-{family.Suffix()}";

    /// <summary>All addresses of all nodes.</summary>
    private static string Nodes(Family family) => SetSources.AllNodes(family).Set.Name;

    /// <summary>This node's podCIDRs.</summary>
    public static string LocalPods(Family family) => $"local-pods-{family.Suffix()}";

    /// <summary>Every node's podCIDRs.</summary>
    public static string PodNetwork(Family family) => $"pod-network-{family.Suffix()}";

    /// <summary>The chains.</summary>
    public static EquatableArray<Chain> Chains(RulesetOptions options)
    {
        Chain[] chains = [Prerouting(options), FromPod, Host(options), Egress(options), Ingress(options), IpvsEgress(options), IpvsIngress(options), HairpinOut, HairpinIn];
        return new(options.Masquerade ? [.. chains, Postrouting] : chains);
    }

    /// <summary>The dispatch maps of each family.</summary>
    public static EquatableArray<Set> DispatchMaps { get; } =
        FamilyFacts.Both.SelectMany(family => Enum.GetValues<PacketPath>().Select(path => new Set(Dispatch(path, family), [family.AddressType()], IsVerdictMap: true))).ToEquatableArray();

    /// <summary>The sets of prefixes, with their elements; that of the whole pod network for masquerading only.</summary>
    public static IEnumerable<SetSource.Fixed> Networks(RulesetOptions options, PodNetwork network) =>
        from family in FamilyFacts.Both
        from named in ((string, EquatableArray<Cidr>)[])[(LocalPods(family), network.Local), .. options.Masquerade ? [(PodNetwork(family), network.All)] : Array.Empty<(string, EquatableArray<Cidr>)>()]
        select new SetSource.Fixed(
            new(named.Item1, [family.AddressType()], IsInterval: true),
            AddressRange.Union(named.Item2.Where(prefix => prefix.Family == family).Select(AddressRange.Of))
                .Select(range => Element.Range(range.First, range.Last)).ToEquatableArray());

    // Before connection tracking. Packets of tunnels between nodes need none: what they carry is tracked by itself.
    private static Chain Prerouting(RulesetOptions options) => new("prerouting", new(ChainType.Filter, Hook.Prerouting, -300),
    [
        new([new Match.InputInterface(Pods)], [new Statement.Final(Verdict.Goto(FromPod.Name))]),
        .. BetweenNodes(options, new Statement.Notrack(), Accept),
    ]);

    // Anti-spoofing before anything looks at the packet. Neighbour discovery begins without an address, which no route points back to; of it only what finds neighbours, since a
    // pod that advertises itself as a router, or redirects, could become the node's. Link-local addresses are the
    // link's own: nothing of them is forwarded, and nothing else is to be had by them, since policy knows pods by their other addresses.
    private static Chain FromPod { get; } = new("from-pod", null,
    [
        .. ((Cidr[])[Cidr.Parse("::/128"), LinkLocal]).Select(source => new Rule([new Match.AddressInPrefix(Side.Saddr, source), new Match.Icmpv6Type(135, 136)], [Accept])),
        new([new Match.AddressInPrefix(Side.Saddr, LinkLocal)], [new Statement.Counter(), Drop]),
        new([new Match.SourceNotRoutedBack()], [new Statement.Counter(), Drop]),
    ]);

    private static Chain Egress(RulesetOptions options) => new(EgressChain, new(ChainType.Filter, Hook.Forward, -1),
    [
        new([new Match.InputInterface(Pods, Negated: true)], [Accept]),
        .. Judgement(Side.Saddr, PacketPath.Egress, HairpinOut, options, [], [new Match.InputInterface(Pods)]),
        new([], [new Statement.Counter(), Drop]),
    ]);

    private static Chain Ingress(RulesetOptions options) => new(IngressChain, new(ChainType.Filter, Hook.Forward, 0),
    [
        new([new Match.OutputInterface(Pods, Negated: true)], [Accept]),
        .. Judgement(Side.Daddr, PacketPath.Ingress, HairpinIn, options, [], [new Match.InputInterface(Pods)]),
        new([], [new Statement.Counter(), Drop]),
    ]);

    // Here no packet has a device that it came in by: a source that is not the node's own tells those that IPVS sends on, and no pod can have sent with another's
    // (prerouting). It stands before connection tracking, so that a node's own packets into tunnels can be kept from it; those of IPVS have their connection already, and notrack leaves it to them.
    private static Chain IpvsEgress(RulesetOptions options) => new(IpvsEgressChain, new(ChainType.Filter, Hook.Output, -300),
    [
        .. BetweenNodes(options, new Statement.Notrack(), Accept),
        .. Judgement(Side.Saddr, PacketPath.Egress, HairpinOut, options, [NodesOwn], []),
        .. FamilyFacts.Both.Select(family => new Rule([new Match.AddressInSet(Side.Saddr, family, LocalPods(family))], [new Statement.Counter(), Drop])),
    ]);

    private static Chain IpvsIngress(RulesetOptions options) => new(IpvsIngressChain, new(ChainType.Filter, Hook.Output, 0),
    [
        new([new Match.OutputInterface(Pods, Negated: true)], [Accept]),
        .. Judgement(Side.Daddr, PacketPath.Ingress, HairpinIn, options, [NodesOwn], []),
        new([], [new Statement.Counter(), Drop]),
    ]);

    private static Rule NodesOwn { get; } = new([new Match.AddressIsLocal(Side.Saddr)], [Accept]);

    // Into a tunnel goes only what one node sends to another. A tunnel takes packets at every address of the machine, and a pod's that go to one which no Node tells of are masqueraded as its own node's.
    // What a pod sends to its own node: only tiers of ClusterNetworkPolicy have a say, so a pod without an entry is none that they select. Behind IPVS, which works at
    // NF_IP_PRI_NAT_SRC - 1 here: an address of a Service is the node's own to the kernel, and what IPVS sends on from it is judged by whom it reaches.
    private static Chain Host(RulesetOptions options) => new(HostChain, new(ChainType.Filter, Hook.Input, 100),
    [
        .. BetweenNodes(options, Accept),
        .. options.Tunnels.Select(outer => new Rule(
            [Packet(outer), new Match.ConnectionState(CtState.Invalid | CtState.New | CtState.Untracked)],
            [new Statement.Counter(), Drop],
            $"{outer.Name} not between nodes")),
        new([new Match.InputInterface(Pods, Negated: true)], [Accept]),
        .. Cut(options),
        new([new Match.ConnectionState(CtState.Established | CtState.Related)], [Accept]),
        new([new Match.Icmpv6Type(135, 136)], [Accept]),
        .. Lookup(Side.Saddr, PacketPath.Host),
    ]);

    // What a pod sends to itself comes by here only through a Service. NetworkPolicy lets it pass; to ClusterNetworkPolicy it is traffic like any other
    // (api-overview of sigs.k8s.io/network-policy-api).
    private static Chain HairpinOut { get; } = new("hairpin-out", null, [.. Lookup(Side.Saddr, PacketPath.Host), new([], [Accept])]);

    private static Chain HairpinIn { get; } = new("hairpin-in", null, [.. Lookup(Side.Daddr, PacketPath.Hairpin), new([], [Accept])]);

    // Replies and ICMP errors carry the mark of the connection they belong to, so a revoked one is cut both ways.
    private static Rule[] Cut(RulesetOptions options) => !options.RevokeEstablished ? [] :
        [new([new Match.ConnectionMark(RulesetOptions.RevokedMark, RulesetOptions.RevokedMark)], [new Statement.Counter(), Drop], "revoked")];

    // An address without an entry is a pod that is not, or not yet, known: its packets go nowhere.
    private static IEnumerable<Rule> Judgement(Side side, PacketPath path, Chain hairpin, RulesetOptions options, IEnumerable<Rule> before, IEnumerable<Match> fromPod) =>
    [
        .. Cut(options),
        new([new Match.ConnectionState(CtState.Established | CtState.Related)], [Accept]),
        .. before,
        .. path == PacketPath.Egress ? IntoTunnels(options) : [],
        .. FamilyFacts.Both.Select(family => new Rule([.. fromPod, new Match.AddressPairInSet(family, Self(family))], [new Statement.Final(Verdict.Goto(hairpin.Name))], "to itself")),
        .. Lookup(side, path),
    ];

    private static IEnumerable<Rule> IntoTunnels(RulesetOptions options) => OfTunnels(options, (outer, packet, family) => new Rule(
        [packet, new Match.AddressInSet(Side.Daddr, family, Nodes(family))],
        [new Statement.Counter(), Drop],
        $"{outer.Name} from a pod"));

    private static IEnumerable<Rule> BetweenNodes(RulesetOptions options, params EquatableArray<Statement> statements) => OfTunnels(options, (_, packet, family) => new Rule(
        [packet, new Match.AddressInSet(Side.Saddr, family, Nodes(family)), new Match.AddressInSet(Side.Daddr, family, Nodes(family))],
        statements));

    private static IEnumerable<Rule> OfTunnels(RulesetOptions options, Func<OuterPacket, Match, Family, Rule> rule) =>
        from outer in options.Tunnels
        from family in FamilyFacts.Both
        select rule(outer, Packet(outer), family);

    private static Match Packet(OuterPacket outer) => outer.Port is { } port ? new Match.DestinationPort((IpProtocol)outer.Protocol, port, port) : new Match.L4Protocol(outer.Protocol);

    private static IEnumerable<Rule> Lookup(Side side, PacketPath path) =>
        FamilyFacts.Both.Select(family => new Rule([], [new Statement.AddressVerdictMap(side, family, Dispatch(path, family))]));

    private static Chain Postrouting { get; } = new("postrouting", new(ChainType.Nat, Hook.Postrouting, 100),
        FamilyFacts.Both.Select(family => new Rule(
            [new Match.AddressInSet(Side.Saddr, family, LocalPods(family)), new Match.AddressInSet(Side.Daddr, family, PodNetwork(family), Negated: true)],
            [new Statement.Masquerade()])).ToEquatableArray());

    private static Statement Accept => new Statement.Final(Verdict.Accept);

    private static Statement Drop => new Statement.Final(Verdict.Drop);
}
