using System.Text.RegularExpressions;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Tests.PolicyEngine;

/// <summary>The policies that select a pod in, the chains that its packets go through out, with every hash written as <c>#</c>.</summary>
public partial class PodCompilerTests
{
    private static readonly EquatableArray<PolicyRule> Everything = [new([new Peer.Any()], [new PortMatch.Any()])];

    [Test]
    public void Pod_without_policies_needs_no_chain_and_no_entry_for_its_node()
    {
        Assert.That(PodCompiler.Compile(PacketPath.Ingress, [], [], new()), Is.EqualTo(new Isolation(Verdict.Accept, [], [])));
        Assert.That(PodCompiler.Compile(PacketPath.Host, [], [], new()), Is.EqualTo(new Isolation(null, [], [])));
    }

    [Test]
    public void Tiers_are_asked_by_priority_and_name_whatever_the_order_of_arrival() => AssertChains(
        PacketPath.Ingress,
        [Cluster("b", Tier.Admin, 10, RuleAction.Deny), Cluster("c", Tier.Admin, 5, RuleAction.Accept), Cluster("a", Tier.Admin, 10, RuleAction.Accept), Cluster("z", Tier.Baseline, 0, RuleAction.Deny)],
        """
        admin-in-#: jump policy-#-c-in; jump policy-#-a-in; jump policy-#-b-in
        baseline-in-#: jump policy-#-z-in
        pods-in-#: jump admin-in-#; jump baseline-in-#; accept
        """);

    [Test]
    public void Baseline_is_not_asked_of_pods_that_a_NetworkPolicy_isolates() => AssertChains(
        PacketPath.Egress,
        [Cluster("z", Tier.Baseline, 0, RuleAction.Deny), Namespaced("open"), Cluster("a", Tier.Admin, 0, RuleAction.Deny)],
        """
        admin-out-#: jump policy-#-a-out
        pods-out-#: jump admin-out-#; jump policy-#-shop/open-out; counter drop
        """);

    [Test]
    public void Policy_that_passes_stands_in_the_chain_of_its_tier() => AssertChains(
        PacketPath.Ingress,
        [Cluster("a", Tier.Admin, 0, RuleAction.Accept), Cluster("b", Tier.Admin, 1, RuleAction.Pass), Cluster("c", Tier.Admin, 2, RuleAction.Deny)],
        """
        admin-in-#: jump policy-#-a-in; return comment "b ingress[0]"; jump policy-#-c-in
        pods-in-#: jump admin-in-#; accept
        """);

    [Test]
    public void NetworkPolicies_have_no_say_in_what_a_pod_sends_to_its_node() => AssertChains(
        PacketPath.Host,
        [Cluster("a", Tier.Admin, 0, RuleAction.Deny), Namespaced("open"), Cluster("z", Tier.Baseline, 0, RuleAction.Deny)],
        """
        admin-out-#: jump policy-#-a-out
        pods-host-#: jump admin-out-#; accept
        """);

    [Test]
    public void Pods_of_unknown_namespaces_are_dropped_before_rules_that_ask_for_their_labels()
    {
        var policy = Cluster("a", Tier.Admin, 0, RuleAction.Accept, new Peer.Pods(LabelSelector.Of(new LabelSelectorRequirement("team", LabelSelectorOperator.Exists, [])), LabelSelector.Everything));
        AssertChains(PacketPath.Ingress, [policy],
            """
            admin-in-#: ip saddr @peer-#-v4 counter drop comment "pods of a namespace that is not known"; ip6 saddr @peer-#-v6 counter drop comment "pods of a namespace that is not known"; jump policy-#-a-in
            pods-in-#: jump admin-in-#; accept
            """);
        Assert.That(PodCompiler.Compile(PacketPath.Ingress, [PolicyCompiler.Compile(policy)], [], new()).Sources.Select(source => source.Set.Name), Is.EqualTo(FamilyFacts.Both.Select(family => SetSources.OfUnknownNamespaces(family).Set.Name)));
    }

    [Test]
    public void Pod_of_an_unknown_namespace_is_cut_off_where_a_policy_asks_for_its_labels()
    {
        var policy = new Policy(new("", "a"), Tier.Baseline, 0, new(null, LabelSelector.Of(new LabelSelectorRequirement("team", LabelSelectorOperator.DoesNotExist, [])), LabelSelector.Everything), Everything, null);
        Assert.That(PodCompiler.Compile(PacketPath.Ingress, [], [policy], new()).Verdict, Is.EqualTo(Verdict.Drop));
        Assert.That(PodCompiler.Compile(PacketPath.Egress, [], [policy], new()).Verdict, Is.EqualTo(Verdict.Accept));
    }

    [TestCase(RuleAction.Accept, "accept")]
    [TestCase(RuleAction.Deny, "counter drop")]
    [TestCase(RuleAction.Pass, "return")]
    public void Action_of_a_rule_is_its_verdict(RuleAction action, string expected) =>
        Assert.That(NftText.Print(PolicyCompiler.Compile(Cluster("a", Tier.Admin, 0, action)).Ingress!.Rules.Single()), Is.EqualTo($"{expected} comment \"a ingress[0]\""));

    private static void AssertChains(PacketPath path, Policy[] policies, string expected)
    {
        var isolation = PodCompiler.Compile(path, policies.Select(PolicyCompiler.Compile), [], new());
        var text = isolation.Chains.Select(chain => $"{chain.Name}: {string.Join("; ", chain.Rules.Select(NftText.Print))}");
        Assert.That(Hash().Replace(string.Join('\n', text), "-#"), Is.EqualTo(expected));
        Assert.That(isolation.Verdict, Is.EqualTo(Verdict.Goto(isolation.Chains[^1].Name)));
    }

    private static Policy Cluster(string name, Tier tier, int priority, RuleAction action, params Peer[] peers)
    {
        EquatableArray<PolicyRule> rules = [new(peers.Length == 0 ? [new Peer.Any()] : new(peers), [new PortMatch.Any()], action)];
        return new(new("", name), tier, priority, Selector.Everything, rules, rules);
    }

    private static Policy Namespaced(string name) => Policy.Namespaced(new("shop", name), LabelSelector.Everything, Everything, Everything);

    [GeneratedRegex("-[a-z2-7]{16}|-[a-z2-7]{8}(?=-)")]
    private static partial Regex Hash();
}
