using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Tests.PolicyEngine;

/// <summary>
/// Every kind of rule that the compiler makes: each kind of peers with each kind of ports, in both directions, in each tier with each action; and the base chains
/// with each option. Policies as small as can be, all for one pod.
/// </summary>
internal static class RuleCatalogue
{
    private static readonly LabelSelector Web = LabelSelector.Of(new LabelSelectorRequirement("app", LabelSelectorOperator.In, ["web"]));

    private static readonly (string Name, Peer[] Peers)[] Peers =
    [
        ("any", [new Peer.Any()]),
        ("pods", [new Peer.Pods(LabelSelector.Everything, Web)]),
        ("nodes", [new Peer.Nodes(LabelSelector.Everything)]),
        ("pods-and-nodes", [new Peer.Pods(LabelSelector.Everything, Web), new Peer.Nodes(LabelSelector.Everything)]),
        .. new[] { "0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/9", "10.0.0.1/32", "::/0", "fd00::/16", "fd00::/17", "fd00::1/128" }.Select(cidr => (cidr, (Peer[])[Block(cidr)])),
        ("blocks", [Block("10.0.0.0/8"), Block("172.16.0.1/32"), Block("fd00::/16"), Block("fe00::1/128")]),
        ("except", [new Peer.IPBlock(Cidr.Parse("10.0.0.0/8"), [Cidr.Parse("10.1.0.0/16")]), new Peer.IPBlock(Cidr.Parse("fd00::/16"), [Cidr.Parse("fd00:1::/32")])]),

        // Exceptions that leave one prefix: of whole bytes, of bits, and an address.
        .. new[]
        {
            ("10.0.0.0/7", "11.0.0.0/8"), ("10.0.0.0/8", "10.128.0.0/9"), ("10.0.0.0/31", "10.0.0.1/32"), ("fd00::/15", "fd01::/16"), ("fd00::/16", "fd00:8000::/17"), ("fd00::/127", "fd00::1/128"),
        }.Select(block => ($"{block.Item1}-except", (Peer[])[new Peer.IPBlock(Cidr.Parse(block.Item1), [Cidr.Parse(block.Item2)])])),
        ("pods-and-block", [new Peer.Pods(LabelSelector.Everything, Web), Block("10.0.0.0/8"), Block("fd00::/16")]),
    ];

    private static readonly (string Name, PortMatch[] Ports)[] Ports =
    [
        ("any", [new PortMatch.Any()]),
        .. new[] { IpProtocol.Tcp, IpProtocol.Udp, IpProtocol.Sctp }.SelectMany(protocol => ((string, PortMatch[])[])
        [
            ($"{protocol}", [new PortMatch.Numeric(protocol, 0, 65535)]),
            ($"{protocol}-one", [new PortMatch.Numeric(protocol, 80, 80)]),
            ($"{protocol}-range", [new PortMatch.Numeric(protocol, 80, 90)]),
            ($"{protocol}-named", [new PortMatch.Named(protocol, "http")]),
        ]),
        ("several", [new PortMatch.Numeric(IpProtocol.Tcp, 80, 80), new PortMatch.Numeric(IpProtocol.Udp, 53, 53)]),
        ("several-with-range", [new PortMatch.Numeric(IpProtocol.Tcp, 80, 90), new PortMatch.Numeric(IpProtocol.Udp, 53, 53)]),
        ("number-and-name", [new PortMatch.Numeric(IpProtocol.Tcp, 80, 80), new PortMatch.Named(IpProtocol.Tcp, "http")]),
    ];

    /// <summary>Names of the rulesets.</summary>
    public static IEnumerable<string> Names => All.Keys;

    /// <summary>The rulesets by name.</summary>
    public static IReadOnlyDictionary<string, Ruleset> All { get; } = Policies().Concat(Bases()).Append(HostPorts()).ToDictionary(item => item.Name, item => RulesetProjection.FromScratch(item.State));

    private static IEnumerable<(string Name, ClusterState State)> Policies() =>
    [
        ("NetworkPolicy", State(new(), Rules(Tier.NetworkPolicy, RuleAction.Accept))),
        .. from tier in (Tier[])[Tier.Admin, Tier.Baseline]
           from action in Enum.GetValues<RuleAction>()
           select ($"{tier}-{action}", State(new(), Rules(tier, action))),
    ];

