using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Netfilter;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Dataplane.Kernel;

/// <summary>
/// <c>table inet overlay</c> in the kernel of one network namespace: everything in it is ours, nothing outside it is touched. Every change is one
/// transaction. Not for use by two threads at once.
/// </summary>
/// <param name="socket">NETLINK_NETFILTER, opened in the namespace; its owner disposes it.</param>
public sealed class NftablesTable(NetlinkSocket socket)
{
    private const int Attempts = 5;
    private KnownRuleset? _known;

    /// <summary>
    /// Makes the kernel's table exactly the wanted one, whatever it was: creates it, repairs what somebody changed, removes what is not wanted.
    /// What is right already is not written again. The first call of all, and the one after a failed <see cref="Apply"/>.
    /// </summary>
    /// <returns>What differed, one line for each; empty when nothing did. Of a missing table only that.</returns>
    /// <exception cref="NftablesException">The kernel refused, and keeps what it had.</exception>
    /// <exception cref="NetlinkException">The table could not be read.</exception>
    public IReadOnlyList<string> Resync(Ruleset wanted)
    {
        for (var attempt = 1; ; attempt++)
        {
            var dump = Dump();
            var difference = NftablesDifference.Between(dump, wanted);
            var known = new KnownRuleset(dump);
            try
            {
                if (difference.TableDiffers || !difference.Delta.IsEmpty)
                    Commit(difference.Delta, known, difference.TableDiffers, dump.Generation);
                _known = known;
                DeleteLeftovers(known);
                return difference.Texts;
            }
            catch (NftablesException exception) when (attempt < Attempts && exception.Failures[0].Errno == Errno.ERESTART)
            {
                // Somebody's transaction came between the dump and ours, so what was found may no longer be so.
            }
        }
    }

    /// <summary>Makes a change of the ruleset, after <see cref="Resync"/> has been called.</summary>
    /// <exception cref="NftablesException">The kernel refused, and keeps what it had. Also when somebody else has changed the table: <see cref="Resync"/> repairs that.</exception>
    public void Apply(RulesetDelta delta)
    {
        ArgumentNullException.ThrowIfNull(delta);
        var known = _known ?? throw new InvalidOperationException("Resync comes before Apply: until then it is not known what the kernel's table holds.");
        if (!delta.IsEmpty)
            Commit(delta, known, withTable: false, generation: null);
        DeleteLeftovers(known);
    }

    /// <summary>Reads the table as the kernel has it.</summary>
    /// <exception cref="NetlinkException">The table could not be read.</exception>
    public NftablesDump Dump() => NftablesDump.Read(socket);

    /// <summary>What in the kernel is not as wanted, one line for each; changes nothing.</summary>
    /// <exception cref="NetlinkException">The table could not be read.</exception>
    public IReadOnlyList<string> Verify(Ruleset wanted) => NftablesDifference.Between(Dump(), wanted).Texts;

    /// <summary>Deletes the table with all that is in it.</summary>
    /// <returns>False when there was none.</returns>
    /// <exception cref="NftablesException">The kernel refused.</exception>
    public bool Delete()
    {
        _known = null;
        using var batch = new Batch(socket.NextSequence);
        TableMessage.WriteDelete(batch);
        var failures = Send(batch);
        if (failures.Count == 0)
            return true;
        return failures[0].Errno == Errno.ENOENT ? false : throw new NftablesException(failures);
    }

    private void Commit(RulesetDelta delta, KnownRuleset known, bool withTable, uint? generation)
    {
        using var batch = new Batch(socket.NextSequence, generation);
        NftablesTransaction.Write(batch, delta, known, withTable);
        if (!batch.IsEmpty)
        {
            var failures = Send(batch);
            if (failures.Count > 0)
                throw new NftablesException(failures);
        }
        known.Record(delta);
    }

    // What cannot be deleted yet is empty and out of use; it is tried again with the next change.
    private void DeleteLeftovers(KnownRuleset known)
    {
        var names = known.Leftovers.ToHashSet();
        while (names.Count > 0)
        {
            using var batch = new Batch(socket.NextSequence);
            NftablesTransaction.WriteLeftovers(batch, names);
            var failures = Send(batch);
            foreach (var gone in failures.Count == 0 ? names : failures.Where(failure => failure.Errno == Errno.ENOENT).Select(failure => failure.Name))
                known.Forget(gone);

            // One refused chain has kept the others of its transaction; they go in the next, without it.
            var refused = failures.Select(failure => failure.Name).ToHashSet();
            if (!names.Overlaps(refused))
                return;
            names.ExceptWith(refused);
        }
    }

    private List<NftablesFailure> Send(Batch batch)
    {
        batch.End();
        return batch.Send(socket).ConvertAll(NftablesFailure.Of);
    }
}
