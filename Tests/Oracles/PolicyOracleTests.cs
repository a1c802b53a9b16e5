using k8s;
using k8s.Models;

namespace Overlay.Tests.Oracles;

/// <summary>The oracle against what a reader of the two API texts expects, by hand, point by point: it is what everything else is held to.</summary>
public class PolicyOracleTests
{
    private const string Everybody = "subject: {namespaces: {}}";
    private const string Shop = "subject: {namespaces: {matchLabels: {kubernetes.io/metadata.name: shop}}}";
    private const string Web = "subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}}";
    private const string All = "{namespaces: {}}";
    private const string Ops = "{namespaces: {matchLabels: {kubernetes.io/metadata.name: ops}}}";
    private const string AnyIPv4 = "{networks: [0.0.0.0/0]}";
    private const string AnyAddress = "{networks: [0.0.0.0/0, \"::/0\"]}";
    private const string DenyIngress = $"ingress: [{{action: Deny, from: [{All}]}}]";
    private const string DenyEgress = $"egress: [{{action: Deny, to: [{AnyAddress}]}}]";
    private const string Isolated = "shop/np: {podSelector: {}, policyTypes: [Ingress, Egress]}";
    private const string Open = "shop/np: {podSelector: {}, ingress: [{}], egress: [{}]}";

