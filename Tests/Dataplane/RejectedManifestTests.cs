using Overlay.Dataplane.Datastore.Directory;
using Overlay.Dataplane.Datastore.Manifests;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Explain;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Tests.Dataplane;

/// <summary>What is wrong is said, and what stands in for it opens nothing.</summary>
public class RejectedManifestTests
{
    private const string NetworkPolicy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n";
    private const string ClusterPolicy = "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\n";

    [TestCase("metadata: {name: p, labels: {a: yes, app: web}}", "metadata.labels.a", "app=web")]
    [TestCase("metadata: {name: p, labels: {\"a b\": c}}", "metadata.labels.a b", "")]
    [TestCase("metadata: {name: p}\nspec: {containers: [{ports: [{name: http}]}]}", "spec.containers[0].ports[0].containerPort", "")]
    [TestCase("metadata: {name: p}\nstatus: {podIPs: [{ip: 10.0.0.256}]}", "status.podIPs[0].ip", "")]
    [TestCase("metadata: {name: p, labels: {app: web, app: db}}", "metadata.labels.app", "app=web")]
    [TestCase("metadata: {name: p, labels: *none}", "metadata.labels", "")]
    public void A_rejected_Pod_stays_without_what_is_wrong_and_is_marked(string text, string field, string labels)
    {
        var file = FromManifest.Read("p.yaml", $"apiVersion: v1\nkind: Pod\n{text}");
        Assert.That(file.Rejections.Select(rejection => (rejection.Kind, rejection.Name.ToString(), rejection.Field)), Does.Contain(("Pod", "default/p", field)));
        var pod = ((ClusterChange.PodSet)file.Objects.Single()).Pod;
        Assert.That((pod.IsRejected, pod.Labels.ToString()), Is.EqualTo((true, labels)));
        Assert.That(file.IsBroken, Is.False);
    }

    [Test]
    public void A_Node_stays_in_force_without_labels_that_are_wrong()
    {
        var file = FromManifest.Read("n.yaml", "{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {a: 1, b: c}}, spec: {podCIDR: 10.42.1.0/24}}");
        Assert.That(file.Rejections.Single().Field, Is.EqualTo("metadata.labels.a"));
        Assert.That(((ClusterChange.NodeSet)file.Objects.Single()).Node.Labels.ToString(), Is.EqualTo("b=c"));
        Assert.That(FromManifest.Read("n.yaml", "{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {a: 1}}, spec: {podCIDR: x}}").Objects, Is.Empty);
    }

    [Test]
    public void Nothing_passes_to_a_rejected_Pod_or_from_it_on_any_path()
    {
        var pod = new Pod(new("shop", "p"), Labels.Empty, [InetAddress.Parse("10.42.1.5"), InetAddress.Parse("fd00:42:1::5")], [], HostNetwork: false, "n1");
        var other = pod with { Name = new("shop", "q"), Addresses = [InetAddress.Parse("10.42.1.6")] };
        foreach (var isRejected in (bool[])[false, true])
        {
            var marked = pod with { IsRejected = isRejected };
            var state = new ClusterState(new(), new([], []), [], [], [marked, other], new HashSet<NamespacedName> { pod.Name, other.Name }, []);
            var ruleset = RulesetProjection.FromScratch(state);
            foreach (var address in pod.Addresses)
            {
                var verdicts = Enum.GetValues<PacketPath>().Select(path => ruleset.Elements[BaseChains.Dispatch(path, address.Family)].Where(element => element.Key.Equals(ElementKey.Of(address))).Select(element => element.Verdict).SingleOrDefault());
                Assert.That(verdicts.All(verdict => verdict == Verdict.Drop), Is.EqualTo(isRejected));
            }

            var decision = new PolicyJudge(state, "n1").Judge(new Packet(pod.Addresses[0], other.Addresses[0], 6, 80, null, null));
            Assert.That((decision.Egress.Allowed, decision.Ingress.Allowed), Is.EqualTo((!isRejected, true)));
            if (isRejected)
                Assert.That(decision.Egress.ToString(), Is.EqualTo("denied: the manifest of shop/p is rejected, so nobody can tell which policies select it"));
        }
    }

