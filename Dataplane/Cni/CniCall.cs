using Overlay.CniShim.Protocol;
using Overlay.Dataplane.Store;

namespace Overlay.Dataplane.Cni;

/// <summary>One call of the plugin on its way to the agent's loop. Whoever takes it from the channel answers it exactly once.</summary>
/// <param name="request">What is asked; checked to be well-formed JSON of our protocol, not more.</param>
/// <param name="deliver">Takes the answer and the moment when it was given (<see cref="BootClock"/>'s nanoseconds): whatever the loop does for another call comes before or after it. Must not block.</param>
/// <param name="clientGone">Cancelled when the plugin hangs up before the answer (killed, or past its deadline).</param>
internal sealed class CniCall(AgentRequest request, Action<AgentResponse, long> deliver, CancellationToken clientGone)
{

    /// <summary>What is asked.</summary>
    public AgentRequest Request { get; } = request;

    /// <summary>Cancelled when nobody waits for the answer any more: an ADD need not be begun, and one just done is to be undone; a DEL is to be done all the same.
    /// When it happens after the answer was given, <see cref="CniServer"/> itself puts the undoing DEL into the channel.</summary>
    public CancellationToken ClientGone { get; } = clientGone;

    /// <summary>Whether the datastore was asked for the pod.</summary>
    public bool IsPodSought { get; private set; }

    /// <summary>What it said; null: nothing, or it was not asked.</summary>
    public ClusterChange.PodSet? Pod { get; private set; }

    /// <summary>Notes what the datastore said.</summary>
    public void Found(ClusterChange.PodSet? pod) => (IsPodSought, Pod) = (true, pod);

    /// <summary>Answers. Never blocks.</summary>
    public void Answer(AgentResponse response) => deliver(response, BootClock.Now);
}
