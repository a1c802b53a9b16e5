namespace Overlay.Dataplane.Reconcile;

/// <summary>A row that the kernel refused, or a table that could not be read.</summary>
/// <param name="Row">The row as ip(8) would print it, with what was to be done to it.</param>
/// <param name="Reason">What the kernel said.</param>
public readonly record struct RowFailure(string Row, string Reason)
{
    /// <summary><c>row: reason</c>.</summary>
    public override string ToString() => $"{Row}: {Reason}";
}

/// <summary>What the reconciler needs of a table, whatever its rows.</summary>
public interface IKernelTable
{
    /// <summary>Rows in which desired and actual differ.</summary>
    int PendingCount { get; }

    /// <summary>Reads the kernel's rows anew. Returns the rows that were believed present and right but are not, as text: drift.</summary>
    IReadOnlyList<string> Resync();

    /// <summary>Reads the kernel's rows anew. Returns every row that is missing, unexpected or different, as text. Changes nothing in the kernel.</summary>
    IReadOnlyList<string> Verify();

    /// <summary>Removes rows that should not be. A row that is already gone is no failure.</summary>
    IReadOnlyList<RowFailure> ApplyDeletes();

    /// <summary>Adds or changes rows. A refused row stays pending and stops no other.</summary>
    IReadOnlyList<RowFailure> ApplyUpserts();
}

/// <summary>One kind of object in the kernel: the delta table and the two ways to touch the kernel.</summary>
/// <typeparam name="TKey">See <see cref="DeltaTable{TKey, TValue}"/>.</typeparam>
/// <typeparam name="TValue">See <see cref="DeltaTable{TKey, TValue}"/>.</typeparam>
public abstract class KernelTable<TKey, TValue> : IKernelTable
    where TKey : notnull
{
    /// <summary>Desired and actual rows.</summary>
    public DeltaTable<TKey, TValue> Rows { get; } = new();

    /// <inheritdoc/>
    public int PendingCount => Rows.PendingCount;

    /// <inheritdoc/>
    public IReadOnlyList<string> Resync()
    {
        var dump = Dump();
        var drift = Rows.Desired
            .Where(row => !Rows.IsPending(row.Key) && (!dump.TryGetValue(row.Key, out var value) || !EqualityComparer<TValue>.Default.Equals(value, row.Value)))
            .Select(row => Text(row.Key, row.Value))
            .ToList();
        Rows.ObserveExactly(dump);
        return drift;
    }

    /// <inheritdoc/>
    public IReadOnlyList<string> Verify()
    {
        Rows.ObserveExactly(Dump());
        var (upserts, deletes) = Rows.Pending();
        return
        [
            .. upserts.Select(row => Rows.TryGetActual(row.Key, out var actual)
                ? $"different: {Text(row.Key, actual)} where {Text(row.Key, row.Value)} is wanted"
                : $"missing: {Text(row.Key, row.Value)}").Order(StringComparer.Ordinal),
            .. deletes.Select(key => $"unexpected: {(Rows.TryGetActual(key, out var actual) ? Text(key, actual) : "")}").Order(StringComparer.Ordinal),
        ];
    }

    /// <inheritdoc/>
    public IReadOnlyList<RowFailure> ApplyDeletes()
    {
        var keys = Rows.Pending().Deletes;
        return keys.Count == 0 ? [] : Delete(keys);
    }

    /// <inheritdoc/>
    public IReadOnlyList<RowFailure> ApplyUpserts()
    {
        var rows = Rows.Pending().Upserts;
        return rows.Count == 0 ? [] : Upsert(rows);
    }

    /// <summary>All rows in the kernel that are ours.</summary>
    protected abstract Dictionary<TKey, TValue> Dump();

    /// <summary>Adds or changes rows; calls <see cref="DeltaTable{TKey, TValue}.Observe"/> for each that is done and returns the others.</summary>
    protected abstract IReadOnlyList<RowFailure> Upsert(IReadOnlyList<KeyValuePair<TKey, TValue>> rows);

    /// <summary>Removes rows; calls <see cref="DeltaTable{TKey, TValue}.Forget"/> for each that is gone and returns the others.</summary>
    protected abstract IReadOnlyList<RowFailure> Delete(IReadOnlyList<TKey> keys);

    /// <summary>A row as ip(8) prints it.</summary>
    protected abstract string Text(TKey key, TValue value);
}