    // Each: what it is about; policies, NAMESPACE/NAME: or NAME: before their spec; flows as in flows.txt.
    private static readonly (string Title, string[] Policies, string[] Flows)[] Tiers =
    [
        ("no policy", [], ["ops/monitor -> shop/web tcp 80 allow", "shop/web -> 203.0.113.9 icmp allow"]),
        ("Admin Deny against a NetworkPolicy that allows", [$"a: {{tier: Admin, priority: 1, {Shop}, {DenyIngress}}}", Open], ["ops/monitor -> shop/web tcp 80 deny", "203.0.113.9 -> shop/web tcp 80 allow"]),
        ("Admin Accept against a NetworkPolicy that isolates", [$"a: {{tier: Admin, priority: 1, {Shop}, ingress: [{{action: Accept, from: [{Ops}]}}]}}", Isolated],
            ["ops/monitor -> shop/web tcp 80 allow", "shop/api -> shop/web tcp 80 deny"]),
        ("Accept of one end leaves the other end's rules", [$"a: {{tier: Admin, priority: 1, {Shop}, egress: [{{action: Accept, to: [{All}]}}]}}", "ops/np: {podSelector: {}}"],
            ["shop/web -> ops/monitor tcp 80 deny", "shop/web -> shop/api tcp 80 allow"]),
        ("Admin Pass to a NetworkPolicy that isolates", [$"a: {{tier: Admin, priority: 1, {Shop}, ingress: [{{action: Pass, from: [{Ops}]}}, {{action: Accept, from: [{All}]}}]}}", Isolated],
            ["ops/monitor -> shop/web tcp 80 deny"]),
        ("Admin Pass skips the rest of the tier, whatever its policy", [$"a: {{tier: Admin, priority: 1, {Shop}, ingress: [{{action: Pass, from: [{Ops}]}}]}}", $"b: {{tier: Admin, priority: 2, {Shop}, {DenyIngress}}}"],
            ["ops/monitor -> shop/web tcp 80 allow", "shop/api -> shop/web tcp 80 deny"]),
        ("Admin Pass to Baseline where no NetworkPolicy selects", [$"a: {{tier: Admin, priority: 1, {Shop}, ingress: [{{action: Pass, from: [{Ops}]}}]}}", $"b: {{tier: Baseline, priority: 0, {Shop}, {DenyIngress}}}"],
            ["ops/monitor -> shop/web tcp 80 deny"]),
        ("Baseline Deny, nothing before it", [$"b: {{tier: Baseline, priority: 0, {Shop}, {DenyIngress}}}"], ["ops/monitor -> shop/web tcp 80 deny", "ops/monitor -> shop/web icmp deny", "shop/web -> ops/monitor tcp 80 allow"]),
        ("Baseline overridden by a NetworkPolicy that allows", [$"b: {{tier: Baseline, priority: 0, {Shop}, {DenyIngress}}}", Open], ["ops/monitor -> shop/web tcp 80 allow"]),
        ("Baseline Accept does not open what a NetworkPolicy isolates", [$"b: {{tier: Baseline, priority: 0, {Shop}, ingress: [{{action: Accept, from: [{All}]}}]}}", Isolated], ["ops/monitor -> shop/web tcp 80 deny"]),
        ("a NetworkPolicy of the other direction leaves Baseline in force", [$"b: {{tier: Baseline, priority: 0, {Shop}, {DenyIngress}}}", "shop/np: {podSelector: {}, policyTypes: [Egress], egress: [{}]}"],
            ["ops/monitor -> shop/web tcp 80 deny"]),
        ("Baseline Pass goes to the default", [$"b: {{tier: Baseline, priority: 0, {Shop}, ingress: [{{action: Pass, from: [{Ops}]}}, {{action: Deny, from: [{All}]}}]}}"],
            ["ops/monitor -> shop/web tcp 80 allow", "shop/api -> shop/web tcp 80 deny"]),
        ("lower priority value first", [$"a: {{tier: Admin, priority: 20, {Shop}, {DenyIngress}}}", $"b: {{tier: Admin, priority: 10, {Shop}, ingress: [{{action: Accept, from: [{Ops}]}}]}}"],
            ["ops/monitor -> shop/web tcp 80 allow", "shop/api -> shop/web tcp 80 deny"]),
        ("priorities are numbers, not words", [$"a: {{tier: Admin, priority: 9, {Shop}, {DenyIngress}}}", $"b: {{tier: Admin, priority: 10, {Shop}, ingress: [{{action: Accept, from: [{All}]}}]}}"], ["ops/monitor -> shop/web tcp 80 deny"]),
        ("the same priority: by name", [$"z: {{tier: Admin, priority: 10, {Shop}, {DenyIngress}}}", $"y: {{tier: Admin, priority: 10, {Shop}, ingress: [{{action: Accept, from: [{Ops}]}}]}}"], ["ops/monitor -> shop/web tcp 80 allow"]),
        ("priorities of the two tiers have nothing to do with each other", [$"a: {{tier: Baseline, priority: 0, {Shop}, {DenyIngress}}}", $"b: {{tier: Admin, priority: 1000, {Shop}, ingress: [{{action: Accept, from: [{All}]}}]}}"],
            ["ops/monitor -> shop/web tcp 80 allow"]),
        ("rules in order", [$"a: {{tier: Admin, priority: 1, {Shop}, ingress: [{{action: Deny, from: [{Ops}]}}, {{action: Accept, from: [{All}]}}]}}", Isolated], ["ops/monitor -> shop/web tcp 80 deny", "shop/web -> shop/api tcp 80 deny"]),
        ("no rules for a direction: no say in it", [$"a: {{tier: Admin, priority: 1, {Shop}, ingress: [], {DenyEgress}}}"], ["ops/monitor -> shop/web tcp 80 allow", "shop/web -> ops/monitor tcp 80 deny"]),
        ("no implicit isolation", [$"a: {{tier: Admin, priority: 1, {Shop}, ingress: [{{action: Accept, from: [{Ops}]}}]}}"], ["shop/api -> shop/web tcp 80 allow"]),
        ("a pod that a NetworkPolicy isolates reaches itself", ["shop/np: {podSelector: {}, policyTypes: [Ingress, Egress]}", $"a: {{tier: Baseline, priority: 1, {Everybody}, {DenyIngress}, {DenyEgress}}}"], ["shop/web -> shop/web tcp 8080 allow"]),
        ("a pod that reaches itself through a Service is subject to cluster policies: egress", [$"a: {{tier: Admin, priority: 1, {Everybody}, {DenyEgress}}}"], ["shop/web -> shop/web tcp 8080 deny"]),
        ("a pod that reaches itself through a Service is subject to cluster policies: ingress", [$"a: {{tier: Baseline, priority: 1, {Everybody}, {DenyIngress}}}"], ["shop/web -> shop/web tcp 8080 deny"]),
    ];

