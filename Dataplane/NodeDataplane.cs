using System.Diagnostics;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Kernel;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;
using Serilog;

namespace Overlay.Dataplane;

/// <summary>
/// One node from knowledge to kernel: store, projections and tables, joined. Not thread-safe: the agent's loop alone calls it.
/// Changes only mark what is to be done; <see cref="Commit"/> does it, policy first, so that nothing is reachable before it is judged.
/// </summary>
/// <param name="configuration">The node's configuration at start.</param>
/// <param name="kernel">The kernel of this network namespace.</param>
/// <param name="log">Where events go.</param>
internal sealed partial class NodeDataplane(OverlayConfiguration configuration, NodeKernel kernel, ILogger log)
{
    private OverlayConfiguration _configuration = configuration;
    private RulesetProjection _projection = new(configuration.Ruleset);
    private readonly Dictionary<NamespacedName, Policy> _quarantined = [];
    private PodNetwork _network = new([], []);
    private readonly List<Cidr> _joined = [];
    private NodeSpace _space = new([]);
    private EquatableArray<Degradation> _projected = [];
    private ProjectedNode? _projectedNode;
    private bool _nodeStale = true;
    private bool _rulesetStale = true;
    private long _rulesetsCommitted, _driftRepaired, _resyncs;
    private TimeSpan _resyncDuration;
    private TimeSpan _refereeTook;
    private Stopwatch? _sinceReferee;
    private long _revision;
    private IReadOnlyList<string> _forwardingRefusals = [];
    private IReadOnlyList<Reconcile.RowFailure> _refusedRows = [];
    private IReadOnlyList<string> _pathMtuRefusals = [];

    /// <summary>What is known.</summary>
    public ClusterStore Store { get; } = new(isolateUnknown: configuration.DatastoreDirectory is null);

    /// <summary>This node's own object, or null while the datastore has none.</summary>
    public Node? Node => Store.Nodes.FirstOrDefault(node => node.Name == _configuration.NodeName);

    /// <summary>This node's pod prefixes: configured ones, else the Node's.</summary>
    public EquatableArray<Cidr> PodCidrs => _configuration.PodCidrs.Count > 0 ? _configuration.PodCidrs : Node?.PodCidrs ?? [];

    /// <summary>UDP port of the tunnels; null: they have none.</summary>
    public ushort? VxlanPort => _configuration.Encapsulation == Encapsulation.Vxlan ? _configuration.VxlanPort : null;

    /// <summary>What carries packets between nodes; empty before the first commit.</summary>
    public Underlay Underlay { get; private set; } = new([], []);

    /// <summary>This node's <see cref="Node.ChosenAddresses"/> as they should be: what the machine has, where others would take the Node's word for something else. Null: not known, and the Node is to say what it says.</summary>
    public EquatableArray<InetAddress>? Announced { get; private set; }

    /// <summary>MTU of pods' interfaces, bytes; 0 before the first commit.</summary>
    public int Mtu { get; private set; }

    /// <summary>
    /// Takes over another configuration of the node, from the next <see cref="Resync"/> on. Nothing is torn down for it: the tables find what differs. Of the keys that are read at start alone
    /// (<see cref="ConfigurationKey.IsLive"/>), the values must be the same.
    /// </summary>
    public void Reconfigure(OverlayConfiguration configuration)
    {
        var before = _configuration;
        _configuration = configuration;
        _nodeStale = true;
        if (configuration.Ruleset == before.Ruleset)
            return;
        _projection = RulesetProjection.Of(Wanted());
        _rulesetStale = true;
        _verdictsChanged = true;
    }

    /// <summary>Takes over a change of the datastore.</summary>
    public void Apply(ClusterChange change)
    {
        if (change is ClusterChange.Rejected(var source, var rejections))
            LogRejections(source, rejections);
        if (change is ClusterChange.Skipped(var file, var line, var kind))
            Log.Skipped(log, kind, file, line);
        if (change is ClusterChange.SourceFailing(var failing, var reason))
            Note(failing, reason);
        Carry(Store.Apply(change));
        _verdictsChanged = true;
    }

