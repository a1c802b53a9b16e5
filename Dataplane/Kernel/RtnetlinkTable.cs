using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Reconcile;

namespace Overlay.Dataplane.Kernel;

/// <summary>A table whose rows are rtnetlink messages on a device: all changes of a round go as one buffer, each with its own acknowledgement, so that a refused row stops no other.</summary>
/// <param name="socket">NETLINK_ROUTE.</param>
/// <param name="links">Knows the devices.</param>
public abstract class RtnetlinkTable<TKey, TValue>(NetlinkSocket socket, LinkTable links) : KernelTable<TKey, TValue>
    where TKey : notnull
{
    /// <summary>NETLINK_ROUTE.</summary>
    protected NetlinkSocket Socket { get; } = socket;

    /// <summary>Names and numbers of the devices.</summary>
    protected IReadOnlyDictionary<string, int> Devices => links.Devices;

    /// <inheritdoc/>
    protected override IReadOnlyList<RowFailure> Upsert(IReadOnlyList<KeyValuePair<TKey, TValue>> rows) =>
        Send(rows, row => DeviceOf(row.Key, row.Value), (writer, sequence, row, device) => WriteUpsert(writer, sequence, row.Key, row.Value, device), row => Text(row.Key, row.Value), isGone: _ => false, row => Rows.Observe(row.Key, row.Value));

    /// <inheritdoc/>
    protected override IReadOnlyList<RowFailure> Delete(IReadOnlyList<TKey> keys)
    {
        // A row whose device is gone went with it.
        var rows = new List<KeyValuePair<TKey, TValue>>(keys.Count);
        foreach (var key in keys)
        {
            if (!Rows.TryGetActual(key, out var row))
                continue;
            if (DeviceOf(key, row) is { } device && !Devices.ContainsKey(device))
                Rows.Forget(key);
            else
                rows.Add(new(key, row));
        }

        return Send(rows, row => DeviceOf(row.Key, row.Value), (writer, sequence, row, device) => WriteDelete(writer, sequence, row.Key, row.Value, device), row => $"delete {Text(row.Key, row.Value)}", IsGone, row => Rows.Forget(row.Key));
    }

    /// <summary>Name of the row's device, or null when it has none.</summary>
    protected abstract string? DeviceOf(TKey key, TValue value);

    /// <summary>Appends the message that adds or replaces the row; <paramref name="device"/> is its ifindex, 0 when it has none.</summary>
    protected abstract void WriteUpsert(NetlinkWriter writer, uint sequence, TKey key, TValue value, int device);

    /// <summary>Appends the message that removes the row.</summary>
    protected abstract void WriteDelete(NetlinkWriter writer, uint sequence, TKey key, TValue value, int device);

    private static bool IsGone(Errno errno) => errno is Errno.ENOENT or Errno.ESRCH or Errno.ENODEV or Errno.EADDRNOTAVAIL;

    private List<RowFailure> Send(
        IReadOnlyList<KeyValuePair<TKey, TValue>> rows,
        Func<KeyValuePair<TKey, TValue>, string?> deviceOf,
        Action<NetlinkWriter, uint, KeyValuePair<TKey, TValue>, int> write,
        Func<KeyValuePair<TKey, TValue>, string> text,
        Func<Errno, bool> isGone,
        Action<KeyValuePair<TKey, TValue>> done)
    {
        var failures = new List<RowFailure>();
        var sent = new List<(uint Sequence, KeyValuePair<TKey, TValue> Row)>(rows.Count);
        using var writer = new NetlinkWriter();
        foreach (var row in rows)
        {
            var index = 0;
            if (deviceOf(row) is { } device && !Devices.TryGetValue(device, out index))
            {
                failures.Add(new(text(row), $"there is no device {device}"));
                continue;
            }

            var sequence = Socket.NextSequence();
            write(writer, sequence, row, index);
            sent.Add((sequence, row));
        }

        if (sent.Count == 0)
            return failures;
        var refused = Socket.Batch(writer).ToDictionary(failure => failure.Sequence);
        foreach (var (sequence, row) in sent)
        {
            if (!refused.TryGetValue(sequence, out var failure) || isGone(failure.Errno))
                done(row);
            else
                failures.Add(new(text(row), failure.ToException(text(row)).Message));
        }

        return failures;
    }
}
