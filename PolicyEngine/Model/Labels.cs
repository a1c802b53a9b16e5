namespace Overlay.PolicyEngine.Model;

/// <summary>A label.</summary>
/// <param name="Key">Label key, prefix included.</param>
/// <param name="Value">Label value, possibly empty.</param>
public readonly record struct Label(string Key, string Value);

/// <summary>The labels of one object: unique keys, sorted by key (ordinal), compared by value.</summary>
public sealed class Labels : IEquatable<Labels>
{
    private readonly Label[] _sorted;
    private int _hash; // 0: not computed yet

    private Labels(Label[] sorted) => _sorted = sorted;

    /// <summary>No labels.</summary>
    public static Labels Empty { get; } = new([]);

    /// <summary>The labels, sorted by key.</summary>
    public ReadOnlySpan<Label> All => _sorted;

    /// <summary>Makes labels; of equal keys the last wins.</summary>
    public static Labels Of(params IEnumerable<Label> labels)
    {
        var all = labels.ToArray();
        if (all.Length == 0)
            return Empty;
        if (IsSorted(all))
            return new(all);
        var byKey = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (var label in all)
            byKey[label.Key] = label.Value;
        return new(byKey.Select(pair => new Label(pair.Key, pair.Value)).ToArray());
    }

    // As the API server writes them.
    private static bool IsSorted(Label[] labels)
    {
        for (var i = 1; i < labels.Length; i++)
        {
            if (string.CompareOrdinal(labels[i - 1].Key, labels[i].Key) >= 0)
                return false;
        }

        return true;
    }

    /// <summary>The value of <paramref name="key"/>, or null when there is no such label.</summary>
    public string? this[string key]
    {
        get
        {
            foreach (var label in _sorted)
            {
                if (label.Key == key)
                    return label.Value;
            }

            return null;
        }
    }

    /// <summary>These labels with one set.</summary>
    public Labels With(string key, string value) => Of([.. _sorted, new Label(key, value)]);

    /// <inheritdoc/>
    public bool Equals(Labels? other) => ReferenceEquals(this, other) || (other is not null && GetHashCode() == other.GetHashCode() && _sorted.AsSpan().SequenceEqual(other._sorted));

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as Labels);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        if (_hash != 0)
            return _hash;
        var hash = new HashCode();
        foreach (var label in _sorted)
            hash.Add(label);
        return _hash = hash.ToHashCode() is var value and not 0 ? value : 1;
    }

    /// <summary><c>a=b,c=d</c>.</summary>
    public override string ToString() => string.Join(',', _sorted.Select(label => $"{label.Key}={label.Value}"));
}
