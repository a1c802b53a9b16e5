using Serilog;
using Serilog.Events;

namespace Overlay.Dataplane;

/// <summary>Every line the agent logs, each with an id of its own that never changes: a quiet node writes none.</summary>
internal static class Log
{
    public static void Started(ILogger log, string version, string node, string datastore) =>
        Write(log, LogEventLevel.Information, 1, "overlay {Version} runs node {Node} from {Datastore}", version, node, datastore);

    public static void Stopped(ILogger log) =>
        Write(log, LogEventLevel.Information, 2, "stopped; the kernel goes on forwarding and enforcing as it is");

    public static void SysctlChanged(ILogger log, string setting) =>
        Write(log, LogEventLevel.Information, 3, "set {Sysctl}", setting);

    public static void Serving(ILogger log, string conflist) =>
        Write(log, LogEventLevel.Information, 4, "this node forwards and enforces; CNI configuration is in {File}", conflist);

    public static void PodWired(ILogger log, string pod, string addresses, string device) =>
        Write(log, LogEventLevel.Information, 10, "pod {Pod} wired with {Addresses} on {Device}", pod, addresses, device);

    public static void PodUnwired(ILogger log, string pod, string device) =>
        Write(log, LogEventLevel.Information, 11, "pod {Pod} unwired from {Device}", pod, device);

    public static void CniRefused(ILogger log, string command, string container, string reason) =>
        Write(log, LogEventLevel.Warning, 12, "CNI {Command} of {Container} refused: {Reason}", command, container, reason);

    public static void AttachmentStale(ILogger log, string pod, string device) =>
        Write(log, LogEventLevel.Information, 13, "pod {Pod} has no interface {Device} any more (a reboot?); forgotten", pod, device);

    public static void AttachmentUnreadable(ILogger log, string reason) =>
        Write(log, LogEventLevel.Error, 14, "attachment ignored: {Reason}", reason);

    public static void UndoFailed(ILogger log, string reason) =>
        Write(log, LogEventLevel.Error, 15, "a step of a failed ADD could not be undone: {Reason}", reason);

    public static void PendingDeleteUnreadable(ILogger log, string reason) =>
        Write(log, LogEventLevel.Error, 16, "a DEL that waited for the agent was unreadable and is dropped: {Reason}", reason);

    public static void PodIsolated(ILogger log, string pod) =>
        Write(log, LogEventLevel.Warning, 17, "pod {Pod} is isolated: what it is, and so which policies select it, is not known yet", pod);

    public static void DeleteStale(ILogger log, string pod, string container) =>
        Write(log, LogEventLevel.Information, 18, "a DEL of container {Container} that began before pod {Pod} was wired is passed over", container, pod);

    public static void Reaped(ILogger log, string what, string why) =>
        Write(log, LogEventLevel.Warning, 19, "freed {What}: {Why}", what, why);

    public static void Rejected(ILogger log, string rejection) =>
        Write(log, LogEventLevel.Error, 20, "rejected: {Rejection}", rejection);

    public static void RejectionCleared(ILogger log, string source) =>
        Write(log, LogEventLevel.Information, 21, "{Source} has nothing rejected any more", source);

    public static void Skipped(ILogger log, string kind, string source, int line) =>
        Write(log, LogEventLevel.Information, 22, "{Kind} of {Source}:{Line} skipped: not a kind that concerns the network", kind, source, line);

    public static void Degraded(ILogger log, string reason) =>
        Write(log, LogEventLevel.Warning, 30, "degraded: {Reason}", reason);

    public static void Restored(ILogger log, string reason) =>
        Write(log, LogEventLevel.Information, 31, "no longer degraded: {Reason}", reason);

    public static void RowRefused(ILogger log, string row) =>
        Write(log, LogEventLevel.Error, 32, "the kernel refused {Row}", row);

    public static void RulesetRefused(ILogger log, string reason) =>
        Write(log, LogEventLevel.Error, 33, "the kernel refused the ruleset: {Reason}; it keeps the last one", reason);

    public static void Quarantined(ILogger log, string policy, string reason) =>
        Write(log, LogEventLevel.Error, 34, "policy {Policy} is quarantined, its pods are isolated: {Reason}", policy, reason);

