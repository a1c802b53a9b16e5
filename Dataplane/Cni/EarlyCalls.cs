using System.Threading.Channels;
using Overlay.CniShim.Protocol;

namespace Overlay.Dataplane.Cni;

/// <summary>Calls that come before the datastore has delivered everything. They wait for the agent to serve, as it mostly does in a moment; an ADD whose plugin would soon give up by itself
/// is told what it waited for, so that the pod's events say so.</summary>
/// <param name="calls">Where they come from.</param>
internal sealed class EarlyCalls(ChannelReader<CniCall> calls)
{
    // The plugin gives up after 25 s, and the loop comes by every Heartbeat.Period.
    private static readonly long Patience = (long)TimeSpan.FromSeconds(12).TotalNanoseconds;

    private readonly List<CniCall> _waiting = [];

    /// <summary>Takes what has come, and answers what is not to wait any longer.</summary>
    /// <param name="awaited">What the agent waits for: a clause, as in <c>waits for the API server</c>.</param>
    public void Wait(string awaited)
    {
        while (calls.TryRead(out var call))
            _waiting.Add(call);
        var now = BootClock.Now;
        foreach (var call in _waiting.Where(call => IsOver(call, now)).ToList())
        {
            call.Answer(AgentError.Answer(CniErrorCode.TryAgainLater, $"the agent of this node cannot wire pods yet: it {awaited}"));
            _waiting.Remove(call);
        }
    }

    /// <summary>All that wait, in the order in which they came; they are the caller's now.</summary>
    public List<CniCall> Take()
    {
        List<CniCall> taken = [.. _waiting];
        _waiting.Clear();
        return taken;
    }

    // What nobody waits for any more would pile up; a DEL is done all the same.
    private static bool IsOver(CniCall call, long now) => call.Request.Command switch
    {
        "DEL" => false,
        "ADD" => now - call.Request.Began >= Patience || call.ClientGone.IsCancellationRequested,
        _ => call.ClientGone.IsCancellationRequested,
    };
}
