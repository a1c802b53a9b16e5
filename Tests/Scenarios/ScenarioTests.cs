using Overlay.Dataplane.Desired;
using Overlay.PolicyEngine.Nftables;
using Overlay.Tests.Oracles;

namespace Overlay.Tests.Scenarios;

/// <summary>Every scenario folder, four ways.</summary>
[TestFixtureSource(typeof(Scenario), nameof(Scenario.Names))]
public class ScenarioTests(string name)
{
    private readonly Scenario _scenario = Scenario.Load(name);
    private CompiledCluster? _once;

    private CompiledCluster Compiled => _once ??= CompiledCluster.Compile(_scenario.Yaml, _scenario.Objects, _scenario.Configuration);

    [Test]
    public void Ruleset_is_the_one_written_down()
    {
        var text = NftText.Print(Compiled.Node(_scenario.NodeUnderTest).Ruleset);
        Assert.That(text, Is.EqualTo(_scenario.Golden("ruleset.nft", text)), "OVERLAY_ACCEPT=1 takes the new text over; read its difference before you commit it.");
    }

    [Test]
    public void Routes_are_the_ones_written_down()
    {
        var text = NodeText.Print(Compiled.Node(_scenario.NodeUnderTest).Projected.Rows);
        Assert.That(text, Is.EqualTo(_scenario.Golden("routes.txt", text)), "OVERLAY_ACCEPT=1 takes the new text over; read its difference before you commit it.");
    }

    [Test]
    public void Oracle_judges_every_flow_as_written_down()
    {
        var oracle = new PolicyOracle(_scenario.Objects, _scenario.Configuration.IsolateByDefault);
        var wrong = from expected in _scenario.Flows()
                    let judged = oracle.Judge(expected.Flow)
                    where judged.Allowed != expected.Allowed
                    select $"flows.txt:{expected.Line}: {expected.Text}: {expected.Flow}: {judged}";
        Assert.That(wrong, Is.Empty);
    }

    [Test]
    public void Rulesets_treat_every_flow_as_written_down()
    {
        var wrong = from expected in _scenario.Flows()
                    let hops = Compiled.Walk(expected.Flow)
                    where hops.All(hop => hop.Trace.Accepted) != expected.Allowed
                    select $"flows.txt:{expected.Line}: {expected.Text}: {string.Join("\n  ", hops)}";
        Assert.That(wrong, Is.Empty);
    }

    [Test]
    public void Replies_to_every_allowed_flow_pass()
    {
        var wrong = from expected in _scenario.Flows().Where(expected => expected.Allowed)
                    let reply = expected.Flow with { Source = expected.Flow.Destination, Destination = expected.Flow.Source, Port = expected.Flow.Port == 0 ? 0 : 40000 }
                    let hops = Compiled.Walk(reply, CtState.Established)
                    where !hops.All(hop => hop.Trace.Accepted)
                    select $"flows.txt:{expected.Line}: reply to {expected.Text}: {string.Join("\n  ", hops)}";
        Assert.That(wrong, Is.Empty);
    }
}
