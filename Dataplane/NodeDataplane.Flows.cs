using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Kernel;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Explain;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Dataplane;

/// <content>
/// Which established connections are to be looked at again, and how they are judged. Looking costs time in proportion to all connections and to the size of the kernel's table of them, so it
/// is done at once only when the verdict of packets of a pod that was there before may have changed. A pod that comes changes no other pod's verdicts, and has no connections: unless one
/// that had its address before has left some.
/// </content>
internal sealed partial class NodeDataplane
{
    // What nobody is known to need is looked at all the same, for what is not known: a pod may have sent with an address that was nobody's.
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    // Addresses that pods left, with the number of the last look asked for until then.
    private readonly Dictionary<InetAddress, long> _departed = [];
    private FlowRemains _remains = FlowRemains.Unknown;
    private HashSet<InetAddress> _podAddresses = [];
    private long _looks;
    private bool _verdictsChanged;
    private bool _flowsStale;

    /// <summary>When <see cref="TakeStaleFlows"/> has something to say, if nothing happens before; null: never.</summary>
    public DateTime? FlowsDue { get; private set; }

    /// <summary>
    /// What to look for, when connections are to be looked at now: those that the ruleset allowed once may be forbidden, and the other way round. Null when there is no need.
    /// </summary>
    public FlowRequest? TakeStaleFlows()
    {
        if (!_flowsStale && !(FlowsDue <= DateTime.UtcNow))
            return null;
        (_flowsStale, FlowsDue) = (false, null);
        _podAddresses = Store.Attachments.SelectMany(attachment => attachment.Addresses).ToHashSet();
        return new(++_looks, _podAddresses, PodCidrs);
    }

    /// <summary>Lets the interfaces of the pods that are here now take part in the short way of established connections. A pod does from some seconds after its ADD on, so that its ADD has nothing to do with it.</summary>
    public void Offload()
    {
        try
        {
            kernel.Offload.Follow([.. kernel.Links.Rows.Desired.Keys, .. Store.Attachments.Select(attachment => attachment.HostInterface)]);
        }
        catch (Netlink.NetlinkException e)
        {
            Log.OffloadFailed(log, e.Message);
        }
    }

    /// <summary>Takes over what the last look found.</summary>
    public void Observe(FlowRemains remains)
    {
        if (remains == _remains)
            return;
        _remains = remains;
        foreach (var (address, _) in _departed.Where(departed => departed.Value < remains.Request).ToList())
            _departed.Remove(address);
    }

    /// <summary>Whether the ruleset would drop the first packet of such a connection, by what it says of packets from this node's pods when it comes from one, and of packets to them when it goes to one.</summary>
    public bool Forbids(Flow flow)
    {
        const string pod = RulesetOptions.PodInterfacePrefix, elsewhere = "";
        var (fromPod, toPod) = (_podAddresses.Contains(flow.Source), _podAddresses.Contains(flow.Destination));
        var packet = new Packet(
            flow.Source, flow.Destination, flow.Protocol, flow.DestinationPort, fromPod ? pod : elsewhere, flow.ToOwnNode ? null : toPod ? pod : elsewhere)
        {
            IcmpType = flow.IcmpType,
        };
        var tracer = new PacketTracer(_projection.View);
        return (fromPod && !tracer.Walk(packet, flow.ToOwnNode ? BaseChains.HostChain : BaseChains.EgressChain).Accepted)
            || (toPod && !tracer.Walk(packet, BaseChains.IngressChain).Accepted);
    }

    // Whether no packet of a pod that was there before, and none of an established connection, can meet another verdict because of this one.
    private bool IsNewcomer(Attachment attachment) =>
        Store.AttachmentsOf(attachment.Pod).Count == 0
        && (Store.Pod(attachment.Pod) is not { } known || known.Addresses.All(attachment.Addresses.Contains))
        && attachment.Addresses.All(address => !MayHaveFlows(address));

    private bool MayHaveFlows(InetAddress address) =>
        _remains == FlowRemains.Unknown || _departed.ContainsKey(address) || _remains.Addresses.Contains(address) || !_remains.Prefixes.Any(prefix => prefix.Contains(address));

    private void Departed(Attachment attachment)
    {
        // A pod that goes on with another interface may be seen in another light without this one.
        _verdictsChanged |= Store.AttachmentsOf(attachment.Pod).Count > 0;
        foreach (var address in attachment.Addresses)
            _departed[address] = _looks;
    }

    private void FlowsAfter(RulesetDelta delta)
    {
        if (_rulesetStale || (_verdictsChanged && !delta.IsEmpty))
            _flowsStale = true;
        else if (!delta.IsEmpty)
            FlowsDue ??= DateTime.UtcNow + Patience;
        _verdictsChanged = false;
    }
}
