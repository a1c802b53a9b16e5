using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using k8s;
using k8s.Models;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;
using YamlDotNet.Serialization;

namespace Overlay.Tests.Oracles;

/// <summary>Manifests as typed objects and back, for the oracle alone.</summary>
public static class ManifestYaml
{
    internal static readonly JsonSerializerOptions Options = new() { DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull };

    /// <summary>Every document of <paramref name="yaml"/> as the typed object of its kind.</summary>
    /// <exception cref="FormatException">A kind that the oracle does not know.</exception>
    public static IEnumerable<object> Read(string yaml) => Objects(yaml).Select(ToObject);

    /// <summary>Every document of <paramref name="yaml"/> as JSON, whatever its kind.</summary>
    public static IEnumerable<JsonObject> Objects(string yaml)
    {
        var stream = new YamlStream();
        stream.Load(new StringReader(yaml));
        return stream.Documents.Select(document => ToJson(document.RootNode)).OfType<JsonObject>();
    }

    /// <summary>One document.</summary>
    public static string Write(object item) => item is ClusterNetworkPolicy policy
        ? new SerializerBuilder().WithQuotingNecessaryStrings().Build().Serialize(ToGraph(JsonSerializer.SerializeToNode(policy, Options))!).TrimEnd('\n') + "\n"
        : KubernetesYaml.Serialize(item).TrimEnd('\n') + "\n";

    /// <summary>A ClusterNetworkPolicy from the text of its <c>spec</c>.</summary>
    public static ClusterNetworkPolicy ClusterPolicy(string name, string spec)
    {
        var stream = new YamlStream();
        stream.Load(new StringReader(spec));
        return new() { Metadata = new() { Name = name }, Spec = ToJson(stream.Documents[0].RootNode).Deserialize<ClusterNetworkPolicySpec>(Options) };
    }

    private static object ToObject(JsonObject json) => (string?)json["kind"] switch
    {
        "Node" => KubernetesJson.Deserialize<V1Node>(json.ToJsonString()),
        "Namespace" => KubernetesJson.Deserialize<V1Namespace>(json.ToJsonString()),
        "Pod" => KubernetesJson.Deserialize<V1Pod>(json.ToJsonString()),
        "NetworkPolicy" => KubernetesJson.Deserialize<V1NetworkPolicy>(json.ToJsonString()),
        "ClusterNetworkPolicy" => json.Deserialize<ClusterNetworkPolicy>(Options)!,
        var other => throw new FormatException($"The oracle knows Node, Namespace, Pod, NetworkPolicy and ClusterNetworkPolicy; the manifests hold {other ?? "something without a kind"}."),
    };

    // YAML's core schema: what stands without quotes and looks like nothing, a boolean or a whole number is one.
    private static JsonNode? ToJson(YamlNode node) => node switch
    {
        YamlMappingNode mapping => new JsonObject(mapping.Children.Select(pair => KeyValuePair.Create(((YamlScalarNode)pair.Key).Value!, ToJson(pair.Value)))),
        YamlSequenceNode sequence => new JsonArray([.. sequence.Children.Select(ToJson)]),
        YamlScalarNode { Style: not ScalarStyle.Plain } quoted => quoted.Value,
        YamlScalarNode { Value: null or "" or "~" or "null" } => null,
        YamlScalarNode { Value: "true" or "false" } boolean => boolean.Value == "true",
        YamlScalarNode plain => long.TryParse(plain.Value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) ? number : plain.Value,
        _ => throw new FormatException($"{node.Start}: aliases are not for scenarios."),
    };

    private static object? ToGraph(JsonNode? node) => node switch
    {
        JsonObject mapping => mapping.ToDictionary(pair => pair.Key, pair => ToGraph(pair.Value)),
        JsonArray sequence => sequence.Select(ToGraph).ToList(),
        JsonValue value => value.GetValueKind() switch
        {
            JsonValueKind.Number => long.Parse(value.ToJsonString(), CultureInfo.InvariantCulture),
            JsonValueKind.True or JsonValueKind.False => value.GetValueKind() == JsonValueKind.True,
            _ => value.ToString(),
        },
        _ => null,
    };
}
