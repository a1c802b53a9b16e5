using Overlay.Dataplane.Datastore.Manifests;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Dataplane;

public class FromManifestTests
{
    [Test]
    public void A_Node_gives_podCIDRs_and_InternalIPs()
    {
        var node = ((ClusterChange.NodeSet)Single("""
            apiVersion: v1
            kind: Node
            metadata: {name: n1}
            spec:
              podCIDRs: [10.42.1.7/24, "fd00:42:1::/64"]
            status:
              addresses:
              - {type: Hostname, address: n1}
              - {type: InternalIP, address: 192.0.2.1}
              - {type: InternalIP, address: "2001:db8::1"}
            """)).Node;
        Assert.That(node, Is.EqualTo(new Node("n1", [Cidr.Parse("10.42.1.0/24"), Cidr.Parse("fd00:42:1::/64")], [InetAddress.Parse("192.0.2.1"), InetAddress.Parse("2001:db8::1")])));
    }

    [Test]
    public void A_Node_with_only_podCIDR_is_read() =>
        Assert.That(((ClusterChange.NodeSet)Single("{apiVersion: v1, kind: Node, metadata: {name: n1}, spec: {podCIDR: 10.42.1.0/24}}")).Node.PodCidrs, Has.Count.EqualTo(1));

    [Test]
    public void A_Namespace_carries_its_name_as_a_label() =>
        Assert.That(((ClusterChange.NamespaceSet)Single("{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: a}}}")).Namespace.Labels.ToString(), Is.EqualTo("kubernetes.io/metadata.name=shop,team=a"));

    [Test]
    public void A_Pod_gives_labels_addresses_and_the_ports_of_containers_and_sidecars()
    {
        var pod = ((ClusterChange.PodSet)Single("""
            apiVersion: v1
            kind: Pod
            metadata:
              name: web
              namespace: shop
              labels: {app: web, empty: "", none: }
            spec:
              nodeName: n1
              initContainers:
              - {name: setup, ports: [{name: setup, containerPort: 1}]}
              - {name: proxy, restartPolicy: Always, ports: [{name: proxy, containerPort: 15001}]}
              containers:
              - name: web
                image: nginx
                ports:
                - {name: http, containerPort: 8080}
                - {name: dns, containerPort: 53, protocol: UDP}
                - {containerPort: 9999}
            status:
              phase: Running
              podIP: 10.42.1.5
              podIPs: [{ip: 10.42.1.5}, {ip: "fd00:42:1::5"}]
            """)).Pod;
        Assert.That(pod, Is.EqualTo(new Pod(
            new("shop", "web"),
            Labels.Of(new("app", "web"), new("empty", ""), new("none", "")),
            [InetAddress.Parse("10.42.1.5"), InetAddress.Parse("fd00:42:1::5")],
            [new("http", IpProtocol.Tcp, 8080), new("dns", IpProtocol.Udp, 53), new("proxy", IpProtocol.Tcp, 15001)],
            HostNetwork: false,
            "n1")));
    }

    [TestCase("Running", 1)]
    [TestCase("Succeeded", 0)]
    [TestCase("Failed", 0)]
    public void A_Pod_that_has_ended_has_no_addresses(string phase, int count) =>
        Assert.That(PodOf($"status: {{phase: {phase}, podIP: 10.0.0.1}}").Addresses, Has.Count.EqualTo(count));

    [Test]
    public void A_Pod_without_namespace_is_in_default_and_may_share_its_nodes_network()
    {
        var pod = PodOf("spec: {hostNetwork: true}");
        Assert.That(pod.Name, Is.EqualTo(new NamespacedName("default", "p")));
        Assert.That(pod.HostNetwork);
    }