    private static readonly (string Title, string[] Policies, string[] Flows)[] Peers =
    [
        ("subject by labels of the namespace", [$"a: {{tier: Admin, priority: 1, subject: {{namespaces: {{matchLabels: {{team: platform}}}}}}, {DenyIngress}}}"], ["shop/web -> ops/monitor tcp 80 deny", "ops/monitor -> shop/web tcp 80 allow"]),
        ("subject pods: both selectors must hold", [$"a: {{tier: Admin, priority: 1, subject: {{pods: {{namespaceSelector: {{matchLabels: {{team: platform}}}}, podSelector: {{matchLabels: {{app: web}}}}}}}}, {DenyIngress}}}"],
            ["shop/api -> shop/web tcp 80 allow", "shop/api -> ops/monitor tcp 80 allow"]),
        ("subject pods: in every namespace", [$"a: {{tier: Admin, priority: 1, {Web}, {DenyIngress}}}"], ["shop/api -> shop/web tcp 80 deny", "shop/web -> shop/api tcp 80 allow"]),
        ("host-network pods are no subject", [$"a: {{tier: Admin, priority: 1, {Everybody}, {DenyEgress}}}"], ["ops/agent -> shop/web tcp 80 allow", "ops/monitor -> shop/web tcp 80 deny"]),
        ("host-network pods are no peer of namespaces or pods", [$"a: {{tier: Admin, priority: 1, {Everybody}, {DenyIngress}, egress: [{{action: Deny, to: [{All}]}}]}}"],
            ["ops/agent -> shop/web tcp 80 allow", "shop/web -> ops/agent tcp 80 allow", "203.0.113.9 -> shop/web tcp 80 allow"]),
        ("pods peer", [$"a: {{tier: Admin, priority: 1, {Shop}, ingress: [{{action: Deny, from: [{{pods: {{namespaceSelector: {{}}, podSelector: {{matchExpressions: [{{key: app, operator: NotIn, values: [api]}}]}}}}}}]}}]}}"],
            ["ops/monitor -> shop/web tcp 80 deny", "shop/api -> shop/web tcp 80 allow"]),
        ("several peers: any of them", [$"a: {{tier: Admin, priority: 1, {Shop}, ingress: [{{action: Deny, from: [{Ops}, {{pods: {{namespaceSelector: {{}}, podSelector: {{matchLabels: {{app: api}}}}}}}}]}}]}}"],
            ["ops/monitor -> shop/web tcp 80 deny", "shop/api -> shop/web tcp 80 deny", "shop/web -> shop/api tcp 80 allow"]),
        ("networks: pods too, and ICMP, of that family only", [$"a: {{tier: Admin, priority: 1, {Shop}, egress: [{{action: Deny, to: [{AnyIPv4}]}}]}}"],
            ["shop/web -> ops/monitor tcp 80 deny v4", "shop/web -> ops/monitor tcp 80 allow v6", "shop/web -> 203.0.113.9 icmp deny"]),
        ("networks: pods passed before", [$"a: {{tier: Admin, priority: 1, {Shop}, egress: [{{action: Pass, to: [{All}]}}, {{action: Deny, to: [{AnyAddress}]}}]}}"],
            ["shop/web -> ops/monitor tcp 80 allow", "shop/web -> 203.0.113.9 tcp 80 deny", "shop/web -> 2001:db8:9::9 tcp 80 deny", "shop/web -> node:worker-2 tcp 80 deny"]),
        ("nodes by labels, all of their addresses", [$"a: {{tier: Admin, priority: 1, {Shop}, egress: [{{action: Deny, to: [{{nodes: {{matchLabels: {{zone: b}}}}}}]}}]}}"],
            ["shop/web -> node:worker-2 tcp 22 deny", "shop/web -> 203.0.113.12 tcp 22 deny", "shop/web -> 10.42.2.0 tcp 22 deny", "shop/web -> fd00:42:2:: tcp 22 deny",
             "shop/web -> ops/agent tcp 22 deny", "shop/web -> node:worker-1 tcp 22 allow", "shop/web -> ops/monitor tcp 22 allow"]),
        ("nodes, empty: all of them, the own one too", [$"a: {{tier: Admin, priority: 1, {Shop}, egress: [{{action: Deny, to: [{{nodes: {{}}}}]}}]}}"],
            ["shop/web -> node:worker-1 tcp 22 deny", "shop/web -> node:worker-2 tcp 22 deny", "shop/web -> 203.0.113.9 tcp 22 allow"]),
        ("ipBlock: another node's process comes from the tunnel", ["shop/np: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 192.0.2.12/32}}, {ipBlock: {cidr: \"2001:db8::12/128\"}}]}]}"],
            ["10.42.2.0 -> shop/web tcp 80 allow", "fd00:42:2:: -> shop/web tcp 80 allow", "node:worker-2 -> shop/web tcp 80 allow", "ops/monitor -> shop/web tcp 80 deny"]),
        ("networks: a node by its address, on the tunnel, too", [$"a: {{tier: Admin, priority: 1, {Shop}, egress: [{{action: Deny, to: [{{networks: [192.0.2.0/24]}}]}}]}}"],
            ["shop/web -> 10.42.2.0 tcp 22 deny", "shop/web -> fd00:42:2:: tcp 22 allow", "shop/web -> shop/api tcp 22 allow"]),
        ("ipBlock: and an exception means it, too", ["shop/np: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [192.0.2.12/32]}}]}]}"],
            ["10.42.2.0 -> shop/web tcp 80 deny", "192.0.2.12 -> shop/web tcp 80 deny", "10.42.1.0 -> shop/api tcp 80 allow"]),
        ("ipBlock of egress: the same", ["shop/np: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 192.0.2.12/32}}]}]}"],
            ["shop/web -> 192.0.2.12 tcp 80 allow", "shop/web -> 10.42.2.0 tcp 80 allow", "shop/web -> fd00:42:2:: tcp 80 deny"]),
    ];

