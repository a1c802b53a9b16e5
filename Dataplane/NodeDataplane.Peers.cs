using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Operator;
using Overlay.Dataplane.Probing;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane;

/// <content>What trying the ways to the other nodes has told, and what is done about it.</content>
internal sealed partial class NodeDataplane
{
    // Devices of ours without checksum offload, each with the node where packets arrived broken.
    private readonly Dictionary<string, string> _softwareChecksums = new(StringComparer.Ordinal);
    private IReadOnlyList<Degradation> _peerDegradations = [];
    private List<ProbeTarget> _probeTargets = [];

    /// <summary>The ways to the other nodes that are to be tried: the same object as long as none is gone; those of nodes that join come to its end.</summary>
    public IReadOnlyList<ProbeTarget> ProbeTargets => _probeTargets;

    /// <summary>Takes over what is known of the ways. Where checksums that are left to a device arrive broken, the kernel makes them from the next <see cref="Commit"/> on.</summary>
    /// <param name="findings">Of each way.</param>
    /// <param name="obstacle">Why they are not tried; empty when they are.</param>
    public void Hear(IReadOnlyList<PeerFinding> findings, string obstacle)
    {
        var degradations = new List<Degradation>();
        if (obstacle.Length > 0)
            degradations.Add(new("probing", obstacle));
        foreach (var finding in findings.Where(finding => finding.Checksums == Checksums.Wrong))
        {
            var target = finding.Target;
            if (!Ownership.Tunnels.Contains(target.Device))
                degradations.Add(new(target.Device, $"checksums that are left to it arrive broken at Node {target.Node}, so that TCP and UDP do not work; switch that off (ethtool -K {target.Device} tx off), or update its driver."));
            else if (_softwareChecksums.TryAdd(target.Device, target.Node))
                SwitchChecksumsOff(target.Device, target.Node);
        }

        degradations.AddRange(_softwareChecksums.Select(device => new Degradation(device.Key, $"checksum offload is switched off: packets whose checksum was left to the network card arrived broken at Node {device.Value}. The kernel makes them now, which costs CPU; update the card's driver, and restart the machine to have it tried again.")));
        degradations.AddRange(findings.Where(finding => finding.Problem.Length > 0).Select(finding => new Degradation($"Node {finding.Target.Node}", finding.Problem)));
        _peerDegradations = [.. degradations.Distinct().OrderBy(degradation => degradation.Subject, StringComparer.Ordinal)];
    }

    private void SwitchChecksumsOff(string device, string node)
    {
        _nodeStale = true;
        Log.ChecksumsSwitchedOff(log, device, node);
    }

    private void Aim(ProjectedNode projected)
    {
        var targets = ProbeTarget.Of(_configuration.NodeName, Store.Nodes, _configuration, Underlay, projected);
        if (!targets.SequenceEqual(_probeTargets))
            _probeTargets = targets;
    }

    private void Aim(Node node, JoinedNode joined) =>
        _probeTargets.AddRange(ProbeTarget.Of(node, ProbeTarget.WaysOf(joined.Rows), _configuration, Underlay, Mtu));

    private IReadOnlyList<PeerStatus> Peers(IReadOnlyList<PeerFinding> known)
    {
        var findings = known.ToLookup(finding => finding.Target.Node);
        return
        [
            .. Store.Nodes.Where(node => node.Name != _configuration.NodeName).OrderBy(node => node.Name, StringComparer.Ordinal).Select(node => new PeerStatus(
                node.Name,
                [.. node.Underlay.Select(address => address.ToString())],
                [.. node.PodCidrs.Select(prefix => prefix.ToString())],
                [.. findings[node.Name].Select(finding => new WayStatus(finding.Target.Address.ToString(), finding.Target.Device, finding.Reachability.ToString().ToLowerInvariant(), finding.LastAnswer, finding.LastAnswer is null ? null : finding.RoundTrip.TotalMilliseconds))])),
        ];
    }

    private EquatableArray<string> UnderlayText() => Underlay.Addresses.Select(address => $"{address.Prefix.Address}{(address.Device.Length > 0 ? $" on {address.Device}, MTU {address.Mtu}" : ", which no device has")}").ToEquatableArray();
}
