using System.Text.Json;
using System.Text.Json.Nodes;
using k8s;
using k8s.Models;
using Overlay.Dataplane.Datastore.Manifests;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Fuzz;

/// <summary>NetworkPolicies with damaged structure: one that is not understood isolates what it selects and allows nothing, one that is understood says what the API's own types read in it.</summary>
public class PolicyFuzzTests
{
    private const string Policy = """
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "np", "namespace": "shop"}, "spec": {
          "podSelector": {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}]},
          "policyTypes": ["Ingress", "Egress"],
          "ingress": [
            {"from": [{"podSelector": {"matchLabels": {"app": "client"}}, "namespaceSelector": {}}, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}],
             "ports": [{"protocol": "TCP", "port": 80, "endPort": 90}, {"protocol": "UDP", "port": "dns"}]},
            {"from": [{"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}, {"key": "env", "operator": "NotIn", "values": ["x"]}]}}]}],
          "egress": [{"to": [{"ipBlock": {"cidr": "fd00::/8"}}], "ports": [{"port": 53}]}]}}
        """;

    private static readonly Labels Selected = Labels.Of([new("app", "web"), new("tier", "a")]);

    // One change at each place of the object, every kind of change: no chance in it.
    [Test]
    public void Any_one_change_is_understood_as_the_API_does_or_isolates()
    {
        var count = 0;
        foreach (var path in JsonChange.Places(JsonNode.Parse(Policy)!["spec"]!, []).ToList())
        {
            foreach (var change in JsonChange.Changes(path))
            {
                var changed = JsonNode.Parse(Policy)!;
                if (JsonChange.Apply(changed["spec"]!, path, change))
                    Hold(changed.ToJsonString());
                count++;
            }
        }

        TestContext.Out.WriteLine($"{count} changes");
        Assert.That(count, Is.GreaterThan(1500));
    }

    [Test]
    public void Several_changes_are_understood_as_the_API_does_or_isolate([Range(1, 20)] int seed)
    {
        var random = new Random(seed);
        for (var i = 0; i < 100; i++)
        {
            var changed = JsonNode.Parse(Policy)!;
            for (var changes = random.Next(2, 5); changes > 0; changes--)
            {
                var places = JsonChange.Places(changed["spec"]!, []).Where(place => place[0] is not "podSelector").ToList(); // so that it is known what is selected
                if (places.Count == 0)
                    break;
                var path = places[random.Next(places.Count)];
                var kinds = JsonChange.Changes(path).ToList();
                JsonChange.Apply(changed["spec"]!, path, kinds[random.Next(kinds.Count)]);
            }

            Hold(changed.ToJsonString());
        }
    }

    [Test]
    public void Each_line_lost_from_a_policy_is_reported_or_leaves_a_policy_that_isolates()
    {
        var lines = File.ReadAllLines(Path.Combine(SourceTree.Root, "Tests", "Fuzz", "Corpus", "manifest", "network-policy.yaml"));
        Assert.That(lines, Has.Length.GreaterThan(15));
        for (var i = 3; i < lines.Length; i++)
        {
            var file = FromManifest.Read("f.yaml", string.Join('\n', lines.Where((_, j) => j != i)));
            Assert.That(file.Rejections.Count > 0 || file.Objects.Single() is ClusterChange.PolicySet { Policy.Ingress: not null }, lines[i]);
        }
    }

    [Test]
    public void A_key_that_is_there_twice_is_said_and_isolates()
    {
        foreach (var key in (string[])["\"podSelector\"", "\"ingress\"", "\"app\"", "\"cidr\"", "\"port\""])
        {
            var at = Policy.IndexOf(key, StringComparison.Ordinal);
            var file = FromManifest.Read("f.yaml", Policy.Insert(at, key + ": null, "));
            Assert.That(file.Rejections.Select(rejection => rejection.Reason), Does.Contain("the key is there twice; keep one."), key);
            var policy = ((ClusterChange.PolicySet)file.Objects.Single()).Policy;
            Assert.That((policy.Ingress?.Count, policy.Egress?.Count), Is.EqualTo(((int?)0, (int?)0)), key);
            Assert.That(policy.Subject.Matches("shop", null, Selected), key);
        }
    }

    private static void Hold(string json)
    {
        var file = FromManifest.Read("f.yaml", json);
        var policy = ((ClusterChange.PolicySet)file.Objects.Single()).Policy;
        Assert.That(policy.Name.ToString(), Is.EqualTo("shop/np"), json);
        if (file.Rejections.Count == 0)
        {
            Assert.That(Canonical(JsonSerializer.SerializeToNode(KubernetesJson.Deserialize<V1NetworkPolicy>(json), Options)), Is.EqualTo(Canonical(JsonNode.Parse(json))), "nothing is passed over");
            return;
        }

        Assert.That((policy.Ingress ?? []).Count + (policy.Egress ?? []).Count, Is.Zero, json);
        var types = JsonNode.Parse(json)!["spec"]?.AsObject()["policyTypes"]?.ToJsonString();
        Assert.That(policy.Ingress is not null || types == "[\"Egress\"]", json);
        Assert.That(policy.Egress is not null || types is null or "[]" or "[\"Ingress\"]", json);
        Assert.That(policy.Subject.Matches("shop", null, Selected), json);
    }

    private static JsonSerializerOptions Options { get; } = new() { DefaultIgnoreCondition = System.Text.Json.Serialization.JsonIgnoreCondition.WhenWritingNull, Converters = { new IntOrStringConverter() } };

    // Fields in order, without those that are null.
    private static string Canonical(JsonNode? node) => node switch
    {
        JsonObject members => $"{{{string.Join(",", members.Where(member => member.Value is not null).OrderBy(member => member.Key, StringComparer.Ordinal).Select(member => $"{member.Key}:{Canonical(member.Value)}"))}}}",
        JsonArray items => $"[{string.Join(",", items.Select(Canonical))}]",
        _ => node?.ToJsonString() ?? "null",
    };

    // The types' own converter reads both and writes text alone.
    private sealed class IntOrStringConverter : System.Text.Json.Serialization.JsonConverter<IntOrString>
    {
        public override IntOrString Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => throw new NotSupportedException();

        public override void Write(Utf8JsonWriter writer, IntOrString value, JsonSerializerOptions options)
        {
            if (long.TryParse(value.Value, out var number))
                writer.WriteNumberValue(number);
            else
                writer.WriteStringValue(value.Value);
        }
    }
}