    private static readonly (string Title, string[] Policies, string[] Flows)[] Ports =
    [
        ("one number", [$"a: {{tier: Admin, priority: 1, {Shop}, ingress: [{{action: Deny, from: [{All}], protocols: [{{tcp: {{destinationPort: {{number: 80}}}}}}]}}]}}"],
            ["ops/monitor -> shop/web tcp 80 deny", "ops/monitor -> shop/web tcp 81 allow", "ops/monitor -> shop/web udp 80 allow", "ops/monitor -> shop/web icmp allow"]),
        ("a range, both ends of it", [$"a: {{tier: Admin, priority: 1, {Shop}, ingress: [{{action: Deny, from: [{All}], protocols: [{{udp: {{destinationPort: {{range: {{start: 80, end: 82}}}}}}}}]}}]}}"],
            ["ops/monitor -> shop/web udp 79 allow", "ops/monitor -> shop/web udp 80 deny", "ops/monitor -> shop/web udp 82 deny", "ops/monitor -> shop/web udp 83 allow", "ops/monitor -> shop/web tcp 81 allow"]),
        ("SCTP is not TCP", [$"a: {{tier: Admin, priority: 1, {Shop}, ingress: [{{action: Deny, from: [{All}], protocols: [{{sctp: {{destinationPort: {{number: 80}}}}}}]}}]}}"],
            ["ops/monitor -> shop/web sctp 80 deny", "ops/monitor -> shop/web tcp 80 allow"]),
        ("several protocols: any of them", [$"a: {{tier: Admin, priority: 1, {Shop}, ingress: [{{action: Deny, from: [{All}], protocols: [{{tcp: {{destinationPort: {{number: 80}}}}}}, {{destinationNamedPort: dns}}]}}]}}"],
            ["ops/monitor -> shop/web tcp 80 deny", "ops/monitor -> shop/web udp 53 deny", "ops/monitor -> shop/web tcp 53 allow"]),
        ("a named port: of whatever protocol it is at the pod", [$"a: {{tier: Admin, priority: 1, {Shop}, ingress: [{{action: Deny, from: [{All}], protocols: [{{destinationNamedPort: http}}]}}]}}"],
            ["ops/monitor -> shop/web tcp 8080 deny", "ops/monitor -> shop/web udp 443 deny", "ops/monitor -> shop/web tcp 443 allow", "ops/monitor -> shop/api tcp 9090 deny", "ops/monitor -> shop/api tcp 8080 allow"]),
        ("a named port of egress: each peer's own", [$"a: {{tier: Admin, priority: 1, {Everybody}, egress: [{{action: Deny, to: [{All}], protocols: [{{destinationNamedPort: http}}]}}]}}"],
            ["ops/monitor -> shop/web tcp 8080 deny", "ops/monitor -> shop/api tcp 8080 allow", "shop/web -> shop/api tcp 9090 deny", "shop/web -> 203.0.113.9 tcp 8080 allow"]),
    ];

