using System.Diagnostics.CodeAnalysis;

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

    // The rows in which the two differ, each as the kernel is believed to have it. Of all others that is as desired, so no row is kept twice.
    private Dictionary<TKey, (bool Exists, TValue? Value)> _pending = [];

    /// <summary>The rows wanted.</summary>
    public IReadOnlyDictionary<TKey, TValue> Desired => _desired;

    /// <summary>Number of rows in which the two differ.</summary>
    public int PendingCount => _pending.Count;

    /// <summary>Whether the two differ in a row.</summary>
    public bool IsPending(TKey key) => _pending.ContainsKey(key);

    /// <summary>The row as the kernel is believed to have it.</summary>
    /// <returns>False: it has none.</returns>
    public bool TryGetActual(TKey key, [MaybeNullWhen(false)] out TValue value)
    {
        if (!_pending.TryGetValue(key, out var believed))
            return _desired.TryGetValue(key, out value);
        value = believed.Value;
        return believed.Exists;
    }

    /// <summary>All rows as the kernel is believed to have them.</summary>
    public IEnumerable<KeyValuePair<TKey, TValue>> Actual
    {
        get
        {
            foreach (var key in _desired.Keys.Union(_pending.Keys))
            {
                if (TryGetActual(key, out var value))
                    yield return new(key, value);
            }
        }
    }

    /// <summary>Wants a row.</summary>
    public void Want(TKey key, TValue value)
    {
        var exists = TryGetActual(key, out var actual);
        _desired[key] = value;
        Compare(key, exists, actual);
    }

    /// <summary>No longer wants a row; a row that was not wanted is no error.</summary>
    public void Drop(TKey key)
    {
        var exists = TryGetActual(key, out var actual);
        _desired.Remove(key);
        Compare(key, exists, actual);
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
    public void Observe(TKey key, TValue value) => Compare(key, exists: true, value);

    /// <summary>Records that the kernel does not have a row.</summary>
    public void Forget(TKey key) => Compare(key, exists: false, default);

    /// <summary>Records that the kernel has exactly <paramref name="rows"/>: a whole dump.</summary>
    public void ObserveExactly(IReadOnlyDictionary<TKey, TValue> rows)
    {
        foreach (var row in Actual.Where(row => !rows.ContainsKey(row.Key)).ToList())
            Forget(row.Key);
        foreach (var (key, value) in rows)
            Observe(key, value);
    }

    /// <summary>What is to be done now. Nothing is forgotten by asking: rows stay pending until observed.</summary>
    public Delta<TKey, TValue> Pending()
    {
        var delta = new Delta<TKey, TValue>([], []);
        foreach (var key in _pending.Keys)
        {
            if (_desired.TryGetValue(key, out var value))
                delta.Upserts.Add(new(key, value));
            else
                delta.Deletes.Add(key);
        }

        return delta;
    }

    private void Compare(TKey key, bool exists, TValue? actual)
    {
        var wanted = _desired.TryGetValue(key, out var desired);
        if (wanted != exists || (wanted && !EqualityComparer<TValue>.Default.Equals(desired, actual)))
        {
            _pending[key] = (exists, actual);
        }
        else if (_pending.Remove(key) && _pending.Count == 0)
        {
            // What was once large is enumerated to its high-water mark even when nearly empty, so a fresh one replaces it.
            _pending = [];
        }
    }
}
