using System.Text.Json;
using CsCheck;
using Overlay.Tests.Oracles;

namespace Overlay.Tests.Properties;

/// <content>ClusterNetworkPolicies: both tiers, few priorities so that they collide, every action and kind of peer; some of them broken, in or outside of their rules.</content>
public static partial class ClusterGen
{
    private static readonly string[] Actions = ["Accept", "Deny", "Pass"];

    private static readonly Dictionary<string, JsonElement> UnknownField = new() { ["unknown"] = JsonSerializer.SerializeToElement("x") };

    private static Gen<PolicyLabelSelector> PolicySelector(string key) => Gen.OneOf(
        Gen.Const(() => new PolicyLabelSelector()),
        Gen.OneOf("", "a", "b").Select(value => new PolicyLabelSelector { MatchLabels = new Dictionary<string, string> { [key] = value } }),
        Gen.Select(Gen.OneOf("In", "NotIn", "Exists", "DoesNotExist"), Gen.OneOf("", "a", "b").Array[1, 2]).Array[1, 2].Select(expressions => new PolicyLabelSelector
        {
            MatchExpressions = [.. expressions.Select(item => new PolicyLabelSelectorRequirement { Key = key, Operator = item.Item1, Values = item.Item1 is "In" or "NotIn" ? item.Item2 : null })],
        }));

    // By labels, which pods of the undeclared namespace make interesting, and by name, which they have.
    private static Gen<PolicyLabelSelector> NamespaceSelector => Gen.OneOf(
        PolicySelector("env"),
        Gen.Const(() => new PolicyLabelSelector()),
        Gen.Select(Gen.OneOf("In", "NotIn"), Gen.OneOf(Spaces).Array[1, 2], (op, names) => new PolicyLabelSelector
        {
            MatchExpressions = [new() { Key = LabelRequirement.NamespaceName, Operator = op, Values = [.. names.Distinct()] }],
        }));

    private static Gen<ClusterNetworkPolicyNamespacedPod> NamespacedPod =>
        Gen.Select(NamespaceSelector, PolicySelector("app"), (namespaces, pods) => new ClusterNetworkPolicyNamespacedPod { NamespaceSelector = namespaces, PodSelector = pods });

    private static Gen<ClusterNetworkPolicySubject> Subject => Gen.OneOf(
        NamespaceSelector.Select(namespaces => new ClusterNetworkPolicySubject { Namespaces = namespaces }),
        NamespacedPod.Select(pods => new ClusterNetworkPolicySubject { Pods = pods }));

    private static Gen<ClusterNetworkPolicyIngressPeer> IngressPeer => Gen.OneOf(
        NamespaceSelector.Select(namespaces => new ClusterNetworkPolicyIngressPeer { Namespaces = namespaces }),
        NamespacedPod.Select(pods => new ClusterNetworkPolicyIngressPeer { Pods = pods }));

    private static Gen<ClusterNetworkPolicyEgressPeer> EgressPeer => Gen.OneOf(
        NamespaceSelector.Select(namespaces => new ClusterNetworkPolicyEgressPeer { Namespaces = namespaces }),
        NamespacedPod.Select(pods => new ClusterNetworkPolicyEgressPeer { Pods = pods }),
        PolicySelector("zone").Select(nodes => new ClusterNetworkPolicyEgressPeer { Nodes = nodes }),
        Gen.OneOf(Cidrs).Array[1, 3].Select(networks => new ClusterNetworkPolicyEgressPeer { Networks = [.. networks.Distinct()] }));

    private static Gen<ClusterNetworkPolicyPort> DestinationPort => Gen.Select(Gen.OneOf(Ports), Gen.OneOf(Ports)).Select((one, other) => one == other
        ? new ClusterNetworkPolicyPort { Number = one }
        : new ClusterNetworkPolicyPort { Range = new() { Start = Math.Min(one, other), End = Math.Max(one, other) } });

    private static Gen<ClusterNetworkPolicyProtocol> Protocol => Gen.Select(Gen.Int[0, 3], DestinationPort, Gen.OneOf(PortNames)).Select((kind, port, name) => kind switch
    {
        0 => new ClusterNetworkPolicyProtocol { Tcp = new() { DestinationPort = port } },
        1 => new ClusterNetworkPolicyProtocol { Udp = new() { DestinationPort = port } },
        2 => new ClusterNetworkPolicyProtocol { Sctp = new() { DestinationPort = port } },
        _ => new ClusterNetworkPolicyProtocol { DestinationNamedPort = name },
    });

