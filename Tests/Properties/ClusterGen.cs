using CsCheck;
using k8s.Models;
using Overlay.Tests.Oracles;

namespace Overlay.Tests.Properties;

/// <summary>Random clusters: small enough to read when shrunk, and made of few words so that selectors, names and prefixes meet often.</summary>
public static partial class ClusterGen
{
    // The last has no Namespace object.
    private static readonly string[] Spaces = ["alpha", "beta", "gamma", "ghost"];
    private static readonly string[] Nodes = ["node-1", "node-2", "node-3"];
    private static readonly string[] Protocols = ["TCP", "UDP", "SCTP"];
    private static readonly string[] PortNames = ["web", "dns"];
    private static readonly int[] Ports = [1, 53, 80, 81, 83, 8080, 65535];

    // Prefixes that cut through pods' addresses (10.42.N.1M, fd00:42:N::1M), and around them.
    private static readonly string[] Cidrs =
    [
        "0.0.0.0/0", "10.42.0.0/16", "10.42.1.0/24", "10.42.2.0/28", "10.42.1.8/29", "10.42.1.11/32", "10.42.1.10/31", "10.42.1.13/32", "10.42.2.0/32", "192.0.2.0/24", "192.0.2.2/32", "203.0.113.0/24", "203.0.113.128/25", "0.0.0.0/1",
        "::/0", "fd00:42::/32", "fd00:42:1::/64", "fd00:42:2::/124", "fd00:42:1::10/125", "fd00:42:1::11/128", "fd00:42:1::13/128", "fd00:42:3::/128", "2001:db8::/64", "2001:db8::3/128", "2001:db8:ffff::/48", "8000::/1",
    ];

    /// <summary>A cluster of three nodes; every other one has policies of all tiers, the others NetworkPolicies alone.</summary>
    public static Gen<ClusterObjects> Cluster { get; } = Gen.Select(
        Labels("env").Array[3],
        Labels("zone").Array[3],
        Pod.Array[1, 8],
        Policy.Array[0, 3],
        Gen.OneOf(ClusterPolicy.Array[0, 0], ClusterPolicy.Array[1, 4]),
        (namespaces, nodes, pods, policies, clusterPolicies) => new ClusterObjects(
            [.. Nodes.Zip(nodes, (name, labels) => Node(name, name[^1] - '0', labels))],
            [.. Spaces.Zip(namespaces, Namespace)],
            [.. pods.Select((make, index) => make(index))],
            [.. policies.Select((make, index) => make(index))],
            [.. clusterPolicies.Select((make, index) => make(index))]));

    private static Gen<Dictionary<string, string>> Labels(params string[] keys) =>
        Gen.OneOf<string?>("", "a", "b", null, null).Array[keys.Length].Select(values =>
            keys.Zip(values).Where(pair => pair.Second is not null).ToDictionary(pair => pair.First, pair => pair.Second!));

    private static Gen<V1LabelSelector> Selector(string key) => Gen.OneOf(
        Gen.Const(() => new V1LabelSelector()),
        Gen.OneOf("", "a", "b").Select(value => new V1LabelSelector { MatchLabels = new Dictionary<string, string> { [key] = value } }),
        Gen.Select(Gen.OneOf("In", "NotIn", "Exists", "DoesNotExist"), Gen.OneOf("", "a", "b").Array[1, 2]).Array[1, 2].Select(expressions => new V1LabelSelector
        {
            MatchExpressions =
            [
                .. expressions.Select(item => new V1LabelSelectorRequirement { Key = key, OperatorProperty = item.Item1, Values = item.Item1 is "In" or "NotIn" ? item.Item2 : null }),
            ],
        }));

    private static Gen<V1NetworkPolicyPeer> Peer => Gen.OneOf(
        Selector("app").Select(pods => new V1NetworkPolicyPeer { PodSelector = pods }),
        Selector("env").Select(namespaces => new V1NetworkPolicyPeer { NamespaceSelector = namespaces }),
        Gen.OneOf(Spaces).Select(name => new V1NetworkPolicyPeer
        {
            NamespaceSelector = new() { MatchLabels = new Dictionary<string, string> { ["kubernetes.io/metadata.name"] = name } },
        }),
        Gen.Select(Selector("env"), Selector("app"), (namespaces, pods) => new V1NetworkPolicyPeer { NamespaceSelector = namespaces, PodSelector = pods }),
        Block,
        Block);

    // except must be strictly inside: of the words we have, those that are.
    private static Gen<V1NetworkPolicyPeer> Block => Gen.Select(Gen.OneOf(Cidrs), Gen.OneOf(Cidrs).Array[0, 3]).Select((cidr, excepts) =>
    {
        List<string> inside = [.. excepts.Where(except => Prefix.Parse(except).Length > Prefix.Parse(cidr).Length && Prefix.Contains(cidr, Prefix.Parse(except).Address))];
        return new V1NetworkPolicyPeer { IpBlock = new() { Cidr = cidr, Except = inside.Count > 0 ? inside : null } };
    });