    /// <summary>Makes a pod local, isolated or open as policy says, from the next <see cref="Commit"/> on.</summary>
    /// <param name="attachment">Its interface.</param>
    /// <param name="fetched">As <see cref="ClusterStore.Attach"/> has it.</param>
    public void Attach(Attachment attachment, ClusterChange.PodSet? fetched = null)
    {
        _verdictsChanged |= !IsNewcomer(attachment);
        Carry(Store.Attach(attachment, fetched));
    }

    /// <summary>The pod is no longer local.</summary>
    public void Detach(AttachmentKey key)
    {
        var attachment = Store.Attachment(key);
        Carry(Store.Detach(key));
        if (attachment is not null)
            Departed(attachment);
    }

    /// <summary>
    /// Brings policy into the kernel: one transaction, all or nothing. A policy of which the kernel refuses a part is quarantined: it goes on
    /// isolating the pods it selects and allows them nothing, so that one bad object stops no other.
    /// </summary>
    /// <exception cref="NftablesException">The kernel refused what is no policy's fault; it keeps the ruleset it had.</exception>
    public void CommitPolicy()
    {
        if (_nodeStale)
            Reproject();
        while (true)
        {
            var fromDump = _rulesetStale;
            try
            {
                CommitRuleset();
                return;
            }
            catch (NftablesException refused) when (!fromDump || Quarantine(refused))
            {
                // A refused change may be the fault of whoever changed our table: so once more, from what the kernel really holds.
                // Refused even so it is a policy's: once more without that one. A policy is quarantined only once.
            }
        }
    }

    /// <summary>Brings everything pending into the kernel.</summary>
    /// <returns>Whether nothing is left to do; otherwise the caller tries again later.</returns>
    public bool Commit()
    {
        _revision++;
        var complete = _forwardingRefusals.Count == 0;
        var degradations = _forwardingRefusals.Select(refusal => new Degradation("forwarding", refusal)).ToList();
        try
        {
            CommitPolicy();
        }
        catch (NftablesException error)
        {
            Log.RulesetRefused(log, error.Message);
            degradations.Add(new("nftables", error.Message));
            complete = false;
        }

        var refused = kernel.Routing.Apply();
        foreach (var failure in refused)
        {
            // Tried again and again, and told once.
            if (!_refusedRows.Contains(failure))
                Log.RowRefused(log, failure.ToString());
            degradations.Add(new(failure.Row, failure.Reason));
            complete = false;
        }

        _refusedRows = refused;
        var quarantined = _quarantined.Keys.Order().Select(name => new Degradation($"policy {name}", "is quarantined, the kernel refused a part of it: its pods are isolated and it allows them nothing; see the log."));
        var pathMtu = _pathMtuRefusals.Select(refusal => new Degradation("mtu", $"pods may not be told where the underlay takes no full-size packets: {refusal}"));
        Report([.. _projected, .. _peerDegradations, .. quarantined, .. pathMtu, .. degradations]);
        return complete;
    }

    /// <summary>Reads the kernel anew, repairs what differs from the desired state, and now and then checks the incremental ruleset against its referee.</summary>
    /// <returns>As <see cref="Commit"/>.</returns>
    public bool Resync()
    {
        var clock = Stopwatch.StartNew();
        KeepForwarding();
        _nodeStale = true;
        _flowsStale = true;
        Reproject();
        var drift = new List<string>(kernel.Routing.Resync());
        var isKnown = !_rulesetStale;
        CommitPolicy();
        if (isKnown)
            drift.AddRange(kernel.Nftables.Resync(Agreed()));
        Repaired(drift);
        var complete = Commit();
        _resyncs++;
        _resyncDuration += clock.Elapsed;
        return complete;
    }

