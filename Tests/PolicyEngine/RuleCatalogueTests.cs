using CsCheck;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;
using Overlay.Tests.Dataplane.Netlink;
using Overlay.Tests.Oracles;
using Overlay.Tests.Scenarios;

namespace Overlay.Tests.PolicyEngine;

/// <summary>Keeps the lists complete from which rulesets are loaded into a real kernel.</summary>
public class RuleCatalogueTests
{
    private static readonly HashSet<string> Known = [.. RuleCatalogue.All.Values.SelectMany(RuleShape.Of)];

    [Test]
    public void Every_shape_that_random_clusters_compile_to_is_in_the_catalogue() =>
        Gen.Select(Clusters.Snapshots, Clusters.Options).Sample((snapshot, options) => Assert.That(New(RulesetProjection.FromScratch(snapshot.ToState(options))), Is.Empty), iter: 1500);

    [TestCaseSource(typeof(Scenario), nameof(Scenario.Names))]
    public void Every_shape_that_a_scenario_compiles_to_is_in_the_catalogue(string name)
    {
        var scenario = Scenario.Load(name);
        var compiled = CompiledCluster.Compile(scenario.Yaml, scenario.Objects, scenario.Configuration);
        foreach (var node in scenario.Objects.Nodes)
            Assert.That(New(compiled.Node(node.Metadata.Name).Ruleset), Is.Empty);
    }

    [Test]
    public void The_catalogue_says_how_many_shapes_there_are()
    {
        TestContext.Out.WriteLine($"{Known.Count} shapes: {Known.Count(shape => shape.StartsWith("rule", StringComparison.Ordinal))} of rules, in {RuleCatalogue.All.Count} rulesets");
        Assert.That(Known, Has.Count.GreaterThan(400));
    }

    // The catalogue has what the compiler makes; NftablesShapes has at least one of all that can be said.
    [TestCase(typeof(Match))]
    [TestCase(typeof(Statement))]
    public void Every_case_of_a_closed_family_is_in_the_list_of_single_shapes(Type family)
    {
        var listed = NftablesShapes.Shapes.Chains.Values.SelectMany(chain => chain.Rules).SelectMany(rule => rule.Matches.Select(object (match) => match).Concat(rule.Statements)).Select(item => item.GetType()).ToHashSet();
        Assert.That(family.GetNestedTypes().Where(type => type.IsSubclassOf(family) && !listed.Contains(type)).Select(type => type.Name), Is.Empty);
    }

    [Test]
    public void Every_value_of_the_enums_of_rulesets_is_in_the_list_of_single_shapes()
    {
        var shapes = NftablesShapes.Shapes;
        Assert.That(shapes.Sets.Values.SelectMany(set => set.Key).Distinct(), Is.EquivalentTo(Enum.GetValues<DataType>()));
        var verdicts = shapes.Chains.Values.SelectMany(chain => chain.Rules).SelectMany(rule => rule.Statements).OfType<Statement.Final>().Select(final => final.Verdict.Kind).ToHashSet();
        Assert.That(verdicts, Is.EquivalentTo(Enum.GetValues<VerdictKind>()));
        Assert.That(shapes.Chains.Values.Select(chain => chain.Base?.Hook).OfType<Hook>().Concat(Known.Count > 0 ? RuleCatalogue.All.Values.SelectMany(ruleset => ruleset.Chains.Values).Select(chain => chain.Base?.Hook).OfType<Hook>() : []).Distinct(), Is.EquivalentTo(Enum.GetValues<Hook>()));
    }

    // A new case of a policy needs its place in the catalogue.
    [TestCase(typeof(Peer), 4)]
    [TestCase(typeof(PortMatch), 3)]
    public void The_cases_of_policies_are_those_that_the_catalogue_combines(Type family, int cases) =>
        Assert.That(family.GetNestedTypes().Count(type => type.IsSubclassOf(family)), Is.EqualTo(cases), $"a case of {family.Name} was added: combine it in RuleCatalogue");

    private static IEnumerable<string> New(Ruleset ruleset) => RuleShape.Of(ruleset).Distinct().Where(shape => !Known.Contains(shape));
}
