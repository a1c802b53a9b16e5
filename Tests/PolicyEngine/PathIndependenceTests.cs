using CsCheck;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Tests.PolicyEngine;

/// <summary>
/// The ruleset depends on the present state of the cluster only, not on the path taken to it; so it is always a valid test to move from any state to any other
/// (the idea is Felix's, calc/states_for_test.go). Each history runs as it is and expanded in eight ways, with differences taken at three rhythms.
/// </summary>
public class PathIndependenceTests
{
    private enum Rhythm
    {
        EveryEvent,
        EveryState,
        OnlyAtTheEnd,
    }

    [TestCase("as it is")]
    [TestCase("events reversed")]
    [TestCase("states reversed")]
    [TestCase("empty state in between")]
    [TestCase("states split")]
    [TestCase("states squashed")]
    [TestCase("namespaces and nodes last")]
    [TestCase("namespaces and nodes gone and back")]
    [TestCase("there and back")]
    public void Any_history_ends_in_the_ruleset_of_its_last_state(string expansion) =>
        Gen.Select(Clusters.Options, Clusters.Snapshots.Array[1, 4], Gen.Enum<Rhythm>()).Sample(
            (options, states, rhythm) => Follow(options, [.. Expand(states, expansion)], rhythm, reversed: expansion == "events reversed"),
            iter: 100);

    [Test]
    public void Prefixes_that_join_one_by_one_come_to_the_network_of_all()
    {
        var prefix = Gen.Select(Gen.Int[0, 15], Gen.Bool, (i, isIPv4) => Cidr.Parse(isIPv4 ? $"10.42.{i}.0/24" : $"fd00:42:0:{i:x}::/64"));
        Gen.Select(Clusters.Options, prefix.Array[0, 6], prefix.Array[0, 6], Gen.Bool).Sample((options, first, more, isTakenEach) =>
        {
            var (projection, replayed) = (new RulesetProjection(options), new ReplayedRuleset());
            projection.SetNetwork(new([], first.Distinct().ToEquatableArray()));
            foreach (var joined in more)
            {
                if (isTakenEach)
                    TakeAndCompare(projection, replayed);
                projection.AddToNetwork([joined]);
            }

            TakeAndCompare(projection, replayed);
            var state = Snapshot.Empty.ToState(options) with { Network = new([], first.Concat(more).Distinct().ToEquatableArray()) };
            Assert.That(NftText.Print(projection.Current), Is.EqualTo(NftText.Print(RulesetProjection.FromScratch(state))));
        });
    }

    private static IEnumerable<Snapshot> Expand(Snapshot[] states, string expansion) => expansion switch
    {
        "states reversed" => states.Reverse(),
        "empty state in between" => states.SelectMany(state => (Snapshot[])[state, Snapshot.Empty]).Append(states[^1]),
        "states split" => states.SelectMany((state, i) => Split(i == 0 ? Snapshot.Empty : states[i - 1], state)),
        "states squashed" => [states[^1]],
        "namespaces and nodes last" => states.SelectMany((state, i) => (Snapshot[])[state with { Namespaces = (i == 0 ? Snapshot.Empty : states[i - 1]).Namespaces, Nodes = (i == 0 ? Snapshot.Empty : states[i - 1]).Nodes }, state]),
        "namespaces and nodes gone and back" => states.SelectMany(state => (Snapshot[])[state, state with { Namespaces = Snapshot.Empty.Namespaces }, state with { Nodes = Snapshot.Empty.Nodes }, state]),
        "there and back" => states.Concat(states.Reverse()),
        _ => states,
    };

    // Pods first, then namespaces and policies: a state in which pods stand in namespaces that are not known.
    private static IEnumerable<Snapshot> Split(Snapshot before, Snapshot after) =>
        [before with { Pods = after.Pods }, before with { Pods = after.Pods, Policies = after.Policies }, after with { Network = before.Network }, after];

    private static void Follow(RulesetOptions options, Snapshot[] states, Rhythm rhythm, bool reversed)
    {
        var projection = new RulesetProjection(options);
        var replayed = new ReplayedRuleset();
        var state = Snapshot.Empty;
        foreach (var next in states)
        {
            var events = Events(state, next).ToList();
            if (reversed)
                events.Reverse();
            foreach (var change in events)
            {
                change(projection);
                if (rhythm == Rhythm.EveryEvent)
                    TakeAndCompare(projection, replayed);
            }

            state = next;
            Assert.That(NftText.Print(projection.Current), Is.EqualTo(NftText.Print(RulesetProjection.FromScratch(state.ToState(options)))));
            if (rhythm == Rhythm.EveryState)
                TakeAndCompare(projection, replayed);
            AssertLooksUp(projection.View, projection.Current);
        }

        TakeAndCompare(projection, replayed);
        Assert.That(projection.Take().IsEmpty, "nothing is left to take");
    }