    [Test]
    public void The_last_good_version_of_a_Pod_is_preferred_and_a_wired_one_stays_marked()
    {
        var (content, store) = (new DirectoryContent(), new ClusterStore());
        Take("p.yaml", "{apiVersion: v1, kind: Pod, metadata: {name: p, labels: {app: web}}}");
        Take("p.yaml", "{apiVersion: v1, kind: Pod, metadata: {name: p, labels: {app: 1}}}");
        Assert.That(store.Pods.Single(), Has.Property("IsRejected").False.And.Property("Labels").EqualTo(Labels.Of(new Label("app", "web"))));
        Take("q.yaml", "{apiVersion: v1, kind: Pod, metadata: {name: q, labels: {app: 1}}}");
        Take("q.yaml", "{apiVersion: v1, kind: Pod, metadata: {name: q, labels: {app: 2, b: c}}}");
        Assert.That(store.Pod(new("default", "q")), Has.Property("IsRejected").True.And.Property("Labels").EqualTo(Labels.Of(new Label("b", "c"))));
        store.Attach(new("c1", "eth0", new("default", "q"), "uid", "/run/netns/q", "ov1", default, [InetAddress.Parse("10.42.1.5")], "overlay"));
        Assert.That(store.Pod(new("default", "q"))!.IsRejected);
        Take("q.yaml", "{apiVersion: v1, kind: Pod, metadata: {name: q}}");
        Assert.That(store.Pod(new("default", "q"))!.IsRejected, Is.False);

        void Take(string file, string text)
        {
            content.SetManifests(file, text);
            foreach (var change in content.TakeChanges())
                store.Apply(change);
        }
    }

    [Test]
    public void Of_a_broken_file_what_is_understood_is_taken_and_the_rest_kept()
    {
        var content = new DirectoryContent();
        content.SetManifests("a.yaml", "{apiVersion: v1, kind: Namespace, metadata: {name: a}}\n---\n{apiVersion: v1, kind: Namespace, metadata: {name: b}}");
        content.TakeChanges();
        content.SetManifests("a.yaml", "{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {new: label}}}\n---\nkind: [\n---\n{apiVersion: v1, kind: Namespace, metadata: {name: c}}");
        var changes = content.TakeChanges();
        Assert.That(changes.OfType<ClusterChange.NamespaceSet>().Select(change => change.Namespace.Name), Is.EquivalentTo(new[] { "a", "c" }));
        Assert.That(changes.OfType<ClusterChange.NamespaceGone>(), Is.Empty);
    }

    [TestCase("spec: {podSelector: {matchLabels: {a: b, a: c}}}", "spec.podSelector.matchLabels.a", "", true, false)]
    [TestCase("spec: {podSelector: {matchLabels: {a: b}}, podSelector: {}}", "spec.podSelector", "", true, false)]
    [TestCase("spec: {podSelector: {matchLabels: {a: b}}, egress: null, egress: [{}]}", "spec.egress", "a=b", true, true)]
    [TestCase("spec: {podSelector: {matchLabels: {a: b}}, ingress: [{ports: [{port: 1, port: 2}]}]}", "spec.ingress[0].ports[0].port", "a=b", true, false)]
    [TestCase("spec: {podSelector: {matchLabels: {a: b}}, [x]: y}", "spec", "", true, true)]
    [TestCase("spec: {podSelector: {matchLabels: {a: b}}, egress: *none}", "spec.egress", "a=b", true, true)]
    [TestCase("spec: {podSelector: {matchLabels: {a: b}}, policyTypes: [Egress]}\nspec: {}", "spec", "", true, true)]
    public void A_key_or_alias_that_is_wrong_is_a_problem_of_its_document(string spec, string field, string selector, bool ingress, bool egress)
    {
        var file = FromManifest.Read("p.yaml", $"{NetworkPolicy}metadata: {{name: np, namespace: shop}}\n{spec}");
        Assert.That(file.Rejections.Select(rejection => rejection.Field), Does.Contain(field));
        var policy = ((ClusterChange.PolicySet)file.Objects.Single()).Policy;
        Assert.That((file.IsBroken, policy.Subject.PodSelector.ToString(), policy.Ingress is not null, policy.Egress is not null), Is.EqualTo((false, selector, ingress, egress)));
        Assert.That((policy.Ingress ?? []).Count + (policy.Egress ?? []).Count, Is.Zero);
    }

