using CsCheck;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.PolicyEngine;

/// <summary>Everything a ruleset depends on, by key: one point of a history.</summary>
public sealed record Snapshot(
    PodNetwork Network,
    IReadOnlyDictionary<string, ClusterNode> Nodes,
    IReadOnlyDictionary<string, Namespace> Namespaces,
    IReadOnlyDictionary<NamespacedName, (Pod Pod, bool Local)> Pods,
    IReadOnlyDictionary<NamespacedName, Policy> Policies)
{
    public static readonly Snapshot Empty = new(
        new([], []), new Dictionary<string, ClusterNode>(), new Dictionary<string, Namespace>(), new Dictionary<NamespacedName, (Pod, bool)>(), new Dictionary<NamespacedName, Policy>());

    public ClusterState ToState(RulesetOptions options) => new(
        options,
        Network,
        [.. Nodes.Values],
        [.. Namespaces.Values],
        [.. Pods.Values.Select(pod => pod.Pod)],
        Pods.Values.Where(pod => pod.Local).Select(pod => pod.Pod.Name).ToHashSet(),
        [.. Policies.Values]);
}

/// <summary>Random small clusters, made dense so that things meet: few names, few addresses, few labels, IPv6 as often as IPv4.</summary>
public static class Clusters
{
    private static readonly string[] NamespaceNames = ["shop", "ops", "dev"];
    private static readonly NamespacedName[] PodNames = [.. NamespaceNames.SelectMany(ns => new[] { "a", "b", "c" }.Select(name => new NamespacedName(ns, name)))];
    private static readonly NamespacedName[] PolicyNames = [.. NamespaceNames.Append("").SelectMany(ns => new[] { "p", "q" }.Select(name => new NamespacedName(ns, name)))];
    private static readonly string[] NodeNames = ["here", "there"];
    private static readonly InetAddress[] Addresses =
        [.. new[] { "10.42.0.2", "10.42.0.3", "10.42.1.2", "10.42.1.255", "fd00:42::2", "fd00:42::3", "fd00:42:1::2", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" }.Select(InetAddress.Parse)];
    private static readonly Cidr[] Cidrs =
        [.. new[] { "0.0.0.0/0", "10.42.0.0/16", "10.42.0.0/24", "10.42.1.0/24", "10.42.0.2/32", "255.255.255.255/32", "::/0", "fd00:42::/32", "fd00:42::/64", "fd00:42::2/128", "ffff::/16" }.Select(Cidr.Parse)];

    private static readonly Gen<Labels> SomeLabels =
        Gen.Select(Gen.OneOf("app", "tier"), Gen.OneOf("web", "db"), (key, value) => new Label(key, value)).Array[0, 2].Select(labels => Labels.Of(labels));

    private static readonly Gen<LabelSelectorRequirement> Requirement = Gen.Select(
        Gen.OneOf("app", "tier", Namespace.NameLabel), Gen.Enum<LabelSelectorOperator>(), Gen.OneOf("web", "db", "shop").Array[1, 2],
        (key, op, values) => new LabelSelectorRequirement(key, op, op is LabelSelectorOperator.In or LabelSelectorOperator.NotIn ? new(values) : []));

    private static readonly Gen<LabelSelector> SomeSelector = Requirement.Array[0, 2].Select(requirements => LabelSelector.Of(requirements));

    private static readonly Gen<IpProtocol> Protocol = Gen.OneOf(IpProtocol.Tcp, IpProtocol.Udp, IpProtocol.Sctp);

    private static readonly Gen<Peer> SomePeer = Gen.OneOf(
        Gen.Const((Peer)new Peer.Any()),
        Gen.Select(SomeSelector.Null(), SomeSelector, Peer (namespaces, pods) => new Peer.Pods(namespaces, pods)),
        Gen.Select(SomeSelector.Null(), SomeSelector, Peer (namespaces, pods) => new Peer.Pods(namespaces, pods)),
        SomeSelector.Select(Peer (nodes) => new Peer.Nodes(nodes)),
        Gen.Select(Gen.OneOf(Cidrs), Gen.OneOf(Cidrs).Array[0, 3], Peer (cidr, except) => new Peer.IPBlock(cidr, new([.. except.Where(cidr.Contains)]))));

    private static readonly Gen<PortMatch> SomePort = Gen.OneOf(
        Gen.Const((PortMatch)new PortMatch.Any()),
        Gen.Select(Protocol, Gen.OneOf<ushort>(0, 80, 81, 8080), Gen.OneOf<ushort>(0, 1, 65535), PortMatch (protocol, first, more) => new PortMatch.Numeric(protocol, first, (ushort)Math.Min(first + more, 65535))),
        Gen.Select(Protocol, Gen.OneOf("http", "dns"), PortMatch (protocol, name) => new PortMatch.Named(protocol, name)));

    private static readonly Gen<EquatableArray<PolicyRule>> Rules =
        Gen.Select(SomePeer.Array[0, 3], SomePort.Array[0, 3], (peers, ports) => new PolicyRule(new(peers), new(ports))).Array[0, 2].Select(rules => new EquatableArray<PolicyRule>(rules));

    private static readonly Gen<EquatableArray<PolicyRule>?> MaybeRules = Gen.Select(Gen.Bool, Rules, (any, rules) => any ? rules : (EquatableArray<PolicyRule>?)null);

    private static readonly Gen<NamedPort> Port = Gen.Select(Gen.OneOf("http", "dns"), Protocol, Gen.OneOf<ushort>(53, 80, 8080), (name, protocol, port) => new NamedPort(name, protocol, port));

    // Few ports, so that pods contend for them; most pods have none.
    private static readonly Gen<HostPort> SomeHostPort = Gen.Select(
        Protocol, Gen.OneOf<ushort>(53, 8080), Gen.OneOf(Addresses), Gen.OneOf(Addresses), Gen.OneOf<ushort>(53, 80),
        (protocol, port, node, pod, podPort) => new HostPort(protocol, port, node.Family == pod.Family ? node : null, pod, podPort));

    private static readonly Gen<HostPort[]> SomeHostPorts = Gen.Frequency((4, Gen.Const(Array.Empty<HostPort>())), (1, SomeHostPort.Array[1, 3]));

    private static Gen<(Pod Pod, bool Local)> PodNamed(NamespacedName name) => Gen.Select(
        SomeLabels, Gen.OneOf(Addresses).Array[0, 2], Port.Array[0, 2], Gen.Int[0, 9], Gen.Bool, SomeHostPorts,
        (labels, addresses, ports, dice, local, hostPorts) => (
            new Pod(name, labels, new(addresses), new(ports), dice == 0, local ? "here" : "there") { IsRejected = dice == 1, HostPorts = new(hostPorts) }, local));

    private static Gen<Policy> PolicyNamed(NamespacedName name) => name.Namespace.Length == 0
        ? Gen.Select(Gen.OneOf(Tier.Admin, Tier.Baseline), Gen.Int[0, 2], SomeSelector, SomeSelector, ClusterRules, ClusterRules, (tier, priority, namespaces, pods, ingress, egress) =>
            new Policy(name, tier, priority, new(null, namespaces, pods), ingress, egress))
        : Gen.Select(SomeSelector, MaybeRules, MaybeRules, (selector, ingress, egress) => Policy.Namespaced(name, selector, ingress, egress));

    // A peer of a ClusterNetworkPolicy says in which namespaces.
    private static Gen<EquatableArray<PolicyRule>?> ClusterRules => Gen.Select(MaybeRules, Gen.Enum<RuleAction>().Array[2], (rules, actions) => rules?.Select((rule, i) => rule with
    {
        Action = actions[i],
        Peers = rule.Peers.Select(peer => peer is Peer.Pods { NamespaceSelector: null } pods ? pods with { NamespaceSelector = LabelSelector.Everything } : peer).ToEquatableArray(),
    }).ToEquatableArray());

    private static Gen<ClusterNode> NodeNamed(string name) => Gen.Select(
        SomeLabels, Gen.OneOf(Addresses).Array[0, 2], Gen.OneOf(Addresses).Array[0, 1], (labels, addresses, tunnel) => new ClusterNode(name, labels, new(addresses), new(tunnel)));

    private static Gen<Dictionary<TKey, TValue>> Some<TKey, TValue>(TKey[] keys, Func<TKey, Gen<TValue>> value) where TKey : notnull =>
        Gen.Select(keys.Select(key => Gen.Select(Gen.Int[0, 2], value(key), (dice, v) => (Present: dice > 0, Key: key, Value: v))).ToArray()
                .Aggregate(Gen.Const(new List<(bool Present, TKey Key, TValue Value)>()), (all, one) => Gen.Select(all, one, (list, item) => new List<(bool, TKey, TValue)>(list) { item })),
            Gen.Const(0), (list, _) => list.Where(item => item.Present).ToDictionary(item => item.Key, item => item.Value));

    private static readonly Gen<PodNetwork> Network =
        Gen.Select(Gen.OneOf(Cidrs).Array[0, 2], Gen.OneOf(Cidrs).Array[0, 3], (local, others) => new PodNetwork(new(local), new([.. local, .. others])));

    public static readonly Gen<Snapshot> Snapshots = Gen.Select(
        Network,
        Some(NodeNames, NodeNamed),
        Some(NamespaceNames, name => SomeLabels.Select(labels => new Namespace(name, labels))),
        Some(PodNames, PodNamed),
        Some(PolicyNames, PolicyNamed),
        (network, nodes, namespaces, pods, policies) => new Snapshot(network, nodes, namespaces, pods, policies));

    public static readonly Gen<RulesetOptions> Options = Gen.Select(Gen.Bool, Gen.Bool, Gen.Bool, (masquerade, isolate, revoke) => new RulesetOptions(masquerade, isolate, revoke));
}
