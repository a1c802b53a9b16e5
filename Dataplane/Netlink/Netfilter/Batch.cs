namespace Overlay.Dataplane.Netlink.Netfilter;

/// <summary>A kind of object in a table.</summary>
public enum NftObjectKind
{
    /// <summary>The table itself, or the transaction as a whole.</summary>
    Table,

    /// <summary>A chain.</summary>
    Chain,

    /// <summary>A rule of a chain.</summary>
    Rule,

    /// <summary>A set or map.</summary>
    Set,

    /// <summary>Elements of a set or map.</summary>
    Element,

    /// <summary>A flowtable.</summary>
    Flowtable,
}

/// <summary>What a message of a batch is about.</summary>
/// <param name="Kind">Kind of object.</param>
/// <param name="Name">Name of the object; for a rule its chain's, for elements their set's.</param>
/// <param name="Model">The wanted object of PolicyEngine, for its text; null when the message only names one.</param>
internal readonly record struct BatchSubject(NftObjectKind Kind, string Name, object? Model = null);

/// <summary>A message that the kernel refused, and what it was about.</summary>
/// <param name="Subject">What it was about.</param>
/// <param name="Failure">Why it was refused.</param>
/// <param name="Attribute">The attribute the kernel points at, with its header, where it points at one.</param>
internal readonly record struct BatchFailure(BatchSubject Subject, NetlinkFailure Failure, ReadOnlyMemory<byte> Attribute);

/// <summary>A transaction of nf_tables: all its messages take effect together, or none does. Every message has its own number, so a failure names its object.</summary>
internal sealed class Batch : IDisposable
{
    private readonly Func<uint> _nextSequence;
    private readonly List<(uint Sequence, NetlinkMark Mark, BatchSubject Subject)> _messages = [];

    /// <summary>Begins a transaction.</summary>
    /// <param name="nextSequence">Numbers for the messages.</param>
    /// <param name="generation">The kernel refuses the batch (ERESTART) when its ruleset has meanwhile become another than this generation; null: not asked.</param>
    internal Batch(Func<uint> nextSequence, uint? generation = null)
    {
        _nextSequence = nextSequence;
        var mark = Frame(Nfnetlink.NFNL_MSG_BATCH_BEGIN);
        if (generation is { } number)
            Writer.UInt32BigEndian(Nfnetlink.NFNL_BATCH_GENID, number);
        Writer.EndMessage(mark);
    }

    /// <summary>Whether nothing was put in yet.</summary>
    internal bool IsEmpty => _messages.Count == 0;

    /// <summary>Where the attributes of the open message go; all that was written so far.</summary>
    internal NetlinkWriter Writer { get; } = new();

    /// <summary>Opens a message; its attributes follow.</summary>
    internal NetlinkMark BeginMessage(NftMsgType type, NlmF flags, BatchSubject subject)
    {
        var sequence = _nextSequence();
        var mark = Writer.BeginMessage(type, flags, sequence);
        _messages.Add((sequence, mark, subject));
        return mark;
    }

    /// <summary>Closes a message.</summary>
    internal void EndMessage(NetlinkMark mark) => Writer.EndMessage(mark);

    /// <summary>Ends the transaction. Only its last message asks for an acknowledgement; errors come for every message that has one.</summary>
    internal void End()
    {
        Writer.AddFlags(_messages[^1].Mark, (ushort)NlmF.NLM_F_ACK);
        Writer.EndMessage(Frame(Nfnetlink.NFNL_MSG_BATCH_END));
    }

    /// <summary>Sends the transaction, which has been ended.</summary>
    /// <returns>What was refused; empty when all has taken effect.</returns>
    internal List<BatchFailure> Send(NetlinkSocket socket)
    {
        var failures = new List<BatchFailure>();
        foreach (var failure in socket.Batch(Writer))
        {
            var index = _messages.FindIndex(message => message.Sequence == failure.Sequence);
            failures.Add(index < 0
                ? new(new(NftObjectKind.Table, PolicyEngine.Nftables.Ruleset.Table), failure, default)
                : new(_messages[index].Subject, failure, AttributeAt(_messages[index].Mark, failure.AttributeOffset)));
        }
        return failures;
    }

    public void Dispose() => Writer.Dispose();

    private ReadOnlyMemory<byte> AttributeAt(NetlinkMark message, int? offset)
    {
        var start = message.Offset + (offset ?? Writer.Length);
        if (start + 4 > Writer.Length)
            return default;
        var length = BitConverter.ToUInt16(Writer.Written[start..]);
        return start + length <= Writer.Length ? Writer.WrittenMemory.Slice(start, length) : default;
    }

    private NetlinkMark Frame(ushort type)
    {
        var mark = Writer.BeginMessage(type, (ushort)NlmF.NLM_F_REQUEST, _nextSequence());
        Writer.Nfgenmsg(NfFamily.NFPROTO_UNSPEC, Nfnetlink.NFNL_SUBSYS_NFTABLES);
        return mark;
    }
}