    [TestCase("tier: Baseline, tier: Admin, priority: 5", "spec.tier", 0)]
    [TestCase("tier: Admin, priority: 5, priority: 6", "spec.priority", 0)]
    [TestCase("tier: Admin, priority: 5, [x]: y", "spec", 0)]
    public void A_cluster_policy_with_a_key_that_is_wrong_denies_where_it_may_have_been_meant(string fields, string field, int priority)
    {
        var file = FromManifest.Read("p.yaml", $"{ClusterPolicy}metadata: {{name: cnp}}\nspec: {{{fields}, subject: {{namespaces: {{}}}}, ingress: [{{action: Accept, from: [{{namespaces: {{}}}}]}}]}}");
        Assert.That(file.Rejections.Select(rejection => rejection.Field), Is.EqualTo(new[] { field }));
        var policy = ((ClusterChange.PolicySet)file.Objects.Single()).Policy;
        Assert.That((policy.Tier, policy.Priority), Is.EqualTo((Tier.Admin, priority)));
        Assert.That(policy.Ingress!.Value.Single().Action, Is.EqualTo(RuleAction.Deny));
    }

    [Test]
    public void An_alias_of_what_is_wrong_is_wrong_and_so_are_too_many_wrong_keys()
    {
        var file = FromManifest.Read("l.yaml", "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a, labels: &l {x: y, x: z}}}\n- {apiVersion: v1, kind: Pod, metadata: {name: b, labels: *l}}\n- {apiVersion: v1, kind: Pod, metadata: {name: c}}\n");
        Assert.That(file.Rejections.Select(rejection => $"{rejection.Name} {rejection.Field}"), Is.EqualTo(new[] { "default/a metadata.labels.x", "default/b metadata.labels" }));
        Assert.That(file.Objects.OfType<ClusterChange.PodSet>().Select(change => change.Pod.IsRejected), Is.EqualTo(new[] { true, true, false }));
        Assert.That(FromManifest.Read("l.yaml", string.Concat(Enumerable.Repeat("a: b\n", 200))).Rejections.Single().Reason, Does.Contain("more than 100 keys or aliases are wrong"));
    }

    [TestCase("{name: np, namepsace: shop}", "metadata.namepsace", "shop")]
    [TestCase("{name: np, namespace: no}", "metadata.namespace", "no")]
    [TestCase("{name: np, namespace: 5}", "metadata.namespace", "5")]
    [TestCase("{name: np, namespace: shop, lables: {a: b}}", "metadata.lables", "shop")]
    [TestCase("{name: np, namespace: [shop]}", "metadata.namespace", null)]
    [TestCase("{name: np, namepsace: [shop]}", "metadata.namepsace", null)]
    [TestCase("shop", "metadata", null)]
    public void Wrong_metadata_of_a_policy_is_said_and_isolates_the_namespace_as_spelled(string metadata, string field, string? ns)
    {
        var file = FromManifest.Read("p.yaml", $"{NetworkPolicy}metadata: {metadata}\nspec: {{podSelector: {{}}, ingress: [{{}}]}}");
        Assert.That(file.Rejections.Select(rejection => rejection.Field), Does.Contain(field));
        Assert.That(file.Objects.OfType<ClusterChange.PolicySet>().Select(change => change.Policy.Name.Namespace), Is.EqualTo(ns is null ? [] : new[] { ns }));
        Assert.That(file.Objects.OfType<ClusterChange.PolicySet>().SelectMany(change => change.Policy.Ingress!.Value), Is.Empty);
    }

    [TestCase("{name: cnp, namespace: shop}", "metadata.namespace", "a ClusterNetworkPolicy is in no namespace; leave it out.")]
    [TestCase("{name: cnp, label: {}}", "metadata.label", "there is no such field; is labels meant?")]
    public void Wrong_metadata_of_a_cluster_policy_is_said_and_denies(string metadata, string field, string reason)
    {
        var file = FromManifest.Read("p.yaml", $"{ClusterPolicy}metadata: {metadata}\nspec: {{tier: Admin, priority: 1, subject: {{namespaces: {{}}}}, ingress: [{{action: Accept, from: [{{namespaces: {{}}}}]}}]}}");
        Assert.That(file.Rejections.Select(rejection => (rejection.Field, rejection.Reason)), Is.EqualTo(new[] { (field, reason) }));
        Assert.That(((ClusterChange.PolicySet)file.Objects.Single()).Policy.Ingress!.Value.Single().Action, Is.EqualTo(RuleAction.Deny));
    }