    private static readonly (string Title, string[] Policies, string[] Flows)[] OwnNode =
    [
        ("what its node sends to a pod is never judged", [$"a: {{tier: Admin, priority: 1, {Everybody}, {DenyIngress}}}", Isolated], ["node:worker-1 -> shop/web tcp 80 allow", "fd00:42:1:: -> shop/web tcp 80 allow", "10.42.1.0 -> shop/web icmp allow"]),
        ("what a pod sends to its node: Admin", [$"a: {{tier: Admin, priority: 1, {Shop}, {DenyEgress}}}", Open], ["shop/web -> node:worker-1 tcp 22 deny", "shop/web -> 10.42.1.0 tcp 22 deny"]),
        ("what a pod sends to its node: not NetworkPolicy", [Isolated], ["shop/web -> node:worker-1 tcp 22 allow", "shop/web -> node:worker-2 tcp 22 deny"]),
        ("what a pod sends to its node: Baseline", [$"b: {{tier: Baseline, priority: 1, {Shop}, {DenyEgress}}}"], ["shop/web -> node:worker-1 tcp 22 deny"]),
        ("what a pod sends to its node: not Baseline where a NetworkPolicy isolates", [$"b: {{tier: Baseline, priority: 1, {Shop}, {DenyEgress}}}", Isolated], ["shop/web -> node:worker-1 tcp 22 allow"]),
        ("what a pod sends to its node: Pass and Accept before Deny", [$"a: {{tier: Admin, priority: 1, {Shop}, egress: [{{action: Accept, to: [{{nodes: {{}}}}]}}, {{action: Deny, to: [{AnyAddress}]}}]}}"],
            ["shop/web -> node:worker-1 tcp 22 allow", "shop/web -> 203.0.113.9 tcp 22 deny"]),
    ];