    // The incremental ruleset, held to the one computed anew. That takes seconds in a large cluster, so it takes a thousandth of the time at most; in between the kernel is held to the incremental one.
    private Ruleset Agreed()
    {
        var wanted = _projection.Current;
        if (_sinceReferee is { } since && since.Elapsed < 1000 * _refereeTook)
            return wanted;
        var clock = Stopwatch.StartNew();
        var anew = RulesetProjection.FromScratch(Wanted());
        if (NftText.Print(wanted) is var text && NftText.Print(anew) is var referee && text != referee)
            Log.Disagreement(log, FirstDifference(text, referee));
        _refereeTook = clock.Elapsed;
        _sinceReferee = Stopwatch.StartNew();
        return anew;
    }

    /// <summary>Turns forwarding on where somebody turned it off. Where it cannot be, this node is not ready, and <see cref="Resync"/> is to be called again later.</summary>
    public void KeepForwarding()
    {
        var (changed, refusals) = Forwarding.Enable();
        _forwardingRefusals = refusals;
        Repaired(changed);
        if (_configuration.Encapsulation != Encapsulation.Vxlan)
            return;
        var path = Forwarding.UsePathMtu();
        foreach (var setting in path.Changed)
            Log.SysctlChanged(log, setting);
        _pathMtuRefusals = path.Refusals;
    }

    private void Repaired(IReadOnlyList<string> drift)
    {
        foreach (var row in drift)
            Log.DriftRepaired(log, row);
        _driftRepaired += drift.Count;
    }

    // Policies in quarantine as what stands in for them.
    private ClusterState Wanted()
    {
        TakeInJoined();
        var state = Store.ToClusterState(_configuration.Ruleset, _network);
        return state with { Policies = [.. state.Policies.Select(policy => _quarantined.GetValueOrDefault(policy.Name, policy))] };
    }

    private void CommitRuleset()
    {
        _revision++;
        var delta = _projection.Take();
        FlowsAfter(delta);
        if (_rulesetStale)
        {
            // The first commit, and the one after a failure: what the kernel holds is not known, so it is read and the difference repaired.
            if (kernel.Nftables.Resync(_projection.Current).Count > 0)
                _rulesetsCommitted++;
        }
        else if (!delta.IsEmpty)
        {
            _rulesetStale = true;
            kernel.Nftables.Apply(delta);
            _rulesetsCommitted++;
        }

        _rulesetStale = false;
    }

    private bool Quarantine(NftablesException refused)
    {
        if (refused.IsTransient)
            return false;
        var guilty = _projection.PoliciesOf(refused.Failures[0].Name).Where(name => !_quarantined.ContainsKey(name)).ToList();
        foreach (var policy in Store.Policies.Where(policy => guilty.Contains(policy.Name)))
        {
            Log.Quarantined(log, policy.Name.ToString(), refused.Message);
            var isolating = policy.Isolating();
            _quarantined.Add(policy.Name, isolating);
            _projection.SetPolicy(isolating);
        }

        return guilty.Count > 0;
    }