    [TestCase("ingress: [{}]", "[*:*]", null)]
    [TestCase("policyTypes: [Egress]", null, "")]
    [TestCase("policyTypes: [Ingress, Egress]", "", "")]
    [TestCase("policyTypes: []\n  egress: [{}]", "", "[*:*]")]
    [TestCase("egress: []", "", null)]
    [TestCase("policyTypes: [Egress]\n  ingress: [{}]", null, "")]
    [TestCase("", "", null)]
    [TestCase("ingress: null\n  egress: ~", "", null)]
    [TestCase("ingress: [{from: [], ports: []}]", "[*:*]", null)]
    [TestCase("ingress: [{from: null, ports: [{port: 80}]}]", "[*:Tcp 80-80]", null)]
    [TestCase("ingress: [{ports: [{protocol: UDP}, {port: 1, endPort: 5}, {port: http, protocol: SCTP}]}]", "[*:Udp 0-65535,Tcp 1-5,Sctp http]", null)]
    [TestCase("ingress: [{from: [{podSelector: {}}, {namespaceSelector: {}}, {podSelector: {matchLabels: {a: b}}, namespaceSelector: {matchLabels: {c: d}}}]}]", "[<own>/,/,c=d/a=b:*]", null)]
    [TestCase("egress: [{to: [{ipBlock: {cidr: 10.1.2.3/8, except: [10.1.0.0/16, 10.2.0.0/16]}}]}]", "", "[10.0.0.0/8-10.1.0.0/16-10.2.0.0/16:*]")]
    [TestCase("ingress: [{from: [{podSelector: {matchExpressions: [{key: a, operator: NotIn, values: [y, x]}, {key: b, operator: Exists}]}}]}]", "[<own>/a notin (x,y),b:*]", null)]
    public void A_NetworkPolicy_is_read_to_the_letter_of_the_API(string spec, string? ingress, string? egress)
    {
        var policy = PolicyOf($"podSelector: {{}}\n  {spec}");
        Assert.That(Text(policy.Ingress), Is.EqualTo(ingress));
        Assert.That(Text(policy.Egress), Is.EqualTo(egress));
    }

    [TestCase("podSelector: {matchLabels: {a: 1}}", 6, "spec.podSelector.matchLabels.a", "the number 1 stands where text is expected; put it in quotes.")]
    [TestCase("podSelector: {matchLabel: {a: b}}", 6, "spec.podSelector.matchLabel", "there is no such field; is matchLabels meant?")]
    [TestCase("podSelector: {matchExpressions: [{key: a, operator: In}]}", 6, "spec.podSelector.matchExpressions[0].values", "In needs at least one.")]
    [TestCase("podSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}", 6, "spec.podSelector.matchExpressions[0].values", "Exists takes none.")]
    [TestCase("podSelector: {matchExpressions: [{key: a, operator: Equals}]}", 6, "spec.podSelector.matchExpressions[0].operator", "there is no operator Equals; In, NotIn, Exists or DoesNotExist.")]
    [TestCase("podSelector: {matchExpressions: [{operator: Exists}]}", 6, "spec.podSelector.matchExpressions[0].key", "it is missing.")]
    [TestCase("podSelector: [a]", 6, "spec.podSelector", "a list stands where fields are expected.")]
    [TestCase("policyTypes: [Ingres]", 6, "spec.policyTypes[0]", "there is no policy type Ingres; Ingress or Egress.")]
    [TestCase("ingres: []", 6, "spec.ingres", "there is no such field; is ingress meant?")]
    [TestCase("ingress:\n  - from:\n    - {}", 8, "spec.ingress[0].from[0]", "a peer needs podSelector, namespaceSelector or ipBlock; leave the list empty to mean everybody.")]
    [TestCase("ingress:\n  - from:\n    -", 8, "spec.ingress[0].from[0]", "a peer needs podSelector, namespaceSelector or ipBlock; leave the list empty to mean everybody.")]
    [TestCase("ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}]", 6, "spec.ingress[0].from[0]", "ipBlock stands alone: write a peer of its own for the selectors.")]
    [TestCase("ingress: [{from: [{ipBlock: {cidr: 10.0.0.0}}]}]", 6, "spec.ingress[0].from[0].ipBlock.cidr", "\"10.0.0.0\" is no prefix such as 10.0.0.0/8 or 2001:db8::/32.")]
    [TestCase("ingress: [{from: [{ipBlock: {cidr: 010.0.0.0/8}}]}]", 6, "spec.ingress[0].from[0].ipBlock.cidr", "\"010.0.0.0/8\" is no prefix such as 10.0.0.0/8 or 2001:db8::/32.")]
    [TestCase("ingress: [{from: [{ipBlock: {except: []}}]}]", 6, "spec.ingress[0].from[0].ipBlock.cidr", "it is missing.")]
    [TestCase("ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]}]", 6, "spec.ingress[0].from[0].ipBlock.except[0]", "10.0.0.0/8 is not a part of 10.0.0.0/8, smaller than it.")]
    [TestCase("ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [\"fd00::/64\"]}}]}]", 6, "spec.ingress[0].from[0].ipBlock.except[0]", "fd00::/64 is not a part of 10.0.0.0/8, smaller than it.")]
    [TestCase("ingress: [{to: []}]", 6, "spec.ingress[0].to", "there is no such field.")]
    [TestCase("ingress: [{ports: [{port: 0}]}]", 6, "spec.ingress[0].ports[0].port", "0 is no port; 1 to 65535.")]
    [TestCase("ingress: [{ports: [{port: \"80\"}]}]", 6, "spec.ingress[0].ports[0].port", "\"80\" is no port name: up to 15 of a-z, 0-9 and -, at least one letter. A number is written without quotes.")]
    [TestCase("ingress: [{ports: [{port: 80, endPort: 79}]}]", 6, "spec.ingress[0].ports[0].endPort", "79 is less than port 80.")]
    [TestCase("ingress: [{ports: [{port: http, endPort: 90}]}]", 6, "spec.ingress[0].ports[0].endPort", "it cannot end a range that begins with a name.")]
    [TestCase("ingress: [{ports: [{endPort: 90}]}]", 6, "spec.ingress[0].ports[0].endPort", "it needs port, the first of the range.")]
    [TestCase("ingress: [{ports: [{port: 80, protocol: tcp}]}]", 6, "spec.ingress[0].ports[0].protocol", "there is no protocol tcp; TCP, UDP or SCTP.")]
    [TestCase("ingress: {}", 6, "spec.ingress", "a mapping stands where a list is expected.")]
    public void A_wrong_NetworkPolicy_is_rejected_with_line_field_and_reason_and_isolates(string spec, int line, string field, string reason)
    {
        var file = FromManifest.Read("p.yaml", Policy(spec));
        Assert.That(file.Rejections, Is.EqualTo(new[] { new Rejection("p.yaml", line, "NetworkPolicy", new("shop", "np"), field, reason) }));
        var standIn = ((ClusterChange.PolicySet)file.Objects.Single()).Policy;
        Assert.That(standIn.Ingress, Is.EqualTo(new EquatableArray<PolicyRule>([])));
        Assert.That(standIn.Egress?.Count ?? 0, Is.Zero);
    }

