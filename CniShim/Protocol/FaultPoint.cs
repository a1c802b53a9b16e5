using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;

namespace Overlay.CniShim.Protocol;

/// <summary>Where a crash test kills plugin or agent: after each step of ADD and DEL that changes something outside the process. Shim… is passed in the plugin, Agent… in the agent.</summary>
internal enum FaultPoint
{
    /// <summary>ADD: the file that says whose the addresses will be.</summary>
    ShimClaimWritten,

    /// <summary>ADD: the first address is taken, not yet noted as the last one.</summary>
    ShimAddressTaken,

    /// <summary>ADD: all addresses are taken; the agent knows nothing.</summary>
    ShimAddressesTaken,

    /// <summary>ADD: the pod is wired; the runtime knows nothing.</summary>
    ShimAddAnswered,

    /// <summary>ADD that failed: the first address is given back.</summary>
    ShimAddressUndone,

    /// <summary>DEL: the agent has unwired the pod.</summary>
    ShimUnwired,

    /// <summary>DEL without an agent: the plugin has removed the device that shaped the pod's packets, if there was one.</summary>
    ShimShaperRemoved,

    /// <summary>DEL without an agent: the plugin has removed the pair itself.</summary>
    ShimPairRemoved,

    /// <summary>DEL without an agent: the file that waits has not got its name yet.</summary>
    ShimDeleteWritten,

    /// <summary>DEL without an agent: the file waits.</summary>
    ShimDeleteQueued,

    /// <summary>DEL: the first address is given back.</summary>
    ShimAddressReleased,

    /// <summary>ADD: the pod's policy is in the kernel.</summary>
    AgentPolicyCommitted,

    /// <summary>ADD: the pair of interfaces is there.</summary>
    AgentPairMade,

    /// <summary>ADD of a pod whose bandwidth is limited: the device is there through which it will send.</summary>
    AgentShaperMade,

    /// <summary>ADD of a pod whose bandwidth is limited: what it sends is.</summary>
    AgentEgressLimited,

    /// <summary>ADD of a pod whose bandwidth is limited: what it receives is.</summary>
    AgentIngressLimited,

    /// <summary>ADD: the host's end is up.</summary>
    AgentHostEndUp,

    /// <summary>ADD: the pod's end is up, with addresses and routes.</summary>
    AgentPodEndUp,

    /// <summary>ADD: the host's routes and neighbours of the pod are there.</summary>
    AgentRouted,

    /// <summary>ADD: other nodes can read the addresses.</summary>
    AgentPublished,

    /// <summary>ADD: the attachment's file is there; the plugin has no answer.</summary>
    AgentAttachmentWritten,

    /// <summary>ADD that failed: its last step is undone.</summary>
    AgentStepUndone,

    /// <summary>DEL: the pair is gone.</summary>
    AgentPairRemoved,

    /// <summary>DEL: the attachment's file is gone.</summary>
    AgentAttachmentDeleted,

    /// <summary>DEL: the pod's policy, routes and neighbours are gone from the kernel.</summary>
    AgentPodForgotten,

    /// <summary>DEL: other nodes read nothing of the pod any more; the plugin has no answer.</summary>
    AgentWithdrawn,
}

/// <summary>Kills this process at a <see cref="FaultPoint"/>. Only in what the JIT runs: native programs are compiled with this switched off (<c>Overlay.FaultPoints</c> in both projects) and hold nothing of it.</summary>
internal static class Fault
{
    // A file instead of the name itself: a test chooses while the agent runs.
    private static readonly string? Chosen = Environment.GetEnvironmentVariable("FAULT_POINT_FILE");

    [FeatureSwitchDefinition("Overlay.FaultPoints")]
    private static bool IsSupported => !AppContext.TryGetSwitch("Overlay.FaultPoints", out var isEnabled) || isEnabled;

    /// <summary>Ends this process, as SIGKILL does, when a test has chosen this point.</summary>
    public static void Pass(FaultPoint point)
    {
        if (IsSupported && Chosen is not null && File.Exists(Chosen) && File.ReadAllText(Chosen) == point.ToString())
        {
            using var own = Process.GetCurrentProcess();
            own.Kill();
            Thread.Sleep(Timeout.Infinite);
        }
    }
}
