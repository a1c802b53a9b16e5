using System.Text.Json;
using System.Threading.Channels;
using Overlay.Dataplane.Kernel;
using Overlay.Dataplane.Netlink;

namespace Overlay.Dataplane.Operator;

/// <summary>
/// Answers operators beside the loop: the loop gives an immutable snapshot, everything that takes time is done here, on sockets of its own. The plugin never waits for it.
/// </summary>
/// <param name="calls">Where snapshots are asked for: the agent's loop reads it.</param>
internal sealed class OperatorDesk(ChannelWriter<SnapshotCall> calls)
{
    private const int Attempts = 5;

    /// <summary>Answers one line.</summary>
    /// <param name="line">An <see cref="OperatorRequest"/>.</param>
    /// <param name="gone">Nobody waits any more.</param>
    public async Task<byte[]> AnswerAsync(ReadOnlyMemory<byte> line, CancellationToken gone)
    {
        try
        {
            var request = JsonSerializer.Deserialize(line.Span, OperatorJson.Default.OperatorRequest)!;
            return OperatorJson.Line(await AnswerAsync(request, gone));
        }
        catch (Exception exception) when (exception is JsonException or OperatorException or NetlinkException or NftablesException)
        {
            return OperatorJson.Line(OperatorAnswer.Refuse(exception.Message));
        }
    }

    private async Task<OperatorAnswer> AnswerAsync(OperatorRequest request, CancellationToken gone)
    {
        var snapshot = await AskAsync(gone);
        if (request.Command == OperatorRequest.Status)
            return new() { Status = snapshot.Status };
        if (!snapshot.Status.Synced)
            return OperatorAnswer.Refuse("The agent has not read its whole datastore yet; nothing is in force before that. Try again.");
        if (request.Command == OperatorRequest.Names)
            return new() { Names = await Task.Run(() => NameSearch.Answer(snapshot, request), gone) };
        if (request.Command == OperatorRequest.Explain)
            return new() { Explanation = await Task.Run(() => new Explainer(snapshot, Verifier.ReadRuleset()).Answer(request), gone) };
        return new() { Verification = await VerifyAsync(snapshot, request.Policies, gone) };
    }

    // What changes between the snapshot and the look at the kernel is no difference: so once more, until nothing did.
    private async Task<Verification> VerifyAsync(NodeSnapshot snapshot, bool policies, CancellationToken gone)
    {
        for (var attempt = 1; ; attempt++)
        {
            var found = await Task.Run(() => Verifier.Compare(snapshot), gone);
            if (policies)
                found = found with { Policies = await Task.Run(() => Verifier.Prove(snapshot, gone), gone) };
            if (found.Agrees)
                return found;
            var now = await AskAsync(gone);
            if (now.Revision == snapshot.Revision || attempt == Attempts)
                return found;
            snapshot = now;
        }
    }

    private async Task<NodeSnapshot> AskAsync(CancellationToken gone)
    {
        var call = new SnapshotCall();
        await calls.WriteAsync(call, gone);
        return await call.Answered.WaitAsync(gone);
    }
}