    [TestCase("podSelector: {matchLabels: {a: b}}\n  policyTypes: [Egress]\n  egress: [{ports: [{port: 0}]}]", "a=b", false, true)]
    [TestCase("podSelector: {matchLabels: {a: b}}\n  egress: [{ports: [{port: 0}]}]", "a=b", true, true)]
    [TestCase("podSelector: {matchLabels: {a: b}}\n  ingress: [{ports: [{port: 0}]}]", "a=b", true, false)]
    [TestCase("podSelector: {matchLabels: {a: 1}}\n  policyTypes: [Egress]", "", false, true)]
    [TestCase("podSelector: {matchLabels: {a: b}}\n  policyTypes: [Egres]", "a=b", true, true)]
    [TestCase("podSelectors: {matchLabels: {a: b}}\n  policyTypes: [Ingress]", "", true, false)]
    [TestCase("podSelector: {matchLabels: {a: b}}\n  policyType: [Egress]", "a=b", true, true)]
    public void The_stand_in_isolates_what_the_policy_may_have_meant(string spec, string selector, bool ingress, bool egress)
    {
        var standIn = ((ClusterChange.PolicySet)FromManifest.Read("p.yaml", Policy(spec)).Objects.Single()).Policy;
        Assert.That(standIn.Name, Is.EqualTo(new NamespacedName("shop", "np")));
        Assert.That(standIn.Subject.PodSelector.ToString(), Is.EqualTo(selector));
        Assert.That((standIn.Ingress is not null, standIn.Egress is not null), Is.EqualTo((ingress, egress)));
    }

    [Test]
    public void A_rejected_policy_without_a_usable_name_isolates_under_a_name_of_its_own()
    {
        var file = FromManifest.Read("p.yaml", "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: \"a b; drop\", namespace: shop}}");
        Assert.That(((ClusterChange.PolicySet)file.Objects.Single()).Policy.Name.ToString(), Does.Match("^shop/rejected-[0-9a-f]{8}$"));
        Assert.That(FromManifest.Read("p.yaml", "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a, namespace: \"no such/one\"}}").Objects, Is.Empty);
    }