    private static void TakeAndCompare(RulesetProjection projection, ReplayedRuleset replayed)
    {
        replayed.Apply(projection.Take());
        Assert.That(replayed.Print(), Is.EqualTo(NftText.Print(projection.Current)));
    }

    // The live view finds what a copy holds: chains, and in each set every key that any set of that type has.
    private static void AssertLooksUp(IRulesetView view, Ruleset current)
    {
        var copy = new RulesetView(current);
        foreach (var hook in Enum.GetValues<Hook>())
            Assert.That(view.BaseChains(hook), Is.EqualTo(copy.BaseChains(hook)));
        Assert.That(current.Chains.Keys.Select(view.FindChain), Is.EqualTo(current.Chains.Values));
        var keys = current.Sets.Values.ToLookup(set => set.Key, set => current.Elements[set.Name].SelectMany(element => (ElementKey[])[element.Key, element.Last]));
        foreach (var set in current.Sets.Values)
        {
            foreach (var key in keys[set.Key].SelectMany(list => list).Distinct())
                Assert.That(view.FindSet(set.Name)!.Find(key), Is.EqualTo(copy.FindSet(set.Name)!.Find(key)), $"{set.Name} at {key}");
        }
    }

    private static IEnumerable<Action<RulesetProjection>> Events(Snapshot before, Snapshot after)
    {
        if (before.Network != after.Network)
            yield return projection => projection.SetNetwork(after.Network);
        foreach (var name in before.Nodes.Keys.Except(after.Nodes.Keys))
            yield return projection => projection.RemoveNode(name);
        foreach (var value in after.Nodes.Values)
            yield return projection => projection.SetNode(value);
        foreach (var name in before.Namespaces.Keys.Except(after.Namespaces.Keys))
            yield return projection => projection.RemoveNamespace(name);
        foreach (var value in after.Namespaces.Values)
            yield return projection => projection.SetNamespace(value);
        foreach (var name in before.Pods.Keys.Except(after.Pods.Keys))
            yield return projection => projection.RemovePod(name);
        foreach (var (pod, local) in after.Pods.Values)
            yield return projection => projection.SetPod(pod, local);
        foreach (var name in before.Policies.Keys.Except(after.Policies.Keys))
            yield return projection => projection.RemovePolicy(name);
        foreach (var value in after.Policies.Values)
            yield return projection => projection.SetPolicy(value);
    }
}

/// <summary>A ruleset made of differences alone, strict as the kernel: no element twice, nothing deleted that is not there, nothing referred to that is not there.</summary>
public sealed class ReplayedRuleset
{
    private readonly Dictionary<string, Chain> _chains = [];
    private readonly Dictionary<string, Set> _sets = [];
    private readonly Dictionary<string, Dictionary<ElementKey, Element>> _elements = [];

    public void Apply(RulesetDelta delta)
    {
        foreach (var (set, element) in delta.DeletedElements)
            Assert.That(_elements[set].Remove(element.Key, out var gone) && gone == element, $"{set} has {element} to delete");
        foreach (var set in delta.DeletedSets)
            Assert.That(_sets.Remove(set) && _elements.Remove(set), $"{set} is there to delete");
        foreach (var chain in delta.DeletedChains)
            Assert.That(_chains.Remove(chain), $"{chain} is there to delete");
        foreach (var set in delta.Sets)
        {
            _sets.Add(set.Name, set);
            _elements.Add(set.Name, []);
        }

        foreach (var chain in delta.Chains)
            _chains[chain.Name] = chain;
        foreach (var (set, element) in delta.Elements)
        {
            if (_elements[set].TryGetValue(element.Key, out var old))
                Assert.That(old, Is.Not.EqualTo(element), $"{set} already has {element}");
            _elements[set][element.Key] = element;
        }

        AssertComplete();
    }

    public string Print() => NftText.Print(new Ruleset(_chains, _sets, _elements.ToDictionary(pair => pair.Key, IReadOnlyCollection<Element> (pair) => pair.Value.Values)));

    private void AssertComplete()
    {
        var statements = _chains.Values.SelectMany(chain => chain.Rules).SelectMany(rule => rule.Statements);
        var targets = statements.OfType<Statement.Final>().Select(statement => statement.Verdict.Chain)
            .Concat(_elements.Values.SelectMany(elements => elements.Values).Select(element => element.Verdict?.Chain));
        Assert.That(targets.OfType<string>().Except(_chains.Keys), Is.Empty, "chains that are gone to but missing");
        var sets = _chains.Values.SelectMany(chain => chain.Sets).ToHashSet();
        Assert.That(sets.Except(_sets.Keys), Is.Empty, "sets that are looked up but missing");
        Assert.That(_sets.Keys.Except(sets), Is.Empty, "sets that nothing looks up");
    }
}
