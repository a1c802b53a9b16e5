using System.Collections;
using System.Reflection;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using k8s.Models;
using Overlay.Dataplane.Datastore.Manifests;
using Overlay.Tests.Oracles;

namespace Overlay.Tests.Dataplane;

/// <summary>
/// Every field of both APIs, as their types list them: each is understood where it belongs, and reported with its path, never ignored, where it is misspelled or
/// does not belong. What is reported never opens anything.
/// </summary>
public class PolicyFieldTests
{
    private const string Namespaces = """{"matchLabels": {"team": "sales"}, "matchExpressions": [{"key": "team", "operator": "In", "values": ["sales", "platform"]}]}""";
    private const string Pods = """{"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "api"]}]}""";
    private const string Nodes = """{"matchLabels": {"zone": "b"}, "matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]}""";
    private const string NamespacedPod = $$"""{"namespaceSelector": {{Namespaces}}, "podSelector": {{Pods}}}""";
    private const string Block = """{"ipBlock": {"cidr": "10.42.0.0/16", "except": ["10.42.2.0/24"]}}""";
    private const string Protocols = """
        {"tcp": {"destinationPort": {"number": 80}}}, {"tcp": {"destinationPort": {"range": {"start": 8000, "end": 8080}}}},
        {"udp": {"destinationPort": {"number": 53}}}, {"udp": {"destinationPort": {"range": {"start": 1, "end": 9}}}},
        {"sctp": {"destinationPort": {"number": 80}}}, {"sctp": {"destinationPort": {"range": {"start": 1, "end": 9}}}}
        """;

    // Known, and not supported: a rule with it is reported and fails closed.
    private static readonly string[] Unsupported = ["spec.egress.to.domainNames"];

    private static readonly string[] NetworkPolicies =
    [
        $$"""
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "np", "namespace": "shop"},
         "spec": {
          "podSelector": {{Pods}},
          "policyTypes": ["Ingress", "Egress"],
          "ingress": [{"from": [{"podSelector": {{Pods}}, "namespaceSelector": {{Namespaces}}}, {{Block}}], "ports": [{"protocol": "TCP", "port": 80, "endPort": 90}]}],
          "egress": [{"to": [{"podSelector": {{Pods}}, "namespaceSelector": {{Namespaces}}}, {{Block}}], "ports": [{"protocol": "TCP", "port": 80, "endPort": 90}]}]} }
        """,
    ];

    private static readonly string[] ClusterNetworkPolicies =
    [
        ClusterPolicy("Admin", $$"""{"namespaces": {{Namespaces}}}""", "Accept"),
        ClusterPolicy("Admin", $$"""{"pods": {{NamespacedPod}}}""", "Deny"),
        ClusterPolicy("Baseline", $$"""{"pods": {{NamespacedPod}}}""", "Pass"),
    ];

    private static IEnumerable<TestCaseData> Apis =>
    [
        new TestCaseData(typeof(V1NetworkPolicy), NetworkPolicies).SetArgDisplayNames("NetworkPolicy"),
        new TestCaseData(typeof(ClusterNetworkPolicy), ClusterNetworkPolicies).SetArgDisplayNames("ClusterNetworkPolicy"),
    ];

    [TestCaseSource(nameof(Apis))]
    public void Every_field_of_the_API_is_understood(Type type, string[] policies)
    {
        var used = policies.SelectMany(policy => FieldsOf(JsonNode.Parse(policy)!.AsObject(), "")).Select(field => WithoutIndices(field.Path)).ToHashSet();
        Assert.That(PathsOf(type, "").Except(used).Except(["status"]), Is.EquivalentTo(type == typeof(ClusterNetworkPolicy) ? Unsupported : []), "fields of the API that the policies of this test lack");
        Assert.That(used.Except(PathsOf(type, "")), Is.Empty, "fields that the API does not have");
        Assert.That(policies.SelectMany(policy => FromManifest.Read("p.yaml", policy).Rejections), Is.Empty);
    }

    [TestCaseSource(nameof(Apis))]
    public void A_misspelled_field_is_reported_with_its_path_and_opens_nothing(Type type, string[] policies)
    {
        _ = type;
        foreach (var policy in policies)
        {
            var root = JsonNode.Parse(policy)!.AsObject();
            foreach (var (path, owner, name) in FieldsOf(root, "").Where(field => field.Path.StartsWith("spec", StringComparison.Ordinal)).ToList())
            {
                owner.Remove(name, out var value);
                owner.Add("x" + name, value);
                AssertReported(policy, root, path[..^name.Length] + "x" + name);
                owner.Remove("x" + name);
                owner.Add(name, value);
            }
        }
    }