    // Without policies, isolating nothing and isolating one direction each; every option both ways.
    private static IEnumerable<(string Name, ClusterState State)> Bases() =>
        from masquerade in (bool[])[false, true]
        from isolate in (bool[])[false, true]
        from revoke in (bool[])[false, true]
        from what in (string[])["nothing", "ingress", "egress", "tiers"]
        select ($"base-{what}{(masquerade ? "-masquerade" : "")}{(isolate ? "-isolate" : "")}{(revoke ? "-revoke" : "")}", State(new(masquerade, isolate, revoke), what switch
        {
            "ingress" => [Policy.Namespaced(new("shop", "empty"), LabelSelector.Everything, [], null)],
            "egress" => [Policy.Namespaced(new("shop", "empty"), LabelSelector.Everything, null, [])],
            "tiers" => [.. from tier in (Tier[])[Tier.Admin, Tier.Baseline] from direction in Enum.GetValues<Direction>() select Make(tier, direction, [new PolicyRule([new Peer.Any()], [new PortMatch.Any()], RuleAction.Pass)], $"{tier}-{direction}")],
            _ => Array.Empty<Policy>(),
        }));

    // Of each kind of protocol one, in both families, at every address and at one.
    private static (string Name, ClusterState State) HostPorts()
    {
        var state = State(new(), []);
        var ports =
            from protocol in Enum.GetValues<IpProtocol>()
            from addresses in ((string Pod, string Node)[])[("10.42.1.5", "192.0.2.1"), ("fd00:42:1::5", "2001:db8::1")]
            from node in (InetAddress?[])[null, InetAddress.Parse(addresses.Node)]
            select new HostPort(protocol, 8080, node, InetAddress.Parse(addresses.Pod), 80);
        return ("host-ports", state with { Pods = [.. state.Pods.Select(pod => pod.Name.Name == "web" ? pod with { HostPorts = ports.ToEquatableArray() } : pod)] });
    }

    private static IEnumerable<Policy> Rules(Tier tier, RuleAction action) =>
        from peers in Peers
        from ports in Ports
        from direction in Enum.GetValues<Direction>()
        where tier != Tier.NetworkPolicy || !peers.Name.Contains("nodes", StringComparison.Ordinal)
        select Make(tier, direction, [new PolicyRule([.. peers.Peers], [.. ports.Ports], action)], $"{peers.Name}-{ports.Name}-{direction}");

    private static Policy Make(Tier tier, Direction direction, EquatableArray<PolicyRule> rules, string name)
    {
        EquatableArray<PolicyRule>? ingress = direction == Direction.Ingress ? rules : null;
        EquatableArray<PolicyRule>? egress = direction == Direction.Egress ? rules : null;
        name = $"{tier}-{name}";
        return tier == Tier.NetworkPolicy
            ? Policy.Namespaced(new("shop", name), LabelSelector.Everything, ingress, egress)
            : new(new("", name), tier, 0, Selector.Everything, ingress, egress);
    }

    private static ClusterState State(RulesetOptions options, IEnumerable<Policy> policies) => new(
        options,
        new([Cidr.Parse("10.42.1.0/24"), Cidr.Parse("fd00:42:1::/64")], [Cidr.Parse("10.42.1.0/24"), Cidr.Parse("10.42.2.0/24"), Cidr.Parse("fd00:42:1::/64"), Cidr.Parse("fd00:42:2::/64")]),
        [new("here", Labels.Of(), Addresses("192.0.2.1", "2001:db8::1"), Addresses("10.42.1.0", "fd00:42:1::"))],
        [new("shop", Labels.Of())],
        [Pod("web", "10.42.1.5", "fd00:42:1::5"), Pod("db", "10.42.1.6", "fd00:42:1::6"), Pod("far", "10.42.2.5", "fd00:42:2::5"), Pod("twin", "10.42.1.6", "fd00:42:1::6")],
        new HashSet<NamespacedName> { new("shop", "web"), new("shop", "db"), new("shop", "twin") },
        [.. policies]);

    private static Pod Pod(string name, params string[] addresses) => new(
        new("shop", name), Labels.Of([new("app", name == "far" ? "web" : name)]), Addresses(addresses), [new("http", IpProtocol.Tcp, 8080), new("http", IpProtocol.Udp, 8080), new("http", IpProtocol.Sctp, 8080)], false, name == "far" ? "there" : "here");

    private static EquatableArray<InetAddress> Addresses(params string[] addresses) => addresses.Select(InetAddress.Parse).ToEquatableArray();

    private static Peer.IPBlock Block(string cidr) => new(Cidr.Parse(cidr), []);
}
