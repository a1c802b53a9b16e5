using Overlay.Dataplane.Datastore.Manifests;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Dataplane;

/// <summary>ClusterNetworkPolicy manifests in, policies and rejections out.</summary>
public class FromClusterNetworkPolicyTests
{
    private const string Subject = "subject: {namespaces: {matchLabels: {team: a}}}";
    private const string Whole = $"tier: Admin\n  priority: 7\n  {Subject}\n  ";

    [Test]
    public void Everything_of_a_policy_is_read()
    {
        var policy = Read("""
            tier: Baseline
              priority: 1000
              subject: {pods: {namespaceSelector: {matchLabels: {team: a}}, podSelector: {matchLabels: {app: web}}}}
              ingress:
              - {name: from-ops, action: Accept, from: [{namespaces: {matchLabels: {team: ops}}}], protocols: [{tcp: {destinationPort: {number: 80}}}, {destinationNamedPort: http}]}
              - {action: Pass, from: [{pods: {podSelector: {}}}]}
              egress:
              - {action: Deny, to: [{networks: [10.0.0.0/8, "fd00::/8"]}, {nodes: {matchLabels: {zone: b}}}], protocols: [{udp: {destinationPort: {range: {start: 5, end: 9}}}}, {sctp: {destinationPort: {number: 1}}}]}
            """);
        Assert.That((policy.Name.ToString(), policy.Tier, policy.Priority), Is.EqualTo(("cnp", Tier.Baseline, 1000)));
        Assert.That((policy.Subject.Namespace, policy.Subject.NamespaceSelector.ToString(), policy.Subject.PodSelector.ToString()), Is.EqualTo(((string?)null, "team=a", "app=web")));
        Assert.That(Text(policy.Ingress), Is.EqualTo("""
            from-ops Accept team=ops/ Tcp 80-80 Tcp http Udp http Sctp http
             Pass / any
            """));
        Assert.That(Text(policy.Egress), Is.EqualTo(" Deny 10.0.0.0/8 fd00::/8 nodes zone=b Udp 5-9 Sctp 1-1"));
    }

    [Test]
    public void Direction_without_rules_is_none_of_its_business()
    {
        var policy = Read($"{Whole}ingress: [{{action: Deny, from: [{{namespaces: {{}}}}]}}]\n  egress: []");
        Assert.That((policy.Ingress?.Count, policy.Egress?.Count), Is.EqualTo((1, (int?)null)));
    }

    [TestCase("Accept", "")]
    [TestCase("Deny", " Deny any any")]
    [TestCase("Pass", " Deny any any")]
    public void Rule_that_cannot_be_understood_fails_closed_and_the_others_hold(string action, string expected)
    {
        var policy = Read($"{Whole}egress: [{{action: {action}, to: [{{services: {{}}}}]}}, {{action: Accept, to: [{{namespaces: {{}}}}]}}]", "spec.egress[0].to[0].services");
        Assert.That(Text(policy.Egress), Is.EqualTo($"{(expected.Length == 0 ? " Accept" : expected)}\n Accept / any"));
    }

    [TestCase("action: Allow, from: [{namespaces: {}}]", "action")]
    [TestCase("from: [{namespaces: {}}]", "action")]
    [TestCase("action: Deny", "from")]
    [TestCase("action: Deny, from: []", "from")]
    [TestCase("action: Deny, from: [{}]", "from[0]")]
    [TestCase("action: Deny, from: [{namespaces: {}, pods: {podSelector: {}}}]", "from[0]")]
    [TestCase("action: Deny, from: [{networks: [10.0.0.0/8]}]", "from[0].networks")]
    [TestCase("action: Deny, from: [{pods: {namespaceSelector: {}}}]", "from[0].pods.podSelector")]
    [TestCase("action: Deny, from: [{namespaces: {matchExpressions: [{key: a, operator: In}]}}]", "from[0].namespaces.matchExpressions[0].values")]
    [TestCase("action: Deny, from: [{namespaces: {}}], protocols: []", "protocols")]
    [TestCase("action: Deny, from: [{namespaces: {}}], protocols: [{icmp: {}}]", "protocols[0].icmp")]
    [TestCase("action: Deny, from: [{namespaces: {}}], protocols: [{tcp: {}}]", "protocols[0].tcp.destinationPort")]
    [TestCase("action: Deny, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {number: 0}}}]", "protocols[0].tcp.destinationPort")]
    [TestCase("action: Deny, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {range: {start: 9, end: 9}}}}]", "protocols[0].tcp.destinationPort")]
    [TestCase("action: Deny, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {number: 1, range: {start: 8, end: 9}}}}]", "protocols[0].tcp.destinationPort")]
    [TestCase("action: Deny, from: [{namespaces: {}}], protocols: [{destinationNamedPort: No_Name}]", "protocols[0].destinationNamedPort")]
    [TestCase("action: Deny, from: [{namespaces: {}}], sourcePort: 5", "sourcePort")]
    public void Wrong_rule_is_reported_with_its_field_and_denies(string rule, string field) =>
        Assert.That(Text(Read($"{Whole}ingress: [{{{rule}}}]", $"spec.ingress[0].{field}").Ingress), Is.EqualTo(" Deny any any"));