    private static Gen<V1NetworkPolicyPort> Port => Gen.Select(Gen.OneOf<string?>([null, .. Protocols]), Gen.Int[0, 3], Gen.OneOf(Ports), Gen.OneOf(Ports), Gen.OneOf(PortNames))
        .Select((protocol, kind, one, other, name) => kind switch
        {
            0 => new V1NetworkPolicyPort { Protocol = protocol },
            1 => new V1NetworkPolicyPort { Protocol = protocol, Port = one },
            2 => new V1NetworkPolicyPort { Protocol = protocol, Port = name },
            _ => new V1NetworkPolicyPort { Protocol = protocol, Port = Math.Min(one, other), EndPort = Math.Max(one, other) },
        });

    private static Gen<(IList<V1NetworkPolicyPeer>? Peers, IList<V1NetworkPolicyPort>? Ports)[]?> Rules => Gen.Select(
        Gen.OneOf(Gen.Const((IList<V1NetworkPolicyPeer>?)null), Peer.Array[0, 3].Select(items => (IList<V1NetworkPolicyPeer>?)[.. items])),
        Gen.OneOf(Gen.Const((IList<V1NetworkPolicyPort>?)null), Port.Array[0, 3].Select(items => (IList<V1NetworkPolicyPort>?)[.. items])))
        .Array[0, 3].Null(0.2);

    private static Gen<Func<int, V1NetworkPolicy>> Policy => Gen.Select(
        Gen.OneOf(Spaces), Selector("app"), Gen.OneOf<string[]?>(null, ["Ingress"], ["Egress"], ["Ingress", "Egress"]), Rules, Rules, Gen.Int[0, 15],
        (space, selector, types, ingress, egress, broken) => (Func<int, V1NetworkPolicy>)(index => new()
        {
            ApiVersion = "networking.k8s.io/v1",
            Kind = "NetworkPolicy",
            Metadata = new() { NamespaceProperty = space, Name = $"policy-{index}" },
            Spec = new()
            {
                PodSelector = selector,
                PolicyTypes = types,
                Ingress = broken == 15
                    ? [new() { Ports = [new() { Port = 90, EndPort = 80 }] }]
                    : ingress?.Select(rule => new V1NetworkPolicyIngressRule { FromProperty = rule.Peers, Ports = rule.Ports }).ToList(),
                Egress = egress?.Select(rule => new V1NetworkPolicyEgressRule { To = rule.Peers, Ports = rule.Ports }).ToList(),
            },
        }));

    private static Gen<Func<int, V1Pod>> Pod => Gen.Select(
        Gen.OneOf(Spaces), Gen.Int[1, 3], Labels("app", "tier"), Gen.Int[0, 5], Gen.Int[0, 12],
        Gen.Select(Gen.OneOf(PortNames), Gen.OneOf(Ports), Gen.OneOf<string?>([null, .. Protocols])).Array[0, 2],
        (space, node, labels, families, fate, ports) => (Func<int, V1Pod>)(index => new()
        {
            ApiVersion = "v1",
            Kind = "Pod",
            Metadata = new() { NamespaceProperty = space, Name = $"pod-{index}", Labels = labels },
            Spec = new()
            {
                NodeName = $"node-{node}",
                HostNetwork = fate == 12 ? true : null,
                Containers =
                [
                    new()
                    {
                        Name = "main",
                        Ports = [.. ports.DistinctBy(port => port.Item1).Select(port => new V1ContainerPort { Name = port.Item1, ContainerPort = port.Item2, Protocol = port.Item3 })],
                    },
                ],
            },
            Status = new()
            {
                Phase = fate == 11 ? "Succeeded" : "Running",
                PodIPs = [.. Addresses(fate == 12, node, index, families).Select(address => new V1PodIP { Ip = address })],
            },
        }));

    private static IEnumerable<string> Addresses(bool hostNetwork, int node, int index, int families)
    {
        if (families != 5)
            yield return hostNetwork ? $"192.0.2.{node}" : $"10.42.{node}.{10 + index}";
        if (families != 4)
            yield return hostNetwork ? $"2001:db8::{node}" : $"fd00:42:{node}::{10 + index}";
    }

    private static V1Node Node(string name, int index, Dictionary<string, string> labels) => new()
    {
        ApiVersion = "v1",
        Kind = "Node",
        Metadata = new() { Name = name, Labels = labels },
        Spec = new() { PodCIDRs = [$"10.42.{index}.0/24", $"fd00:42:{index}::/64"] },
        Status = new()
        {
            Addresses =
            [
                new() { Type = "Hostname", Address = name },
                new() { Type = "InternalIP", Address = $"192.0.2.{index}" },
                new() { Type = "InternalIP", Address = $"2001:db8::{index}" },
                new() { Type = "ExternalIP", Address = $"203.0.113.{index}" },
                new() { Type = "ExternalIP", Address = $"2001:db8:ffff::{index}" },
            ],
        },
    };

    private static V1Namespace Namespace(string name, Dictionary<string, string> labels) =>
        new() { ApiVersion = "v1", Kind = "Namespace", Metadata = new() { Name = name, Labels = labels } };
}
