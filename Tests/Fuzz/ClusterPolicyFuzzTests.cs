using System.Text.Json;
using System.Text.Json.Nodes;
using Overlay.Dataplane.Datastore.Manifests;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;
using Overlay.Tests.Oracles;

namespace Overlay.Tests.Fuzz;

/// <summary>
/// ClusterNetworkPolicies with damaged structure: what the API's validation refuses is reported, and never opens anything that the policy as written closed; what it admits is not.
/// </summary>
public class ClusterPolicyFuzzTests
{
    private const string Policy = """
        {"apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy", "metadata": {"name": "cnp"}, "spec": {
          "tier": "Admin", "priority": 5,
          "subject": {"pods": {"namespaceSelector": {"matchLabels": {"team": "a"}}, "podSelector": {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}]}}},
          "ingress": [
            {"name": "ops", "action": "Accept", "from": [{"namespaces": {"matchLabels": {"team": "ops"}}}, {"pods": {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "x"}}}}],
             "protocols": [{"tcp": {"destinationPort": {"number": 80}}}, {"udp": {"destinationPort": {"range": {"start": 5, "end": 9}}}}, {"destinationNamedPort": "dns"}]},
            {"action": "Pass", "from": [{"namespaces": {"matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["x"]}]}}]},
            {"action": "Deny", "from": [{"namespaces": {}}]}],
          "egress": [
            {"action": "Deny", "to": [{"networks": ["10.0.0.0/8", "fd00::/8"]}, {"nodes": {"matchLabels": {"zone": "b"}}}]},
            {"action": "Accept", "to": [{"pods": {"podSelector": {}}}], "protocols": [{"sctp": {"destinationPort": {"number": 7}}}]}]}}
        """;

    private static readonly string[] Stricter = ["is no label", "is no port name", "stands where text is expected", "::ffff:10.0.0.0/104\" is no prefix"];

    private static readonly Labels Selected = Labels.Of([new("app", "web"), new("tier", "a")]);

    // One change at each place of the object, every kind of change: no chance in it.
    [Test]
    public void Any_one_change_is_refused_as_the_API_does_and_never_opens()
    {
        var written = Read(Policy).Policy;
        var (count, refused) = (0, 0);
        foreach (var path in JsonChange.Places(JsonNode.Parse(Policy)!["spec"]!, []).ToList())
        {
            foreach (var change in JsonChange.Changes(path))
            {
                var changed = JsonNode.Parse(Policy)!;
                if (!JsonChange.Apply(changed["spec"]!, path, change))
                    continue;
                count++;
                var json = changed.ToJsonString();
                var (policy, refusals) = Read(json);
                var byTheApi = IsRefusedByTheApi(json);
                if (refusals.Count == 0)
                {
                    Assert.That(byTheApi, Is.False, json);
                    continue;
                }

                // The oracle passes over null in a list and takes IPv4-mapped prefixes, and the schema admits selectors and names that nothing can ever match.
                Assert.That(byTheApi || refusals.Any(refusal => Stricter.Any(reason => refusal.Reason.Contains(reason, StringComparison.Ordinal))), json);
                refused++;
                AssertClosed(policy, written, json);
            }
        }

        TestContext.Out.WriteLine($"{count} changes, {refused} refused");
        Assert.That((count, refused), Is.GreaterThan((1500, 1000)));
    }

    // The rules that are there allow only what they did; where one is gone that denied, or passed on, everything is denied; and all of it is still said of the pods that were meant.
    private static void AssertClosed(Policy policy, Policy written, string json)
    {
        Assert.That(policy.Subject.Matches("shop", Labels.Of(new Label("team", "a")), Selected), json);
        foreach (var direction in Enum.GetValues<Direction>())
        {
            var before = written.Rules(direction)!.Value;
            if (policy.Rules(direction) is not { } after)
            {
                // Without its list of rules the policy has no say; only what stood in that list may be missing.
                Assert.That(policy.Rules(1 - direction), Is.Not.Null, json);
                continue;
            }

            foreach (var rule in after.Where(rule => rule.Action == RuleAction.Accept && rule.Peers.Count > 0))
                Assert.That(before.Select(other => (other.Peers, other.Ports)), Does.Contain((rule.Peers, rule.Ports)), json);
            Assert.That(after.Any(rule => rule.Peers.Count == 0 || rule.Peers[0] is Peer.Any) || policy.Rules(1 - direction)?.Any(rule => rule.Peers.Count == 0 || rule.Peers[0] is Peer.Any) == true, json);
        }
    }

    private static (Policy Policy, EquatableArray<Rejection> Refusals) Read(string json)
    {
        var file = FromManifest.Read("f.yaml", json);
        return (((ClusterChange.PolicySet)file.Objects.Single()).Policy, file.Rejections);
    }

    private static bool IsRefusedByTheApi(string json)
    {
        try
        {
            var policy = JsonSerializer.Deserialize<ClusterNetworkPolicy>(json)!;
            return ClusterNetworkPolicyRules.Violation(policy) is not null
                || ((string[])["Ingress", "Egress"]).Any(direction => ClusterNetworkPolicyRules.Rules(policy, direction).Any(rule => rule is null || ClusterNetworkPolicyRules.Violation(rule) is not null));
        }
        catch (Exception refused) when (refused is JsonException or NullReferenceException) // of another type, or null where something must be
        {
            return true;
        }
    }
}