    [TestCase("apiVersion: v1\nkind: NetworkPolicy", "apiVersion", "there is no v1 NetworkPolicy; networking.k8s.io/v1 is expected.")]
    [TestCase("apiVersion: networking.k8s.io/v1beta1\nkind: NetworkPolicy", "apiVersion", "there is no networking.k8s.io/v1beta1 NetworkPolicy; networking.k8s.io/v1 is expected.")]
    [TestCase("kind: NetworkPolicy", "apiVersion", "it is missing; networking.k8s.io/v1 is expected.")]
    [TestCase("apiVersion: networking.k8s.io/v1\nkind: NetworkPolcy", "kind", "there is no kind NetworkPolcy; is NetworkPolicy meant?")]
    public void A_policy_of_a_wrong_version_or_kind_is_rejected_and_isolates(string head, string field, string reason)
    {
        var file = FromManifest.Read("p.yaml", $"{head}\nmetadata: {{name: np, namespace: shop}}\nspec: {{podSelector: {{}}, ingress: [{{}}]}}");
        Assert.That(file.Rejections.Select(rejection => (rejection.Field, rejection.Reason)), Is.EqualTo(new[] { (field, reason) }));
        Assert.That(((ClusterChange.PolicySet)file.Objects.Single()).Policy.Ingress, Is.EqualTo(new EquatableArray<PolicyRule>([])));
    }

    [TestCase("{apiVersion: v1, kind: Node, metadata: {name: N1}}", "metadata.name")]
    [TestCase("{apiVersion: v1, kind: Node, metadata: {}}", "metadata.name")]
    [TestCase("{apiVersion: v1, kind: Node, metadata: {name: n1}, spec: {podCIDRs: [10.42.0.0]}}", "spec.podCIDRs[0]")]
    [TestCase("{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {addresses: [{type: InternalIP, address: x}]}}", "status.addresses[0].address")]
    [TestCase("{apiVersion: v1, kind: Namespace, metadata: {name: a.b}}", "metadata.name")]
    [TestCase("{apiVersion: v1, kind: Pod, metadata: {name: ../../etc}}", "metadata.name")]
    [TestCase("{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: a/b}}", "metadata.namespace")]
    [TestCase("{metadata: {name: p}}", "kind")]
    [TestCase("[a, b]", "")]
    public void Another_wrong_object_is_rejected_as_a_whole(string text, string field)
    {
        var file = FromManifest.Read("o.yaml", text);
        Assert.That(file.Rejections.Select(rejection => rejection.Field), Is.EqualTo(new[] { field }));
        Assert.That(file.Objects, Is.Empty);
    }

    [Test]
    public void Other_kinds_are_skipped_once_each()
    {
        var file = FromManifest.Read("a.yaml", """
            {apiVersion: apps/v1, kind: Deployment, metadata: {name: a}}
            ---
            {apiVersion: apps/v1, kind: Deployment, metadata: {name: b}}
            ---
            {apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: b}}
            ---
            {apiVersion: v1, kind: Service, metadata: {name: a}}
            """);
        Assert.That(file.Skipped.Select(skipped => (skipped.Line, skipped.Kind)), Is.EqualTo(new[] { (1, "apps/v1 Deployment"), (5, "projectcalico.org/v3 NetworkPolicy of another group"), (7, "v1 Service") }));
        Assert.That(file.Rejections, Is.Empty);
        Assert.That(file.Objects, Is.Empty);
    }

    [Test]
    public void Lists_of_objects_are_read()
    {
        var file = FromManifest.Read("l.yaml", """
            apiVersion: v1
            kind: List
            items:
            - {apiVersion: v1, kind: Namespace, metadata: {name: a}}
            - {apiVersion: v1, kind: Namespace, metadata: {name: b}}
            ---
            apiVersion: networking.k8s.io/v1
            kind: NetworkPolicyList
            items:
            - {metadata: {name: np}, spec: {podSelector: {}}}
            """);
        Assert.That(file.Rejections, Is.Empty);
        Assert.That(file.Found.Select(found => (found.Kind, found.Line)), Is.EqualTo(new[] { ("Namespace", 4), ("Namespace", 5), ("NetworkPolicy", 10) }));
    }

