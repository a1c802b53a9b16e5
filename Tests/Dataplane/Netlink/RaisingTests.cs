using Overlay.Dataplane.Netlink.Netfilter;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;
using Overlay.Tests.Oracles;
using Overlay.Tests.Scenarios;

namespace Overlay.Tests.Dataplane.Netlink;

/// <summary>Rules read back from the kernel's expressions mean what was written.</summary>
public class RaisingTests
{
    [TestCaseSource(typeof(NftablesShapes), nameof(NftablesShapes.Matches))]
    public void Every_match_is_read_back(Match match)
    {
        var rule = new Rule([match], [new Statement.Counter(), new Statement.Final(Verdict.Drop)], "why");
        var raised = Raising.Raise(RuleMessage.Of("chain", rule));
        Assert.That(raised?.Comment, Is.EqualTo("why"));
        Assert.That(raised!.Statements, Is.EqualTo(rule.Statements));
        Assert.That(RuleMessage.Of("chain", raised), Is.EqualTo(RuleMessage.Of("chain", rule)));
    }

    [TestCaseSource(typeof(NftablesShapes), nameof(NftablesShapes.Statements))]
    public void Every_statement_is_read_back(Statement statement) =>
        Assert.That(Raising.Raise(RuleMessage.Of("chain", new([], [statement]))), Is.EqualTo(new Rule([], [statement])));

    [TestCaseSource(typeof(Scenario), nameof(Scenario.Names))]
    public void Rulesets_of_scenarios_are_read_back(string scenario)
    {
        var loaded = Scenario.Load(scenario);
        var compiled = CompiledCluster.Compile(loaded.Yaml, loaded.Objects, loaded.Configuration);
        var rules = loaded.Objects.Nodes.SelectMany(node => compiled.Node(node.Metadata.Name).Ruleset.Chains.Values).SelectMany(chain => chain.Rules);
        Assert.That(rules.Where(rule => Raising.Raise(RuleMessage.Of("chain", rule)) is null), Is.Empty);
    }

    [Test]
    public void What_no_rule_of_ours_is_made_of_is_not_guessed_at()
    {
        var expressions = Lowering.Lower(new([new Match.DestinationPort(IpProtocol.Tcp, 80, 80)], [new Statement.Final(Verdict.Accept)]));
        Assert.That(Raising.Raise(new("chain", [.. expressions.Skip(2)], null)), Is.Null, "a port of any protocol");
        Assert.That(Raising.Raise(new("chain", [.. expressions.Reverse()], null)), Is.Null);
    }
}