    [TestCase("networking.k8s.oi/v1", "NetworkPolicy", "there is no networking.k8s.oi/v1 NetworkPolicy; networking.k8s.io/v1 is expected.")]
    [TestCase("policy.networking.k8s.io/v1", "NetworkPolicy", "there is no policy.networking.k8s.io/v1 NetworkPolicy; networking.k8s.io/v1 is expected.")]
    [TestCase("networking.k8s.io/v1", "NetworkPolicies", "there is no kind NetworkPolicies; is NetworkPolicy meant?")]
    public void A_kind_or_group_that_is_nearly_ours_is_rejected_and_isolates(string apiVersion, string kind, string reason)
    {
        var file = FromManifest.Read("p.yaml", $"{{apiVersion: {apiVersion}, kind: {kind}, metadata: {{name: np, namespace: shop}}, spec: {{podSelector: {{}}, ingress: [{{}}]}}}}");
        Assert.That(file.Rejections.Select(rejection => rejection.Reason), Is.EqualTo(new[] { reason }));
        Assert.That(((ClusterChange.PolicySet)file.Objects.Single()).Policy.Ingress!.Value, Is.Empty);
    }

    [TestCase("kind: List", "it is missing; a list has its objects there.")]
    [TestCase("kind: NetworkPolicyList", "it is missing; a list has its objects there.")]
    [TestCase("kind: NetworkPolicyList\nitems: {a: b}", "a mapping stands where a list is expected.")]
    public void A_list_without_its_items_is_rejected_and_keeps_what_was_there(string text, string reason)
    {
        var file = FromManifest.Read("l.yaml", $"apiVersion: v1\n{text}");
        Assert.That(file.Rejections.Select(rejection => (rejection.Field, rejection.Reason)), Is.EqualTo(new[] { ("items", reason) }));
        Assert.That(file.IsBroken);
    }

    [Test]
    public void A_list_in_a_list_is_read()
    {
        var file = FromManifest.Read("l.yaml", "{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Namespace, metadata: {name: a}}, {apiVersion: v1, kind: Namespace}]}]}");
        Assert.That(file.Objects.OfType<ClusterChange.NamespaceSet>().Select(change => change.Namespace.Name), Is.EqualTo(new[] { "a" }));
        Assert.That(file.Rejections.Single().Field, Is.EqualTo("metadata.name"));
    }

    [TestCase("::ffff:10.0.0.0/8")]
    [TestCase("::ffff:10.0.0.0/104")]
    [TestCase("[fd00::]/8")]
    [TestCase("10.0.0.0/08")]
    [TestCase("fd00::%eth0/8")]
    [TestCase("fd00::/8/8")]
    [TestCase("[fd00::]:80/8")]
    public void What_others_read_otherwise_is_no_prefix(string text) => Assert.That(Cidr.TryParse(text, out _), Is.False);

    [TestCase("[fd00::1]")]
    [TestCase("[fd00::1]:80")]
    [TestCase("fd00::1%1")]
    [TestCase("fd00::1/64")]
    public void What_others_read_otherwise_is_no_address(string text) => Assert.That(InetAddress.TryParse(text, out _), Is.False);

    [TestCase("010", "010 begins with a zero, which YAML 1.1 reads as octal; write it without.")]
    [TestCase("00", "00 begins with a zero, which YAML 1.1 reads as octal; write it without.")]
    public void A_whole_number_that_begins_with_a_zero_is_refused(string port, string reason)
    {
        var file = FromManifest.Read("p.yaml", $"{NetworkPolicy}metadata: {{name: np}}\nspec: {{podSelector: {{}}, ingress: [{{ports: [{{port: {port}}}]}}]}}");
        Assert.That(file.Rejections.Select(rejection => (rejection.Field, rejection.Reason)), Is.EqualTo(new[] { ("spec.ingress[0].ports[0].port", reason) }));
        Assert.That(((ClusterChange.PolicySet)file.Objects.Single()).Policy.Ingress!.Value, Is.Empty);
    }
}
