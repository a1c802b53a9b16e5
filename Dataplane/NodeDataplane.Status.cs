using System.Net;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Operator;
using Overlay.Dataplane.Probing;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane;

/// <content>How the node is, for log, metrics, operators and the Node's condition.</content>
internal sealed partial class NodeDataplane
{
    private readonly Dictionary<string, Degradation> _failingSources = new(StringComparer.Ordinal);
    private IReadOnlyList<Degradation> _degradations = [];

    /// <summary>What works less than it could.</summary>
    public IReadOnlyList<Degradation> Degradations => [.. _failingSources.Values.OrderBy(failing => failing.Subject, StringComparer.Ordinal), .. _degradations];

    /// <summary>Whether pods can be wired, even if the kernel refuses a row of a peer, say: it enforces the policies as they are now, forwards, and has the tunnel devices.</summary>
    public bool IsUsable => !_rulesetStale && _forwardingRefusals.Count == 0 && kernel.Links.PendingCount == 0;

    /// <summary>What of the ruleset in the kernel is not as wanted, one line for each; changes nothing. Reads the whole ruleset.</summary>
    /// <exception cref="Netlink.NetlinkException">It could not be read.</exception>
    public IReadOnlyList<string> VerifyPolicy() => kernel.Nftables.Verify(_projection.Current);

    /// <summary>What is known at this moment. Costs no more than a few counts.</summary>
    public NodeStatus Status() => new()
    {
        NodeName = _configuration.NodeName,
        Unready = [.. Unready()],
        Nodes = Store.Nodes.Count,
        KnownPods = Store.PodCount,
        LocalPods = Store.Attachments.Count,
        Policies = Enum.GetValues<Tier>().ToDictionary(tier => tier, Store.CountOf),
        Rejections = Store.Rejections,
        Quarantined = [.. _quarantined.Keys.Order()],
        Degradations = Degradations,
        RulesetsCommitted = _rulesetsCommitted,
        DriftRepaired = _driftRepaired,
        Resyncs = _resyncs,
        ResyncDuration = _resyncDuration,
    };

    /// <summary>What is known and wanted now, for whoever looks at it outside the loop. Copies references, not objects.</summary>
    /// <param name="started">When the agent started.</param>
    /// <param name="lastResync">When <see cref="Resync"/> was last called.</param>
    /// <param name="lastCommit">When a <see cref="Commit"/> last left nothing to do.</param>
    /// <param name="findings">What is known of the ways to other nodes.</param>
    public NodeSnapshot Snapshot(DateTime started, DateTime? lastResync, DateTime? lastCommit, IReadOnlyList<PeerFinding> findings)
    {
        var state = Wanted();
        var tiers = state.Policies.CountBy(policy => policy.Tier).ToDictionary();
        var attachments = Store.Attachments.OrderBy(attachment => attachment.Pod).ToList();
        var rejections = Store.Rejections.ToList();
        return new(
            _configuration.NodeName,
            _revision,
            state,
            kernel.Wanted(),
            attachments,
            rejections,
            [.. _quarantined.Keys.Order()],
            new()
            {
                Node = _configuration.NodeName,
                Version = Cli.Version.Text,
                Started = started,
                Synced = Store.IsSynced,
                Encapsulation = _configuration.Encapsulation.ToString().ToLowerInvariant(),
                Mtu = Mtu,
                PodCidrs = [.. PodCidrs.Select(prefix => prefix.ToString())],
                MtuSource = _projectedNode?.MtuSource ?? "",
                Underlay = [.. UnderlayText()],
                FlowOffload = kernel.Offload.Obstacle is { Length: > 0 } obstacle ? $"none: {obstacle}" : $"flowtable of {kernel.Offload.Devices} devices",
                SoftwareChecksums = [.. Underlay.SoftwareChecksums],
                Peers = Peers(findings),
                Pods = [.. attachments.Select(pod => new PodOnNode(pod.Pod.ToString(), [.. pod.Addresses.Select(address => address.ToString())], pod.HostInterface, [.. pod.HostPorts.Select(port => $"{port} to {new IPEndPoint(port.PodAddress.ToIPAddress(), port.PodPort)}")]))],
                Policies = new(tiers.GetValueOrDefault(Tier.Admin), tiers.GetValueOrDefault(Tier.NetworkPolicy), tiers.GetValueOrDefault(Tier.Baseline)),
                Rejected = [.. rejections.Select(item => new RejectedObject(item.Source, item.Line, $"{item.Kind} {item.Name}".Trim(), item.Field, item.Reason))],
                Quarantined = [.. _quarantined.Keys.Order().Select(name => name.ToString())],
                Degraded = [.. Degradations.Select(degradation => degradation.ToString())],
                LastResync = lastResync,
                LastCommit = lastCommit,
                DriftRepaired = _driftRepaired,
                MemoryBytes = Environment.WorkingSet,
            })
        {
            UnderlayDevices = [.. Underlay.Addresses.Select(address => address.Device).Where(device => device.Length > 0).Distinct()],
        };
    }

    private IEnumerable<string> Unready()
    {
        if (!Store.IsSynced)
        {
            yield return "The datastore has not delivered everything yet.";
            yield break;
        }

        if (_rulesetStale)
            yield return "The kernel does not have the policies as they are now; the log says why.";
        if (kernel.Links.PendingCount > 0)
            yield return "The kernel does not have the tunnel devices as they should be; the log says why.";
        foreach (var refusal in _forwardingRefusals)
            yield return $"This node does not forward what its pods send or get: {refusal}";
        if (PodCidrs.Count == 0)
            yield return $"Node {_configuration.NodeName} has no podCIDRs, so no pod can be wired.";
        else if (Underlay.Addresses.Count == 0 || (kernel.Links.Rows.Desired.Count == 0 && _configuration.Encapsulation != Encapsulation.None))
            yield return $"Node {_configuration.NodeName} has no way to other nodes, so its pods do not reach theirs; status says why.";
    }

    private void LogRejections(string source, EquatableArray<Rejection> rejections)
    {
        var known = Store.Rejections.Where(rejection => rejection.Source == source).ToHashSet();
        foreach (var rejection in rejections.Where(rejection => !known.Contains(rejection)))
            Log.Rejected(log, rejection.ToString());
        if (known.Count > 0 && rejections.Count == 0)
            Log.RejectionCleared(log, source);
    }

    private void Report(IReadOnlyList<Degradation> degradations)
    {
        foreach (var worse in degradations.Except(_degradations))
            Log.Degraded(log, worse.ToString());
        foreach (var better in _degradations.Except(degradations))
            Log.Restored(log, better.ToString());
        _degradations = degradations;
    }

    // Told at once: a source may fail before there is anything to commit, and while there is nothing.
    private void Note(string source, string reason)
    {
        var failed = _failingSources.Remove(source, out var before);
        if (reason.Length > 0)
            _failingSources.Add(source, failed ? before : new(source, reason)); // since when is in the first
        if (reason.Length > 0 && !failed)
            Log.Degraded(log, _failingSources[source].ToString());
        if (reason.Length == 0 && failed)
            Log.Restored(log, before.ToString());
    }
}
