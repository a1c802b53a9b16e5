using CsCheck;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Selectors;

namespace Overlay.Tests.PolicyEngine;

public class SelectorIndexTests
{
    private static readonly Selector WebOfOps = new(null, Where("team", LabelSelectorOperator.In, "ops"), Where("app", LabelSelectorOperator.In, "web"));

    [Test]
    public void Pod_comes_and_goes_with_its_labels()
    {
        var index = new SelectorIndex<Names>();
        var web = new Names();
        index.Watch(web, [Selector.Within("shop", Where("app", LabelSelectorOperator.In, "web"))]);
        index.SetPod(Pod("shop", "a", "app=web"));
        index.SetPod(Pod("ops", "a", "app=web"));
        Assert.That(web.Present, Is.EqualTo(["shop/a"]));
        index.SetPod(Pod("shop", "a", "app=db"));
        Assert.That(web.Present, Is.Empty);
    }

    [Test]
    public void Pod_may_come_before_its_namespace_and_before_the_selector()
    {
        var index = new SelectorIndex<Names>();
        index.SetPod(Pod("one", "a", "app=web"));
        var members = new Names();
        index.Watch(members, [WebOfOps]);
        Assert.That(members.Present, Is.Empty);
        index.SetNamespace(new("one", LabelsOf("team=ops")));
        Assert.That(members.Present, Is.EqualTo(["one/a"]));
        index.RemoveNamespace("one");
        Assert.That(members.Present, Is.Empty);
    }

    [Test]
    public void Pod_that_two_selectors_of_a_set_select_is_added_once()
    {
        var index = new SelectorIndex<Names>();
        var members = new Names();
        index.Watch(members, [Selector.Everything, Selector.Within("one", LabelSelector.Everything)]);
        index.SetPod(Pod("one", "a", ""));
        Assert.That(members.Added, Is.EqualTo(1));
    }

    [Test]
    public void Relabelled_namespace_touches_the_pods_of_that_namespace_only()
    {
        var index = new SelectorIndex<Names>();
        var members = new Names();
        index.Watch(members, [WebOfOps]);
        for (var i = 0; i < 10; i++)
            index.SetPod(Pod(i < 3 ? "one" : "two", $"p{i}", "app=web"));
        index.SetNamespace(new("one", LabelsOf("team=ops")));
        Assert.That((members.Added, members.Removed), Is.EqualTo((3, 0)));
        index.SetNamespace(new("one", LabelsOf("team=ops,more=x")));
        Assert.That((members.Added, members.Removed), Is.EqualTo((3, 0)));
    }

    [TestCase("", LabelSelectorOperator.Exists, true, Description = "no requirement: every namespace is meant")]
    [TestCase(Namespace.NameLabel, LabelSelectorOperator.In, true)]
    [TestCase(Namespace.NameLabel, LabelSelectorOperator.Exists, true)]
    [TestCase(Namespace.NameLabel, LabelSelectorOperator.NotIn, false)]
    [TestCase("team", LabelSelectorOperator.NotIn, false, Description = "it may have the very label")]
    [TestCase("team", LabelSelectorOperator.DoesNotExist, false)]
    [TestCase("team", LabelSelectorOperator.Exists, false)]
    public void Of_an_unknown_namespace_only_the_name_is_certain(string key, LabelSelectorOperator op, bool matches)
    {
        var selector = key.Length == 0 ? LabelSelector.Everything : Where(key, op, op is LabelSelectorOperator.In or LabelSelectorOperator.NotIn ? ["one"] : []);
        var index = new SelectorIndex<Names>();
        var members = new Names();
        index.Watch(members, [new Selector(null, selector, LabelSelector.Everything)]);
        index.SetPod(Pod("one", "a", ""));
        Assert.That(members.Present.Count == 1, Is.EqualTo(matches));
    }

    [Test]
    public void Filed_selectors_match_as_asking_each_one_would()
    {
        var label = Gen.Select(Gen.OneOf("a", "b", "c"), Gen.OneOf("1", "2"), (key, value) => new Label(key, value)).Array[0, 3].Select(labels => Labels.Of(labels));
        var requirement = Gen.Select(Gen.OneOf("a", "b", "c"), Gen.Enum<LabelSelectorOperator>(), Gen.OneOf("1", "2").Array[1, 2], (key, op, values) => Requirement(key, op, values));
        var labelSelector = requirement.Array[0, 3].Select(requirements => LabelSelector.Of(requirements));
        var selector = Gen.Select(Gen.OneOf("x", "y").Null(), labelSelector, labelSelector, (ns, namespaces, pods) => ns is null ? new Selector(null, namespaces, pods) : Selector.Within(ns, pods));
        Gen.Select(selector.Array[0, 12], Gen.Int[0, 12], label, label.Null(), Gen.OneOf("x", "y", "z")).Sample((selectors, removed, labels, namespaceLabels, ns) =>
        {
            var filed = new FiledSelectors<object>();
            var filings = selectors.Select(s => (Selector: s, Value: new object())).Select(s => (s.Selector, s.Value, Filing: filed.Add(s.Selector, s.Value))).ToList();
            foreach (var gone in filings.Take(removed))
                filed.Remove(gone.Filing);
            var found = new HashSet<object>();
            filed.Match(ns, namespaceLabels, labels, found);
            Assert.That(found, Is.EquivalentTo(filings.Skip(removed).Where(s => s.Selector.Matches(ns, namespaceLabels, labels)).Select(s => s.Value)));
        });
    }

    [Test]
    public void Filed_selectors_cost_about_those_that_can_match()
    {
        // 10,000 selectors share one requirement and differ in another: the shared one must not be what they stand under.
        var filed = new FiledSelectors<object>();
        for (var i = 0; i < 10_000; i++)
            filed.Add(new Selector(null, LabelSelector.Everything, LabelSelector.Of(Requirement("tier", LabelSelectorOperator.In, "web"), Requirement("app", LabelSelectorOperator.In, $"a{i}"))), new object());
        var found = new HashSet<object>();
        Assert.That(filed.Match("x", null, LabelsOf("app=a7,tier=web"), found), Is.LessThan(5), "selectors looked at");
        Assert.That(found, Has.Count.EqualTo(1));
    }

    private static LabelSelectorRequirement Requirement(string key, LabelSelectorOperator op, params string[] values) =>
        new(key, op, op is LabelSelectorOperator.In or LabelSelectorOperator.NotIn ? new(values) : []);

    private static LabelSelector Where(string key, LabelSelectorOperator op, params string[] values) => LabelSelector.Of(Requirement(key, op, values));

    private static Labels LabelsOf(string text) => Labels.Of(text.Split(',', StringSplitOptions.RemoveEmptyEntries).Select(pair => new Label(pair.Split('=')[0], pair.Split('=')[1])));

    private static Pod Pod(string ns, string name, string labels) => new(new(ns, name), LabelsOf(labels), [], [], false, "");

    private sealed class Names : IMembers
    {
        private readonly List<string> _names = [];

        public int Added { get; private set; }

        public int Removed { get; private set; }

        public IReadOnlyCollection<string> Present => [.. _names.Order(StringComparer.Ordinal)];

        public void Add(Pod pod)
        {
            _names.Add(pod.Name.ToString());
            Added++;
        }

        public void Remove(Pod pod)
        {
            Assert.That(_names.Remove(pod.Name.ToString()));
            Removed++;
        }
    }
}
