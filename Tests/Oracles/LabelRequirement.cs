using k8s.Models;

namespace Overlay.Tests.Oracles;

/// <summary>One requirement of a label selector of either API.</summary>
public sealed record LabelRequirement(string Key, string? Operator, IReadOnlyList<string> Values)
{
    /// <summary>The label that the API server gives every namespace.</summary>
    public const string NamespaceName = "kubernetes.io/metadata.name";

    /// <summary>What is wrong with it, or null.</summary>
    public string? Violation => (Operator, Values.Count) switch
    {
        _ when Key.Length == 0 => "a requirement without a key",
        ("In" or "NotIn", > 0) or ("Exists" or "DoesNotExist", 0) => null,
        _ => $"{Operator} of {Key} with {Values.Count} values",
    };

    /// <summary>metav1 LabelSelector: "The result of matchLabels and matchExpressions are ANDed. An empty label selector matches all objects."</summary>
    public static IReadOnlyList<LabelRequirement> Of(V1LabelSelector? selector) => Of(
        selector?.MatchLabels,
        selector?.MatchExpressions?.Select(item => new LabelRequirement(item.Key ?? "", item.OperatorProperty, [.. item.Values ?? []])));

    /// <inheritdoc cref="Of(V1LabelSelector)"/>
    public static IReadOnlyList<LabelRequirement> Of(PolicyLabelSelector? selector) => Of(
        selector?.MatchLabels,
        selector?.MatchExpressions?.Select(item => new LabelRequirement(item.Key ?? "", item.Operator, [.. item.Values ?? []])));

    /// <summary>Whether labels satisfy it.</summary>
    public bool Holds(IDictionary<string, string>? labels)
    {
        string? value = null;
        _ = labels?.TryGetValue(Key, out value);
        return Operator switch
        {
            "In" => value is not null && Values.Contains(value),
            "NotIn" => value is null || !Values.Contains(value),
            "Exists" => value is not null,
            "DoesNotExist" => value is null,
            _ => throw new InvalidOperationException($"Operator {Operator} should have been rejected."),
        };
    }

    private static IReadOnlyList<LabelRequirement> Of(IDictionary<string, string>? labels, IEnumerable<LabelRequirement>? expressions) =>
        [.. (labels ?? new Dictionary<string, string>()).Select(pair => new LabelRequirement(pair.Key, "In", [pair.Value])), .. expressions ?? []];
}
