using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Dataplane;

public class ClusterStoreTests
{
    private static readonly NamespacedName Web = new("shop", "web");
    private static readonly Pod Manifest = new(Web, Labels.Of(new Label("app", "web")), [InetAddress.Parse("10.42.1.99")], [], HostNetwork: false, "n1");

    [Test]
    public void A_change_that_says_what_is_known_has_no_consequence()
    {
        var store = new ClusterStore();
        ClusterChange[] changes =
        [
            new ClusterChange.PodSet(Manifest),
            new ClusterChange.NamespaceSet(new("shop", Labels.Empty)),
            new ClusterChange.NodeSet(new("n1", [Cidr.Parse("10.42.1.0/24")], [])),
            new ClusterChange.PolicySet(Policy.Namespaced(new("shop", "deny"), LabelSelector.Everything, new EquatableArray<PolicyRule>([]), null)),
        ];
        foreach (var change in changes)
            Assert.That(store.Apply(change), Has.Count.EqualTo(change is ClusterChange.NodeSet ? 2 : 1), change.ToString());
        foreach (var change in changes)
            Assert.That(store.Apply(change), Is.Empty, change.ToString());
    }

    [Test]
    public void Going_twice_or_never_having_been_has_no_consequence()
    {
        var store = new ClusterStore();
        store.Apply(new ClusterChange.PodSet(Manifest));
        Assert.That(store.Apply(new ClusterChange.PodGone(Web)), Is.EqualTo(new[] { new Consequence.RemovePod(Web) }));
        ClusterChange[] changes = [new ClusterChange.PodGone(Web), new ClusterChange.NodeGone("n1"), new ClusterChange.NamespaceGone("a"), new ClusterChange.PolicyGone(new("a", "b"))];
        foreach (var change in changes)
            Assert.That(store.Apply(change), Is.Empty, change.ToString());
        Assert.That(store.Detach(new("c1", "eth0")), Is.Empty);
    }

    [Test]
    public void A_wired_pod_without_manifest_is_a_pod_without_labels()
    {
        var store = new ClusterStore();
        var consequences = store.Attach(AttachmentOf("c1", "10.42.1.5"));
        Assert.That(consequences, Is.EqualTo(new Consequence[]
        {
            new Consequence.SetPod(new(Web, Labels.Empty, [InetAddress.Parse("10.42.1.5")], [], false, ""), Local: true),
            new Consequence.SetAttachment(AttachmentOf("c1", "10.42.1.5")),
        }));
        Assert.That(store.Detach(new("c1", "eth0")), Is.EqualTo(new Consequence[] { new Consequence.RemovePod(Web), new Consequence.RemoveAttachment(AttachmentOf("c1", "10.42.1.5")) }));
        Assert.That(store.Pods, Is.Empty);
    }

    [Test]
    public void What_is_wired_here_is_the_truth_about_a_local_pods_addresses()
    {
        var store = new ClusterStore();
        store.Apply(new ClusterChange.PodSet(Manifest));
        store.Attach(AttachmentOf("c1", "10.42.1.5"));
        Assert.That(store.Pod(Web), Is.EqualTo(Manifest with { Addresses = [InetAddress.Parse("10.42.1.5")] }));
        Assert.That(store.IsLocal(Web));
        var consequences = store.Detach(new("c1", "eth0"));
        Assert.That(consequences, Does.Contain(new Consequence.SetPod(Manifest, Local: false)));
    }

    [Test]
    public void A_pod_that_keeps_its_addresses_and_becomes_local_is_a_change()
    {
        var store = new ClusterStore();
        store.Apply(new ClusterChange.PodSet(Manifest));
        Assert.That(store.Attach(AttachmentOf("c1", "10.42.1.99")), Does.Contain(new Consequence.SetPod(Manifest, Local: true)));
    }

    [Test]
    public void While_a_sandbox_is_replaced_the_pod_has_both_until_the_old_one_goes()
    {
        var store = new ClusterStore();
        store.Attach(AttachmentOf("c1", "10.42.1.5"));
        store.Attach(AttachmentOf("c2", "10.42.1.6"));
        Assert.That(store.Pod(Web)!.Addresses, Has.Count.EqualTo(2));
        Assert.That(store.AttachmentsOf(Web).Select(attachment => attachment.ContainerId), Is.EqualTo(new[] { "c1", "c2" }));
        store.Detach(new("c1", "eth0"));
        Assert.That(store.Pod(Web)!.Addresses.Single(), Is.EqualTo(InetAddress.Parse("10.42.1.6")));
    }

    [Test]
    public void A_container_wired_anew_for_another_pod_leaves_the_first()
    {
        var store = new ClusterStore();
        store.Attach(AttachmentOf("c1", "10.42.1.5"));
        var other = AttachmentOf("c1", "10.42.1.5") with { Pod = new("shop", "db") };
        Assert.That(store.Attach(other).Select(consequence => consequence.GetType()), Is.EqualTo(new[] { typeof(Consequence.RemovePod), typeof(Consequence.SetPod), typeof(Consequence.ReprojectNode) }));
        Assert.That(store.IsLocal(Web), Is.False);
        Assert.That(store.Attachments.Single(), Is.EqualTo(other));
    }

