namespace Overlay.PolicyEngine.Model;

/// <summary>Compares by name alone, so that a <see cref="HashSet{T}"/> of things that carry their names is a table of them without a second copy of the names.</summary>
/// <param name="nameOf">The name of a thing.</param>
public sealed class ByName<T>(Func<T, NamespacedName> nameOf) : IEqualityComparer<T>, IAlternateEqualityComparer<NamespacedName, T>
{
    /// <inheritdoc/>
    public bool Equals(T? x, T? y) => x is not null && y is not null && nameOf(x) == nameOf(y);

    /// <inheritdoc/>
    public int GetHashCode(T obj) => nameOf(obj).GetHashCode();

    /// <inheritdoc/>
    public bool Equals(NamespacedName alternate, T other) => alternate == nameOf(other);

    /// <inheritdoc/>
    public int GetHashCode(NamespacedName alternate) => alternate.GetHashCode();

    /// <inheritdoc/>
    public T Create(NamespacedName alternate) => throw new NotSupportedException("There is more to it than a name.");
}