    private static readonly (string Title, string[] Policies, string[] Flows)[] Unclear =
    [
        ("a peer that is not understood: Accept matches nothing", [$"a: {{tier: Admin, priority: 1, {Shop}, ingress: [{{action: Accept, from: [{All}, {{}}]}}]}}", Isolated], ["ops/monitor -> shop/web tcp 80 deny"]),
        ("a peer that is not understood: Deny denies everything", [$"a: {{tier: Admin, priority: 1, {Shop}, ingress: [{{action: Deny, from: [{{}}]}}]}}"], ["203.0.113.9 -> shop/web tcp 80 deny", "shop/web -> ops/monitor tcp 80 allow"]),
        ("a field that is not known: Pass denies everything", [$"a: {{tier: Admin, priority: 1, {Shop}, egress: [{{action: Pass, to: [{All}], schedule: always}}]}}", Open], ["shop/web -> 203.0.113.9 icmp deny", "ops/monitor -> shop/web tcp 80 allow"]),
        ("rules before the one that is not understood still decide", [$"a: {{tier: Admin, priority: 1, {Shop}, ingress: [{{action: Accept, from: [{Ops}]}}, {{action: Deny, from: [{{}}]}}]}}"],
            ["ops/monitor -> shop/web tcp 80 allow", "shop/api -> shop/web tcp 80 deny"]),
        ("domainNames are not supported", [$"a: {{tier: Admin, priority: 1, {Shop}, egress: [{{action: Accept, to: [{{domainNames: [example.org]}}]}}, {{action: Deny, to: [{AnyAddress}]}}]}}"], ["shop/web -> 203.0.113.9 tcp 80 deny"]),
        ("a named port of networks", [$"a: {{tier: Admin, priority: 1, {Shop}, egress: [{{action: Deny, to: [{{networks: [198.51.100.0/24]}}], protocols: [{{destinationNamedPort: http}}]}}]}}"], ["shop/web -> 203.0.113.9 tcp 80 deny"]),
        ("an unknown field in spec denies both ways", [$"a: {{tier: Baseline, priority: 1, {Shop}, except: {{}}, ingress: [{{action: Accept, from: [{All}]}}]}}"],
            ["ops/monitor -> shop/web tcp 80 deny", "shop/web -> ops/monitor tcp 80 deny", "ops/monitor -> 203.0.113.9 tcp 80 allow"]),
        ("a tier that does not exist is Admin", [$"a: {{tier: Basement, priority: 1, {Shop}, ingress: [{{action: Accept, from: [{All}]}}]}}", Open], ["ops/monitor -> shop/web tcp 80 deny", "shop/web -> ops/monitor tcp 80 allow"]),
        ("no subject: every pod", ["a: {tier: Admin, priority: 1, ingress: [{action: Accept, from: [{namespaces: {}}]}]}"], ["shop/web -> ops/monitor tcp 80 deny", "shop/web -> 203.0.113.9 tcp 80 allow"]),
        ("a subject that is half understood", [$"a: {{tier: Admin, priority: 1, subject: {{namespaces: {{matchLabels: {{team: sales}}, matchExpressions: [{{key: team, operator: Like}}]}}}}, {DenyIngress}}}"],
            ["ops/monitor -> shop/web tcp 80 deny", "203.0.113.9 -> shop/web tcp 80 deny", "shop/web -> ops/monitor tcp 80 allow"]),
        ("unknown namespace: its name is certain", ["shop/np: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ghost}}}]}]}"], ["ghost/stray -> shop/web tcp 80 allow", "ops/monitor -> shop/web tcp 80 deny"]),
        ("unknown namespace: it is one", ["shop/np: {podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}"], ["ghost/stray -> shop/web tcp 80 allow"]),
        ("unknown namespace: no other label is, not even that it lacks", ["shop/np: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: team, operator: DoesNotExist}]}}]}]}"], ["ghost/stray -> shop/web tcp 80 deny"]),
        ("unknown namespace: a subject that asks for labels denies", [$"a: {{tier: Baseline, priority: 1, subject: {{namespaces: {{matchLabels: {{team: x}}}}}}, ingress: [{{action: Accept, from: [{All}]}}]}}"],
            ["ops/monitor -> ghost/stray tcp 80 deny", "ghost/stray -> ops/monitor tcp 80 allow"]),
        ("unknown namespace: peers that ask for labels deny before the rules", [$"a: {{tier: Admin, priority: 5, {Shop}, ingress: [{{action: Accept, from: [{All}]}}, {{action: Deny, from: [{{namespaces: {{matchLabels: {{team: x}}}}}}]}}]}}"],
            ["ghost/stray -> shop/web tcp 80 deny", "ops/monitor -> shop/web tcp 80 allow"]),
        ("unknown namespace: what Admin accepts, Baseline does not see", [$"a: {{tier: Admin, priority: 5, {Shop}, ingress: [{{action: Accept, from: [{All}]}}]}}", $"b: {{tier: Baseline, priority: 5, {Shop}, ingress: [{{action: Deny, from: [{{namespaces: {{matchLabels: {{team: x}}}}}}]}}]}}"],
            ["ghost/stray -> shop/web tcp 80 allow"]),
    ];