    [Test]
    public void Rejections_of_a_source_replace_each_other()
    {
        var store = new ClusterStore();
        store.Apply(new ClusterChange.Rejected("b", [new("b", 1, "", default, "", "one")]));
        store.Apply(new ClusterChange.Rejected("a", [new("a", 1, "", default, "", "two"), new("a", 2, "", default, "", "three")]));
        Assert.That(store.Rejections.Select(rejection => rejection.Reason), Is.EqualTo(new[] { "two", "three", "one" }));
        store.Apply(new ClusterChange.Rejected("a", []));
        Assert.That(store.Rejections.Select(rejection => rejection.Reason), Is.EqualTo(new[] { "one" }));
    }

    // Only the objects that end up in force may count, never the way there.
    [Test]
    public void Any_order_of_the_same_facts_ends_in_the_same_state([Range(1, 200)] int seed)
    {
        var random = new Random(seed);
        var (wanted, actual) = (new ClusterStore(), new ClusterStore());
        var facts = Enumerable.Range(0, 12).Select(i => Fact(random, i)).ToArray();
        foreach (var fact in facts)
            fact.Apply(wanted);

        // The other way there: each fact from an earlier, different state of its object, all in another order, some twice.
        random.Shuffle(facts);
        foreach (var fact in facts)
        {
            if (random.Next(2) == 0)
                fact.ApplyEarlier(actual);
            if (random.Next(3) == 0)
                fact.Apply(actual);
        }

        random.Shuffle(facts);
        foreach (var fact in facts)
            fact.Apply(actual);
        Assert.That(Text(actual), Is.EqualTo(Text(wanted)));
    }

    // Whoever applies the consequences one by one knows the same as the store.
    [Test]
    public void Consequences_tell_the_whole_state([Range(1, 100)] int seed)
    {
        var random = new Random(seed);
        var store = new ClusterStore();
        var told = new Dictionary<NamespacedName, (Pod Pod, bool Local)>();
        for (var step = 0; step < 60; step++)
        {
            foreach (var consequence in Fact(random, random.Next(8)).ApplyOne(store, random.Next(3)))
            {
                if (consequence is Consequence.SetPod set)
                    told[set.Pod.Name] = (set.Pod, set.Local);
                else if (consequence is Consequence.RemovePod { Name: var name })
                    Assert.That(told.Remove(name), name.ToString());
            }

            Assert.That(told.Values.OrderBy(pod => pod.Pod.Name), Is.EqualTo(store.Pods.OrderBy(pod => pod.Name).Select(pod => (pod, store.IsLocal(pod.Name)))));
        }
    }

    private static Attachment AttachmentOf(string container, string address) =>
        new(container, "eth0", Web, "", "/run/netns/x", $"ovl{container}", default, [InetAddress.Parse(address)], "overlay");

    // An object (by number, so that two facts never speak of the same) that is there in one of a few versions, or is not.
    private static PodFact Fact(Random random, int number) => new(new("shop", $"pod-{number}"), random.Next(3), random.Next(3));

    private static string Text(ClusterStore store)
    {
        var state = store.ToClusterState(new RulesetOptions(), new([], []));
        return string.Join('\n', state.Pods.OrderBy(pod => pod.Name).Select(pod => $"{pod} {string.Join(',', pod.Addresses)} {pod.Labels} {state.LocalPods.Contains(pod.Name)}"))
            + "\n" + string.Join('\n', store.Attachments.OrderBy(attachment => attachment.ContainerId, StringComparer.Ordinal));
    }

    private sealed record PodFact(NamespacedName Name, int Known, int Wired)
    {
        public void Apply(ClusterStore store)
        {
            SetKnown(store, Known);
            SetWired(store, Wired);
        }

        public void ApplyEarlier(ClusterStore store)
        {
            SetKnown(store, (Known + 1) % 3);
            SetWired(store, (Wired + 2) % 3);
        }

        public IReadOnlyList<Consequence> ApplyOne(ClusterStore store, int which) => which == 0 ? SetKnown(store, Known) : SetWired(store, Wired);

        private IReadOnlyList<Consequence> SetKnown(ClusterStore store, int version) => store.Apply(version == 0
            ? new ClusterChange.PodGone(Name)
            : new ClusterChange.PodSet(new(Name, Labels.Of(new Label("v", $"{version}")), [new(Family.IPv4, (uint)version)], [], HostNetwork: false, "n1")));

        private IReadOnlyList<Consequence> SetWired(ClusterStore store, int version) => version == 0
            ? store.Detach(new(Name.Name, "eth0"))
            : store.Attach(new(Name.Name, "eth0", Name, "", "", "ovl", default, [new(Family.IPv4, (uint)(100 + version))], "overlay"));
    }
}