    [TestCase("action: Deny, to: [{domainNames: [example.com]}]", "to[0].domainNames")]
    [TestCase("action: Deny, to: [{networks: [10.0.0.0]}]", "to[0].networks[0]")]
    [TestCase("action: Deny, to: [{networks: []}]", "to[0].networks")]
    [TestCase("action: Deny, to: [{nodes: {}}], protocols: [{destinationNamedPort: http}]", "protocols")]
    public void Wrong_egress_rule_is_reported_with_its_field_and_denies(string rule, string field) =>
        Assert.That(Text(Read($"{Whole}egress: [{{{rule}}}]", $"spec.egress[0].{field}").Egress), Is.EqualTo(" Deny any any"));

    [TestCase($"tier: Middle\n  priority: 7\n  {Subject}", "spec.tier")]
    [TestCase($"priority: 7\n  {Subject}", "spec.tier")]
    [TestCase($"tier: Baseline\n  priority: 1001\n  {Subject}", "spec.priority")]
    [TestCase($"tier: Baseline\n  {Subject}", "spec.priority")]
    [TestCase("tier: Admin\n  priority: 7", "spec.subject", "spec.subject")]
    [TestCase("tier: Admin\n  priority: 7\n  subject: {namespaces: {}, pods: {podSelector: {}}}", "spec.subject")]
    [TestCase($"{Whole}ingres: []", "spec.ingres")]
    public void Policy_wrong_outside_of_its_rules_denies_everything(string spec, params string[] fields)
    {
        var policy = Read(spec, fields);
        Assert.That((Text(policy.Ingress), Text(policy.Egress)), Is.EqualTo((" Deny any any", " Deny any any")));
    }

    [Test]
    public void Policy_with_a_wrong_subject_selects_by_what_can_be_read_of_it_in_the_directions_it_has_rules_for()
    {
        var policy = Read(
            "tier: Admin\n  priority: 7\n  subject: {pods: {namespaceSelector: {matchLabels: {team: a, other: 5}}, podSelector: {matchExpressions: [{key: x, operator: Near}]}}}\n  egress: [{action: Accept, to: [{namespaces: {}}]}]",
            "spec.subject.pods.namespaceSelector.matchLabels.other", "spec.subject.pods.podSelector.matchExpressions[0].operator");
        Assert.That(policy.Subject.NamespaceSelector.ToString() + "/" + policy.Subject.PodSelector, Is.EqualTo("team=a/"));
        Assert.That((policy.Ingress, Text(policy.Egress)), Is.EqualTo(((EquatableArray<PolicyRule>?)null, " Deny any any")));
    }

    [Test]
    public void Limits_of_the_API_are_ours()
    {
        var many = string.Join(", ", Enumerable.Repeat("{action: Deny, from: [{namespaces: {}}]}", 26));
        Assert.That(Text(Read($"{Whole}ingress: [{many}]", "spec.ingress").Ingress), Is.EqualTo(" Deny any any"));
        var peers = string.Join(", ", Enumerable.Repeat("{namespaces: {}}", 26));
        Assert.That(Text(Read($"{Whole}ingress: [{{action: Pass, from: [{peers}]}}]", "spec.ingress[0].from").Ingress), Is.EqualTo(" Deny any any"));
    }

    private static Policy Read(string spec, params string[] rejected)
    {
        var file = FromManifest.Read("c.yaml", $"apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {{name: cnp}}\nspec:\n  {spec}\n");
        Assert.That(file.Rejections.Select(rejection => rejection.Field).Distinct(), Is.EqualTo(rejected.Distinct()), string.Join('\n', file.Rejections));
        return ((ClusterChange.PolicySet)file.Objects.Single()).Policy;
    }

    private static string? Text(EquatableArray<PolicyRule>? rules) => rules is null ? null : string.Join('\n', rules.Value.Select(rule =>
        string.Join(' ', [$"{rule.Name} {rule.Action}", .. rule.Peers.Select(Text), .. rule.Ports.Select(Text)])));

    private static string Text(Peer peer) => peer switch
    {
        Peer.Any => "any",
        Peer.Pods pods => $"{pods.NamespaceSelector}/{pods.PodSelector}",
        Peer.Nodes nodes => $"nodes {nodes.Selector}",
        Peer.IPBlock block => block.Cidr.ToString(),
        _ => throw new NotSupportedException(),
    };

    private static string Text(PortMatch port) => port switch
    {
        PortMatch.Any => "any",
        PortMatch.Numeric numeric => $"{numeric.Protocol} {numeric.First}-{numeric.Last}",
        PortMatch.Named named => $"{named.Protocol} {named.Name}",
        _ => throw new NotSupportedException(),
    };
}