    private void Carry(IReadOnlyList<Consequence> consequences)
    {
        _revision += consequences.Count;
        foreach (var consequence in consequences)
        {
            switch (consequence)
            {
                case Consequence.SetPod(var pod, var local):
                    _projection.SetPod(pod, local);
                    break;
                case Consequence.RemovePod(var name):
                    _projection.RemovePod(name);
                    break;
                case Consequence.SetNode(var node):
                    _projection.SetNode(node);
                    break;
                case Consequence.RemoveNode(var name):
                    _projection.RemoveNode(name);
                    break;
                case Consequence.SetNamespace(var ns):
                    _projection.SetNamespace(ns);
                    break;
                case Consequence.RemoveNamespace(var name):
                    _projection.RemoveNamespace(name);
                    break;
                case Consequence.SetPolicy(var policy):
                    _quarantined.Remove(policy.Name);
                    _projection.SetPolicy(policy);
                    break;
                case Consequence.RemovePolicy(var name):
                    _quarantined.Remove(name);
                    _projection.RemovePolicy(name);
                    break;
                case Consequence.SetAttachment(var attachment):
                    _nodeStale = _nodeStale || !kernel.Want(attachment);
                    break;
                case Consequence.RemoveAttachment(var attachment):
                    // Who shares an address may be the one to have it now.
                    _nodeStale = _nodeStale || attachment.Addresses.Any(address => Store.HolderOf(address) is not null) || !kernel.Drop(attachment);
                    break;
                case Consequence.JoinNode(var node):
                    _nodeStale = _nodeStale || !TryJoin(node);
                    break;
                case Consequence.ReprojectNode:
                    _nodeStale = true;
                    break;
            }
        }
    }

    // All rows are computed whole, and the delta tables find what differs: when a node changes or goes, which is seldom. Pods come and go all the time, and nodes join: their rows are added by themselves (Carry).
    private void Reproject()
    {
        Underlay = MachineAddresses.Underlay(kernel, _configuration.NodeAddress, Node?.InternalIPs ?? [], _softwareChecksums.Keys.ToHashSet());
        var projected = NodeProjection.Project(_configuration.NodeName, Store.Nodes, _configuration, Store.Attachments, Underlay);
        kernel.Want(projected.Rows);
        Connect(projected.Network);
        _projected = projected.Degradations;
        Announced = ToAnnounce(Node);
        if (_configuration.DatastoreDirectory is not null && Node is { } node && Announced is { } announced && announced != node.ChosenAddresses)
            _projected = [.. _projected, new("underlay", $"this node sends from {string.Join(',', Underlay.Own)}, and other nodes take its Node's word for {string.Join(',', node.Underlay)}; give the Node the annotation {Datastore.Manifests.FromManifest.AddressesAnnotation}: \"{string.Join(',', announced)}\".")];
        Mtu = projected.Mtu;
        _projectedNode = projected with { Rows = projected.Rows with { Neighbors = [], Fdb = [], Routes = [] } }; // these the tables have
        _space = new(Store.Nodes);
        Aim(projected);
        _nodeStale = false;
    }

    // A node that has nothing to do with the others adds its rows to theirs.
    private bool TryJoin(Node node)
    {
        if (_projectedNode is not { } projected || JoinedNode.Of(_space, node, _configuration, Underlay, projected) is not { } joined || !kernel.TryAdd(joined.Rows))
            return false;
        _space.Add(node);
        _joined.AddRange(node.PodCidrs);
        _projection.AddToNetwork(node.PodCidrs);
        var subject = $"Node {node.Name}";
        _projected = [.. _projected.Where(degradation => degradation.Subject != subject), .. joined.Degradations];
        Aim(node, joined);
        return true;
    }

    private void Connect(PodNetwork network)
    {
        TakeInJoined();
        _verdictsChanged |= network != _network;
        _network = network;
        _projection.SetNetwork(network);
    }

    private void TakeInJoined()
    {
        if (_joined.Count == 0)
            return;
        _network = JoinedNode.Extend(_network, _joined);
        _joined.Clear();
    }

    private EquatableArray<InetAddress>? ToAnnounce(Node? node)
    {
        if (node is null || Underlay.Addresses.Count == 0)
            return null;
        return Underlay.Own == Underlay.Assumed(new NodeAddressChoice.Auto(), node.InternalIPs).Own ? [] : Underlay.Own;
    }

    private static string FirstDifference(string left, string right)
    {
        var (a, b) = (left.Split('\n'), right.Split('\n'));
        var line = a.Zip(b).TakeWhile(pair => pair.First == pair.Second).Count();
        return $"line {line + 1}: '{a.ElementAtOrDefault(line)}' against '{b.ElementAtOrDefault(line)}'";
    }
}
