namespace Overlay.Dataplane.Reconcile;

/// <summary>
/// Makes the kernel's routing objects what they should be. nftables needs no order, being one transaction; these do, and it is the order of the
/// tables given: a row may only refer to rows of tables before its own. Additions follow it and removals reverse it, and come last: what takes another's place (a tunnel of another kind) is there
/// before that goes, so that packets always have a way.
/// </summary>
/// <param name="devices">The table of devices; what it makes anew takes the rows of all later tables with it.</param>
/// <param name="tables">The tables whose rows are on devices, in order.</param>
public sealed class Reconciler(IKernelTable devices, params IReadOnlyList<IKernelTable> tables)
{
    /// <summary>Rows in which desired and actual differ.</summary>
    public int PendingCount => devices.PendingCount + tables.Sum(table => table.PendingCount);

    /// <summary>Reads the kernel anew. Returns the drift found, as text.</summary>
    public IReadOnlyList<string> Resync() => [.. devices.Resync(), .. tables.SelectMany(table => table.Resync())];

    /// <summary>Reads the kernel anew. Returns every difference, as text, and changes nothing.</summary>
    public IReadOnlyList<string> Verify() => [.. devices.Verify(), .. tables.SelectMany(table => table.Verify())];

    /// <summary>Does what is pending. Returns the rows that were refused; they stay pending.</summary>
    public IReadOnlyList<RowFailure> Apply()
    {
        var failures = new List<RowFailure>();
        if (devices.PendingCount > 0)
        {
            failures.AddRange(devices.ApplyUpserts());
            foreach (var table in tables)
                table.Resync();
        }

        foreach (var table in tables)
            failures.AddRange(table.ApplyUpserts());
        for (var i = tables.Count - 1; i >= 0; i--)
            failures.AddRange(tables[i].ApplyDeletes());
        failures.AddRange(devices.ApplyDeletes());
        return failures;
    }
}
