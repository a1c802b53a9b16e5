namespace Overlay.Dataplane.Reconcile;

/// <summary>What must be done to make the actual rows the desired ones.</summary>
/// <param name="Upserts">Rows that are missing or different, with the desired value.</param>
/// <param name="Deletes">Keys of rows that should not be.</param>
public sealed record Delta<TKey, TValue>(List<KeyValuePair<TKey, TValue>> Upserts, List<TKey> Deletes)
{
    /// <summary>Nothing to do.</summary>
    public bool IsEmpty => Upserts.Count == 0 && Deletes.Count == 0;
}

/// <summary>
/// One kind of row twice over: as it is desired, and as the kernel is believed to have it. Only the keys in which the two differ are
/// ever looked at again, so the work of a change is proportional to the change, however many rows there are.
/// </summary>
/// <typeparam name="TKey">What identifies a row in the kernel.</typeparam>
/// <typeparam name="TValue">The rest of the row; its equality is the comparison, so lists in it must compare by element.</typeparam>
public sealed class DeltaTable<TKey, TValue>
    where TKey : notnull
{
    private readonly Dictionary<TKey, TValue> _desired = [];
    private readonly Dictionary<TKey, TValue> _actual = [];
    private HashSet<TKey> _pending = [];

    /// <summary>The rows wanted.</summary>
    public IReadOnlyDictionary<TKey, TValue> Desired => _desired;

    /// <summary>The rows the kernel is believed to have.</summary>
    public IReadOnlyDictionary<TKey, TValue> Actual => _actual;

    /// <summary>Number of rows in which the two differ.</summary>
    public int PendingCount => _pending.Count;

    /// <summary>Wants a row.</summary>
    public void Want(TKey key, TValue value)
    {
        _desired[key] = value;
        Compare(key);
    }

    /// <summary>No longer wants a row; a row that was not wanted is no error.</summary>
    public void Drop(TKey key)
    {
        _desired.Remove(key);
        Compare(key);
    }

    /// <summary>Wants exactly <paramref name="rows"/>: for small tables that are computed whole.</summary>
    public void WantExactly(IReadOnlyDictionary<TKey, TValue> rows)
    {
        foreach (var key in _desired.Keys.Where(key => !rows.ContainsKey(key)).ToList())
            Drop(key);
        foreach (var (key, value) in rows)
            Want(key, value);
    }

    /// <summary>Records that the kernel has a row: seen in a dump, or acknowledged.</summary>
    public void Observe(TKey key, TValue value)
    {
        _actual[key] = value;
        Compare(key);
    }

    /// <summary>Records that the kernel does not have a row.</summary>
    public void Forget(TKey key)
    {
        _actual.Remove(key);
        Compare(key);
    }

    /// <summary>Records that the kernel has exactly <paramref name="rows"/>: a whole dump.</summary>
    public void ObserveExactly(IReadOnlyDictionary<TKey, TValue> rows)
    {
        foreach (var key in _actual.Keys.Where(key => !rows.ContainsKey(key)).ToList())
            Forget(key);
        foreach (var (key, value) in rows)
            Observe(key, value);
    }

    /// <summary>What is to be done now. Nothing is forgotten by asking: rows stay pending until observed.</summary>
    public Delta<TKey, TValue> Pending()
    {
        var delta = new Delta<TKey, TValue>([], []);
        foreach (var key in _pending)
        {
            if (_desired.TryGetValue(key, out var value))
                delta.Upserts.Add(new(key, value));
            else
                delta.Deletes.Add(key);
        }

        return delta;
    }

    private void Compare(TKey key)
    {
        var wanted = _desired.TryGetValue(key, out var desired);
        var present = _actual.TryGetValue(key, out var actual);
        if (wanted != present || (wanted && !EqualityComparer<TValue>.Default.Equals(desired, actual)))
        {
            _pending.Add(key);
        }
        else if (_pending.Remove(key) && _pending.Count == 0)
        {
            // A set that was once large is enumerated to its high-water mark even when nearly empty, so a fresh one replaces it.
            _pending = [];
        }
    }
}
