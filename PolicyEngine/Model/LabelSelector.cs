namespace Overlay.PolicyEngine.Model;

/// <summary>metav1 LabelSelectorOperator, as the API spells it.</summary>
public enum LabelSelectorOperator : byte
{
    /// <summary>The label exists and its value is one of the values.</summary>
    In,

    /// <summary>The label does not exist, or its value is none of the values.</summary>
    NotIn,

    /// <summary>The label exists.</summary>
    Exists,

    /// <summary>The label does not exist.</summary>
    DoesNotExist,
}

/// <summary>metav1 LabelSelectorRequirement.</summary>
/// <param name="Key">Label key.</param>
/// <param name="Operator">How values relate.</param>
/// <param name="Values">Sorted, distinct; non-empty for In and NotIn, empty for the others.</param>
public sealed record LabelSelectorRequirement(string Key, LabelSelectorOperator Operator, EquatableArray<string> Values)
{
    /// <summary>Whether <paramref name="labels"/> satisfy this requirement.</summary>
    public bool Matches(Labels labels)
    {
        var value = labels[Key];
        return Operator switch
        {
            LabelSelectorOperator.In => value is not null && Values.AsSpan().Contains(value),
            LabelSelectorOperator.NotIn => value is null || !Values.AsSpan().Contains(value),
            LabelSelectorOperator.Exists => value is not null,
            _ => value is null,
        };
    }

    /// <summary>As <c>kubectl --selector</c> writes it.</summary>
    public override string ToString() => Operator switch
    {
        LabelSelectorOperator.In when Values.Count == 1 => $"{Key}={Values[0]}",
        LabelSelectorOperator.In => $"{Key} in ({string.Join(',', Values)})",
        LabelSelectorOperator.NotIn => $"{Key} notin ({string.Join(',', Values)})",
        LabelSelectorOperator.Exists => Key,
        _ => $"!{Key}",
    };
}

/// <summary>metav1 LabelSelector in one normal form: <c>matchLabels</c> become In-requirements, requirements are sorted and distinct. No requirement selects everything.</summary>
/// <param name="Requirements">All must hold; sorted by <see cref="object.ToString"/> (ordinal).</param>
public sealed record LabelSelector(EquatableArray<LabelSelectorRequirement> Requirements)
{
    /// <summary>Selects everything.</summary>
    public static LabelSelector Everything { get; } = new([]);

    /// <summary>Makes the normal form of <paramref name="requirements"/>.</summary>
    public static LabelSelector Of(params IEnumerable<LabelSelectorRequirement> requirements) =>
        new(requirements
            .Select(r => r with { Values = r.Values.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal).ToEquatableArray() })
            .Distinct()
            .OrderBy(r => r.ToString(), StringComparer.Ordinal)
            .ToEquatableArray());

    /// <summary>Whether every requirement holds.</summary>
    public bool Matches(Labels labels)
    {
        foreach (var requirement in Requirements)
        {
            if (!requirement.Matches(labels))
                return false;
        }

        return true;
    }

    /// <summary>As <c>kubectl --selector</c> writes it; empty for everything.</summary>
    public override string ToString() => string.Join(',', Requirements);
}
