using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Dataplane;

/// <summary>What many objects of the store have in common is there once, and goes with the last of them.</summary>
public class InternTableTests
{
    [Test]
    public void Pods_that_were_read_apart_have_their_common_parts_in_common()
    {
        var store = new ClusterStore();
        store.Apply(PodOf("a", "web"));
        store.Apply(PodOf("b", "web"));
        var (one, other) = (store.Pod(new("shop", "a"))!, store.Pod(new("shop", "b"))!);
        Assert.That(other.Name.Namespace, Is.SameAs(one.Name.Namespace));
        Assert.That(other.NodeName, Is.SameAs(one.NodeName));
        Assert.That(other.Labels, Is.SameAs(one.Labels));
        Assert.That(other.Ports[0].Name, Is.SameAs(one.Ports[0].Name));
        Assert.That(PodOf("a", "web").Pod.Labels, Is.Not.SameAs(one.Labels), "and not because they were the same before");
    }

    [Test]
    public void Labels_that_differ_share_what_is_equal_of_them()
    {
        var store = new ClusterStore();
        store.Apply(PodOf("a", "web"));
        store.Apply(PodOf("b", "db"));
        Assert.That(store.Pod(new("shop", "b"))!.Labels.All[0].Key, Is.SameAs(store.Pod(new("shop", "a"))!.Labels.All[0].Key));
    }

    [Test]
    public void The_same_pod_told_again_stays_the_object_it_was()
    {
        var store = new ClusterStore();
        store.Apply(PodOf("a", "web"));
        var before = store.Pod(new("shop", "a"));
        Assert.That(store.Apply(PodOf("a", "web")), Is.Empty);
        Assert.That(store.Pod(new("shop", "a")), Is.SameAs(before));
    }

    [Test]
    public void Policies_share_their_selectors()
    {
        var store = new ClusterStore();
        store.Apply(PolicyOf("a"));
        store.Apply(PolicyOf("b"));
        var policies = store.Policies.ToList();
        Assert.That(policies[1].Subject.PodSelector, Is.SameAs(policies[0].Subject.PodSelector));
        Assert.That(((Peer.Pods)policies[1].Ingress!.Value[0].Peers[0]).PodSelector, Is.SameAs(policies[0].Subject.PodSelector));
    }

    [Test]
    public void What_nothing_uses_any_more_does_not_stay()
    {
        var store = new ClusterStore();
        store.Apply(PodOf("a", "web"));
        for (var i = 0; i < 10_000; i++)
        {
            store.Apply(PodOf("job", $"job-{i}"));
            Assert.That(store.InternedCount, Is.LessThan(2_000));
        }

        store.Apply(PodOf("b", "web"));
        Assert.That(store.Pod(new("shop", "b"))!.Labels, Is.SameAs(store.Pod(new("shop", "a"))!.Labels), "and what is used does");
    }

    private static ClusterChange.PodSet PodOf(string name, string app) => new(new(
        new(Fresh("shop"), Fresh(name)), Labels.Of(new Label(Fresh("app"), Fresh(app))), [InetAddress.Parse("10.42.1.9")], [new NamedPort(Fresh("http"), IpProtocol.Tcp, 80)], HostNetwork: false, Fresh("n1")));

    private static ClusterChange.PolicySet PolicyOf(string name)
    {
        LabelSelector Web() => LabelSelector.Of(new LabelSelectorRequirement(Fresh("app"), LabelSelectorOperator.In, [Fresh("web")]));
        return new(Policy.Namespaced(new(Fresh("shop"), name), Web(), new EquatableArray<PolicyRule>([new([new Peer.Pods(null, Web())], [new PortMatch.Any()])]), null));
    }

    private static string Fresh(string text) => new(text.AsSpan());
}