    [TestCaseSource(nameof(Apis))]
    public void A_field_that_nobody_knows_is_reported_with_its_path_and_opens_nothing(Type type, string[] policies)
    {
        _ = type;
        foreach (var policy in policies)
        {
            var root = JsonNode.Parse(policy)!.AsObject();
            var owners = FieldsOf(root, "").Where(field => !field.Path.StartsWith("metadata", StringComparison.Ordinal)).Select(field => (Path: field.Path[..^field.Name.Length], field.Owner)).Distinct().ToList();
            foreach (var (path, owner) in owners)
            {
                owner.Add("surprise", new JsonObject());
                AssertReported(policy, root, path + "surprise");
                owner.Remove("surprise");
            }
        }
    }

    [Test]
    public void Domain_names_are_reported_as_not_supported_and_open_nothing()
    {
        var root = JsonNode.Parse(ClusterNetworkPolicies[0])!.AsObject();
        root["spec"]!["egress"]![0]!["to"]!.AsArray().Add(new JsonObject { ["domainNames"] = new JsonArray("example.org") });
        AssertReported(ClusterNetworkPolicies[0], root, "spec.egress[0].to[2].domainNames");
    }

    private static string ClusterPolicy(string tier, string subject, string action) => $$"""
        {"apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy", "metadata": {"name": "{{action.ToLowerInvariant()}}"},
         "spec": {
          "tier": "{{tier}}", "priority": 10, "subject": {{subject}},
          "ingress": [{"name": "in", "action": "{{action}}", "from": [{"namespaces": {{Namespaces}}}, {"pods": {{NamespacedPod}}}], "protocols": [{{Protocols}}, {"destinationNamedPort": "http"}]}],
          "egress": [
           {"name": "pods", "action": "{{action}}", "to": [{"namespaces": {{Namespaces}}}, {"pods": {{NamespacedPod}}}], "protocols": [{"destinationNamedPort": "http"}]},
           {"name": "others", "action": "{{action}}", "to": [{"nodes": {{Nodes}}}, {"networks": ["192.0.2.0/24", "2001:db8::/64"]}], "protocols": [{{Protocols}}]}]} }
        """;

    // All namespaces known: what is denied only until a namespace's labels are known would be no measure of what a selector denies.
    private static readonly string World = $$"""
        {{SmallWorld.Yaml}}
        ---
        {apiVersion: v1, kind: Namespace, metadata: {name: ghost} }
        """;

    private static void AssertReported(string policy, JsonObject damaged, string path)
    {
        var rejections = FromManifest.Read("p.yaml", damaged.ToJsonString()).Rejections;
        Assert.That(rejections.Select(rejection => rejection.Field), Does.Contain(path), () => string.Join('\n', rejections));
        var world = ClusterObjects.Parse(World);
        var (before, after) = (Compile(policy), Compile(damaged.ToJsonString()));
        foreach (var flow in new PacketSpace(ClusterObjects.Parse($"{World}\n---\n{policy}")).Some(150, seed: path.Length))
        {
            if (after.Walk(flow).All(hop => hop.Trace.Accepted))
                Assert.That(before.Walk(flow).All(hop => hop.Trace.Accepted), $"{path} opens {flow}");
        }

        CompiledCluster Compile(string manifest) => CompiledCluster.Compile($"{World}\n---\n{manifest}", world, new());
    }

    // Every field with the object that has it; what is below labels is the author's own.
    private static IEnumerable<(string Path, JsonObject Owner, string Name)> FieldsOf(JsonObject owner, string prefix)
    {
        foreach (var (name, value) in owner)
        {
            yield return (prefix + name, owner, name);
            var inner = (value, name) switch
            {
                (_, "matchLabels" or "metadata") => [],
                (JsonObject mapping, _) => FieldsOf(mapping, $"{prefix}{name}."),
                (JsonArray list, _) => list.Index().Where(item => item.Item is JsonObject).SelectMany(item => FieldsOf(item.Item!.AsObject(), $"{prefix}{name}[{item.Index}].")),
                _ => [],
            };
            foreach (var field in inner)
                yield return field;
        }
    }

    private static IEnumerable<string> PathsOf(Type type, string prefix) =>
        from property in type.GetProperties()
        let name = property.GetCustomAttribute<JsonPropertyNameAttribute>()?.Name
        where name is not null
        from path in PathsOf(ItemOf(property.PropertyType), $"{prefix}{name}.").Prepend($"{prefix}{name}")
        where prefix.Length > 0 || !path.StartsWith("metadata.", StringComparison.Ordinal)
        select path;

    private static Type ItemOf(Type type) =>
        type.IsGenericType && typeof(IEnumerable).IsAssignableFrom(type) && !type.Name.StartsWith("IDictionary", StringComparison.Ordinal) ? type.GetGenericArguments()[0] : type;

    private static string WithoutIndices(string path) => string.Concat(path.Split('[', ']').Where((_, i) => i % 2 == 0));
}