    [Test]
    public void JSON_is_read_with_tabs_and_escapes()
    {
        var file = FromManifest.Read("j.json", "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\":\"Namespace\",\n\t\"metadata\": {\"name\":\"a\",\"labels\":{\"x\\/y\":\"z\"},\"annotations\":{\"note\":\"\\u00e4 \\ud83d\\ude00\"}}\n}\n");
        Assert.That(file.Rejections, Is.Empty);
        Assert.That(((ClusterChange.NamespaceSet)file.Objects.Single()).Namespace.Labels["x/y"], Is.EqualTo("z"));
    }

    [Test]
    public void Anchors_are_followed_and_cannot_grow()
    {
        var bomb = "a: &a [x, x]\n" + string.Concat(Enumerable.Range(0, 40).Select(i => $"{(char)('b' + (i % 24))}{i}: &k{i} [{(i == 0 ? "*a, *a" : $"*k{i - 1}, *k{i - 1}")}]\n"));
        Assert.That(FromManifest.Read("b.yaml", bomb).Rejections, Has.Count.EqualTo(1));
        Assert.That(PodOf("spec: {nodeName: &n n1}\nstatus: {phase: *n}").NodeName, Is.EqualTo("n1"));
    }

    [Test]
    public void A_broken_document_is_named_by_its_line_and_hides_no_other()
    {
        var file = FromManifest.Read("b.yaml", """
            # first
            {apiVersion: v1, kind: Namespace, metadata: {name: a}}
            ---
            kind: Pod
            metadata: [
            ---
            {apiVersion: v1, kind: Namespace, metadata: {name: c}}
            """);
        Assert.That(file.IsBroken);
        Assert.That(file.Found.Select(found => found.Name.Name), Is.EqualTo(new[] { "a", "c" }));
        Assert.That(file.Rejections.Single().ToString(), Does.StartWith("b.yaml:5: not valid YAML"));
    }

    [TestCase("")]
    [TestCase("---\n---\n# nothing\n---\n")]
    [TestCase("%YAML 1.2\n---\n...\n")]
    public void Empty_documents_are_nothing(string text) =>
        Assert.That(FromManifest.Read("e.yaml", text), Is.EqualTo(new ManifestFile([], [], [], false)));

    [Test]
    public void A_directive_without_a_document_is_broken() =>
        Assert.That(FromManifest.Read("d.yaml", "%%% : [\n").Rejections.Single().ToString(), Does.StartWith("d.yaml:1: not valid YAML"));

    [Test]
    public void Nesting_without_end_is_refused()
    {
        var file = FromManifest.Read("n.yaml", new string('[', 100_000));
        Assert.That(file.Rejections.Single().Reason, Does.Contain("nested deeper than 64 levels"));
    }

    private static ClusterChange Single(string text)
    {
        var file = FromManifest.Read("m.yaml", text);
        Assert.That(file.Rejections, Is.Empty);
        return file.Objects.Single();
    }

    private static Pod PodOf(string rest) => ((ClusterChange.PodSet)Single($"apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\n{rest}")).Pod;

    private static Policy PolicyOf(string spec) => ((ClusterChange.PolicySet)Single(Policy(spec))).Policy;

    private static string Policy(string spec) => $"""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata: {"{"}name: np, namespace: shop{"}"}
        # the field under test is on line 6
        spec:
          {spec}
        """;

    private static string? Text(EquatableArray<PolicyRule>? rules) => rules is null ? null : string.Concat(rules.Value.Select(rule => $"[{string.Join(',', rule.Peers.Select(Text))}:{string.Join(',', rule.Ports.Select(Text))}]"));

    private static string Text(Peer peer) => peer switch
    {
        Peer.Any => "*",
        Peer.Pods pods => $"{pods.NamespaceSelector?.ToString() ?? "<own>"}/{pods.PodSelector}",
        Peer.IPBlock block => string.Join('-', block.Except.Prepend(block.Cidr)),
        _ => throw new NotSupportedException(),
    };

    private static string Text(PortMatch port) => port switch
    {
        PortMatch.Any => "*",
        PortMatch.Numeric numeric => $"{numeric.Protocol} {numeric.First}-{numeric.Last}",
        PortMatch.Named named => $"{named.Protocol} {named.Name}",
        _ => throw new NotSupportedException(),
    };
}