    public static void DriftRepaired(ILogger log, string what) =>
        Write(log, LogEventLevel.Warning, 35, "repaired what somebody else changed: {What}", what);

    public static void Disagreement(ILogger log, string what) =>
        Write(log, LogEventLevel.Error, 36, "the incremental ruleset differed from the one computed anew, which is now in force: {What}", what);

    public static void KernelUnreadable(ILogger log, string reason) =>
        Write(log, LogEventLevel.Error, 37, "the kernel could not be read: {Reason}; it is tried again", reason);

    public static void FlowsChanged(ILogger log, int revoked, int restored, long milliseconds) =>
        Write(log, LogEventLevel.Information, 60, "{Revoked} connections cut that policy now forbids, {Restored} may go on that it allows again ({Milliseconds} ms)", revoked, restored, milliseconds);

    public static void HostPortFlowsKept(ILogger log, string pod, string reason) =>
        Write(log, LogEventLevel.Warning, 61, "UDP connections to the host ports of pod {Pod} that are out of date could not be deleted: {Reason}; they end when their senders pause", pod, reason);

    public static void ReaperHindered(ILogger log, string reason) =>
        Write(log, LogEventLevel.Error, 62, "what is left of pods that are gone could not be looked for or freed: {Reason}; it is tried again", reason);

    public static void InterfaceUnknown(ILogger log, string device, string stateDir) =>
        Write(log, LogEventLevel.Warning, 63, "interface {Device} has no attachment in {StateDir}; left alone, as the folder may not be the one of the agent that made it: recreate its pod, or remove it", device, stateDir);

    public static void AddressTakenOver(ILogger log, string address, string container, string file) =>
        Write(log, LogEventLevel.Information, 64, "address {Address} of container {Container} counts as taken: {File} says so, and the container lives", address, container, file);

    public static void HeartbeatFailed(ILogger log, string reason) =>
        Write(log, LogEventLevel.Error, 65, "the heartbeat could not be written: {Reason}; CNI STATUS fails as soon as this agent stops", reason);

    public static void RetiredLinksKept(ILogger log, string reason) =>
        Write(log, LogEventLevel.Warning, 66, "interfaces of unwired pods could not be removed: {Reason}; they are down, and it is tried again", reason);

    public static void ConfigurationChanged(ILogger log, string summary) =>
        Write(log, LogEventLevel.Information, 70, "another configuration is in force: {Summary}", summary);

    public static void ConfigurationRefused(ILogger log, string reason) =>
        Write(log, LogEventLevel.Error, 71, "the changed configuration is not taken over: {Reason}", reason);

    public static void ConfigurationLater(ILogger log, string keys) =>
        Write(log, LogEventLevel.Warning, 72, "changed in the configuration, and in force only after a restart of the agent: {Keys}", keys);

    public static void PodMtuKept(ILogger log, string pod, string reason) =>
        Write(log, LogEventLevel.Warning, 73, "the interface of pod {Pod} keeps its MTU: {Reason}; path-MTU errors tell its senders", pod, reason);

    public static void ProbesRefused(ILogger log, string reason) =>
        Write(log, LogEventLevel.Warning, 74, "the ways to other nodes are not tried, so that status does not tell which of them work: {Reason}; give the agent CAP_NET_RAW", reason);

    public static void ChecksumsSwitchedOff(ILogger log, string device, string node) =>
        Write(log, LogEventLevel.Warning, 75, "checksum offload of {Device} is switched off: datagrams whose checksum was left to the network card arrived broken at node {Node}", device, node);

    public static void OffloadAbsent(ILogger log, string reason) =>
        Write(log, LogEventLevel.Information, 76, "established connections between pods pass the chains with every packet, as there is no flowtable: {Reason}", reason);

    public static void OffloadFailed(ILogger log, string reason) =>
        Write(log, LogEventLevel.Warning, 77, "the flowtable for established connections could not be kept up: {Reason}; they go on as without it", reason);

    private static void Write(ILogger log, LogEventLevel level, int id, string template, params object[] values)
    {
        if (log.IsEnabled(level))
            log.ForContext("EventId", id).Write(level, template, values);
    }
}