    private static IEnumerable<TestCaseData> Rows => ((IEnumerable<(string Title, string[] Policies, string[] Flows)>)[.. Tiers, .. Peers, .. Ports, .. OwnNode, .. Unclear])
        .Select(row => new TestCaseData(row.Policies, row.Flows).SetArgDisplayNames(row.Title));

    [TestCaseSource(nameof(Rows))]
    public void The_oracle_says(string[] policies, string[] flows) => Assert.That(Mistakes(policies, flows, isolateByDefault: false), Is.Empty);

    [TestCase("", "ops/monitor -> shop/web tcp 80 deny")]
    [TestCase($"b: {{tier: Baseline, priority: 0, {Shop}, ingress: [{{action: Accept, from: [{Ops}]}}, {{action: Pass, from: [{All}]}}]}}", "shop/api -> shop/web tcp 80 deny")]
    [TestCase($"b: {{tier: Baseline, priority: 0, {Everybody}, ingress: [{{action: Accept, from: [{All}]}}], egress: [{{action: Accept, to: [{All}]}}]}}", "ops/monitor -> shop/web tcp 80 allow")]
    [TestCase("", "shop/web -> node:worker-1 tcp 80 allow")]
    public void Policy_default_deny_comes_last(string policy, string flow) => Assert.That(Mistakes(policy.Length > 0 ? [policy] : [], [flow], isolateByDefault: true), Is.Empty);

    // What is written out is what was there: nothing is lost on the way to the product, and the oracle judges what a scenario folder would say.
    [TestCaseSource(nameof(Rows))]
    public void Written_out_and_read_again_it_is_the_same(string[] policies, string[] flows)
    {
        var written = Cluster(policies).ToYaml();
        Assert.That(ClusterObjects.Parse(written).ToYaml(), Is.EqualTo(written));
        Assert.That(Mistakes(ClusterObjects.Parse(written), flows, isolateByDefault: false), Is.Empty);
    }

    private static ClusterObjects Cluster(string[] policies)
    {
        var world = ClusterObjects.Parse(SmallWorld.Yaml);
        var specs = policies.Select(policy => policy.Split(": ", 2)).ToList();
        return new(
            world.Nodes,
            world.Namespaces,
            world.Pods,
            [.. specs.Where(parts => parts[0].Contains('/')).Select(parts => new V1NetworkPolicy
            {
                ApiVersion = "networking.k8s.io/v1",
                Kind = "NetworkPolicy",
                Metadata = new() { NamespaceProperty = parts[0].Split('/')[0], Name = parts[0].Split('/')[1] },
                Spec = KubernetesYaml.Deserialize<V1NetworkPolicySpec>(parts[1]),
            })],
            [.. specs.Where(parts => !parts[0].Contains('/')).Select(parts => ManifestYaml.ClusterPolicy(parts[0], parts[1]))]);
    }

    private static IEnumerable<string> Mistakes(string[] policies, string[] flows, bool isolateByDefault) => Mistakes(Cluster(policies), flows, isolateByDefault);

    private static IEnumerable<string> Mistakes(ClusterObjects cluster, string[] flows, bool isolateByDefault) =>
        from expected in flows.SelectMany((text, i) => ExpectedFlow.Parse(cluster, text, i + 1))
        let judged = new PolicyOracle(cluster, isolateByDefault).Judge(expected.Flow)
        where judged.Allowed != expected.Allowed
        select $"{expected.Text}: {expected.Flow}: {judged}";
}