    private static Gen<IList<ClusterNetworkPolicyProtocol>?> MaybeProtocols =>
        Gen.OneOf(Gen.Const((IList<ClusterNetworkPolicyProtocol>?)null), Protocol.Array[1, 3].Select(items => (IList<ClusterNetworkPolicyProtocol>?)[.. items]));

    private static Gen<ClusterNetworkPolicyIngressRule> IngressRule =>
        Gen.Select(Gen.OneOf(Actions), IngressPeer.Array[1, 3], MaybeProtocols, Gen.Int[0, 39]).Select((action, peers, protocols, broken) =>
        {
            var rule = new ClusterNetworkPolicyIngressRule { Action = action, From = [.. peers], Protocols = protocols };
            Break(rule, peers[0], broken);
            return rule;
        });

    // Names are for peers that have any: with other peers a rule would be refused, which Break does often enough.
    private static Gen<ClusterNetworkPolicyEgressRule> EgressRule =>
        Gen.Select(Gen.OneOf(Actions), EgressPeer.Array[1, 3], MaybeProtocols, Gen.Int[0, 39]).Select((action, peers, protocols, broken) =>
        {
            var hasNames = peers.All(peer => peer.Nodes is null && peer.Networks is null);
            var usable = (protocols ?? []).Where(protocol => hasNames || protocol.DestinationNamedPort is null).ToList();
            var rule = new ClusterNetworkPolicyEgressRule { Action = action, To = [.. peers], Protocols = usable.Count > 0 ? usable : null };
            switch (broken)
            {
                case 36:
                    rule.To.Add(new() { DomainNames = ["example.org"] });
                    break;
                case 37:
                    rule.To.Add(new() { Networks = ["10.0.0.0"] });
                    break;
                case 38:
                    rule.To = [new() { Networks = ["192.0.2.0/24"] }];
                    rule.Protocols = [new() { DestinationNamedPort = "web" }];
                    break;
                default:
                    Break(rule, peers[0], broken);
                    break;
            }

            return rule;
        });

    private static void Break(ClusterNetworkPolicyRule rule, ClusterNetworkPolicyPeer peer, int how)
    {
        switch (how)
        {
            case 30:
                rule.Unknown = UnknownField;
                break;
            case 31:
                peer.Unknown = UnknownField;
                break;
            case 32:
                (peer.Namespaces, peer.Pods) = (null, null);
                if (peer is ClusterNetworkPolicyEgressPeer egress)
                    (egress.Nodes, egress.Networks) = (null, null);
                break;
            case 33:
                rule.Protocols = [new() { Tcp = new() { DestinationPort = new() { Range = new() { Start = 90, End = 80 } } } }];
                break;
            case 34:
                rule.Action = "Allow";
                break;
            case 35:
                rule.Protocols = [new() { Unknown = UnknownField }];
                break;
        }
    }

    private static Gen<Func<int, ClusterNetworkPolicy>> ClusterPolicy => Gen.Select(
        Gen.OneOf("Admin", "Admin", "Baseline"), Gen.OneOf(0, 10, 10, 1000), Subject, IngressRule.Array[0, 3], EgressRule.Array[0, 3], Gen.Int[0, 59],
        (tier, priority, subject, ingress, egress, broken) => (Func<int, ClusterNetworkPolicy>)(index =>
        {
            var spec = new ClusterNetworkPolicySpec
            {
                Tier = tier,
                Priority = priority,
                Subject = subject,
                Ingress = ingress.Length > 0 ? ingress : null,
                Egress = egress.Length > 0 ? egress : null,
            };
            BreakObject(spec, broken);
            // Names in no particular order, so that equal priorities are put in order by them and not by chance.
            return new() { Metadata = new() { Name = $"{"cadb"[index % 4]}-{index}" }, Spec = spec };
        }));

    private static void BreakObject(ClusterNetworkPolicySpec spec, int how)
    {
        switch (how)
        {
            case 55:
                spec.Tier = "Basement";
                break;
            case 56:
                spec.Priority = null;
                break;
            case 57:
                spec.Unknown = UnknownField;
                break;
            case 58:
                spec.Subject = null;
                break;
            case 59:
                spec.Subject = new() { Namespaces = new() { MatchLabels = new Dictionary<string, string> { ["env"] = "a" }, MatchExpressions = [new() { Key = "env", Operator = "Like" }] } };
                break;
        }
    }
}
