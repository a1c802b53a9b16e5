using System.Text;
using Overlay.Dataplane.Datastore.Directory;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Dataplane;

/// <summary>Valid manifests with random damage: whatever comes of it is an object or a rejection, and no damaged policy is laxer without being reported.</summary>
public class ManifestMutationTests
{
    private const string Policy = """
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata: {name: np, namespace: shop}
        spec:
          podSelector:
            matchLabels: {app: "web"}
            matchExpressions:
            - {key: tier, operator: In, values: [a, b]}
          policyTypes: [Ingress, Egress]
          ingress:
          - from:
            - podSelector: {matchLabels: {app: client}}
              namespaceSelector: {}
            - ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}
            ports:
            - {protocol: TCP, port: 80, endPort: 90}
            - {protocol: UDP, port: dns}
          egress:
          - to: [{ipBlock: {cidr: "fd00::/8"}}]
        """;

    private const string Others = """
        apiVersion: v1
        kind: Node
        metadata: {name: n1}
        spec: {podCIDRs: [10.42.1.0/24, "fd00:42:1::/64"]}
        status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}
        ---
        apiVersion: v1
        kind: Pod
        metadata: {name: web, namespace: shop, labels: {app: web, "x/y": 'z'}}
        spec:
          nodeName: n1
          containers: [{name: a, ports: [{name: http, containerPort: 80, protocol: TCP}]}]
        status: {phase: Running, podIPs: [{ip: 10.42.1.5}]}
        ---
        {"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}]}
        """;

    private static readonly string[] Splinters =
        ["", ":", "-", "- ", "{", "}", "[", "]", ",", "\"", "'", "\n", "\n---\n", "\n...\n", "\t", "  ", "#", "&a ", "*a", "!!binary ", "!x", "|", ">", "%", "@", "`", "? ", "<<: ", "null", "~", "true", "-1", "99999999999999999999", "1e9", "\0", "\u00e9", "\ud83d\ude00", "\ud800", "%YAML 9.9\n", "\\", "::", "/", "::ffff:1.2.3.4/96", "x: "];

    [Test]
    public void Damage_never_throws_and_is_always_accounted_for([Range(1, 40)] int seed)
    {
        var random = new Random(seed);
        for (var i = 0; i < 150; i++)
        {
            var text = Damage(random.Next(2) == 0 ? Policy : Others, random);
            ManifestFile file;
            try
            {
                file = FromManifest.Read("f.yaml", text);
                _ = ConfigurationReader.Read("f.yaml", text, new Dictionary<string, string>(), new Dictionary<string, string>());
            }
            catch (Exception e)
            {
                throw new AssertionException($"{e.GetType()}: {e.Message}\n{e.StackTrace}\n--- seed {seed}, text:\n{text}");
            }

            foreach (var rejection in file.Rejections)
            {
                Assert.That(rejection.Reason, Is.Not.Empty.And.EndsWith(".").Or.EndsWith("?"), text);
                Assert.That(rejection.Line, Is.InRange(1, text.Count(c => c == '\n') + 2), text);
            }
        }
    }

    [Test]
    public void Each_line_lost_from_a_policy_is_reported_or_leaves_a_policy_that_isolates()
    {
        var lines = Policy.Split('\n');
        for (var i = 3; i < lines.Length; i++)
        {
            var file = FromManifest.Read("f.yaml", string.Join('\n', lines.Where((_, j) => j != i)));
            Assert.That(file.Rejections.Count > 0 || file.Objects.Single() is ClusterChange.PolicySet { Policy.Ingress: not null }, lines[i]);
        }
    }

    [Test]
    public void A_misspelled_field_anywhere_in_a_policy_leaves_one_that_allows_nothing()
    {
        string[] fields = ["matchLabels", "matchExpressions", "key", "operator", "values", "ingress", "egress", "from", "to", "podSelector: {match", "namespaceSelector", "ipBlock", "cidr", "except", "ports", "protocol", "port:", "endPort", "policyTypes"];
        foreach (var field in fields)
        {
            var at = Policy.IndexOf(field, Policy.IndexOf("spec:", StringComparison.Ordinal), StringComparison.Ordinal);
            var file = FromManifest.Read("f.yaml", Policy.Insert(at, "x"));
            Assert.That(file.Rejections, Is.Not.Empty, field);
            var policy = ((ClusterChange.PolicySet)file.Objects.Single()).Policy;
            EquatableArray<PolicyRule>? nothing = new EquatableArray<PolicyRule>([]);
            Assert.That(policy.Ingress, Is.EqualTo(nothing), field);
            Assert.That(policy.Egress, Is.EqualTo(nothing), field);
        }
    }

    private static string Damage(string text, Random random)
    {
        var damaged = new StringBuilder(text);
        for (var wounds = random.Next(1, 5); wounds > 0 && damaged.Length > 0; wounds--)
        {
            var at = random.Next(damaged.Length);
            var length = Math.Min(random.Next(8), damaged.Length - at);
            switch (random.Next(4))
            {
                case 0:
                    damaged.Insert(at, Splinters[random.Next(Splinters.Length)]);
                    break;
                case 1:
                    damaged.Remove(at, length);
                    break;
                case 2:
                    damaged.Insert(random.Next(damaged.Length), damaged.ToString(at, length));
                    break;
                default:
                    damaged[at] = (char)random.Next(32, 127);
                    break;
            }
        }

        return damaged.ToString();
    }
}
