using Overlay.CniShim.Protocol;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Kernel;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Route;
using Attachment = Overlay.Dataplane.Desired.Attachment;

namespace Overlay.Dataplane.Cni;

/// <summary>
/// A pod's bandwidth limits, all on the host's side, where no pod can take them off. What the pod receives goes through a token bucket of the host's end of its pair. What it sends comes in
/// there, where nothing can wait; so it is redirected to a device of its own (an ifb), waits in that one's token bucket, and comes back as if it had just come in by the pair.
/// </summary>
/// <param name="kernel">The node's kernel.</param>
internal sealed class PodShaping(NodeKernel kernel)
{
    private const int Attempts = 3;

    /// <summary>Sets the limits of a pod whose pair was just made and is down; nothing for a pod without any.</summary>
    /// <param name="attachment">The pod.</param>
    /// <param name="index">ifindex of the host's end.</param>
    /// <param name="mtu">Of the pair.</param>
    /// <exception cref="KernelLacksException">The kernel has no part for it.</exception>
    /// <exception cref="NetlinkException">The kernel refused. What was made is for the caller to undo by <see cref="PodWiring.Unwire"/>.</exception>
    public void Limit(Attachment attachment, int index, int mtu)
    {
        var name = attachment.HostInterface;
        if (attachment.Egress is { } egress)
        {
            var shaper = Ownership.Shaper(name);
            var target = CreateShaper(shaper, mtu);
            Fault.Pass(FaultPoint.AgentShaperMade);
            Bucket(shaper, target, egress);
            SetUp(shaper, target);
            Ask($"RTM_NEWQDISC dev {name} ingress", "sch_ingress", (writer, sequence) => QdiscMessage.WriteNewIngress(writer, sequence, index));
            Ask($"RTM_NEWTFILTER dev {name} u32 action mirred redirect dev {shaper}", "cls_u32 act_mirred", (writer, sequence) => FilterMessage.WriteNewRedirect(writer, sequence, index, target));
            Fault.Pass(FaultPoint.AgentEgressLimited);
        }

        if (attachment.Ingress is { } ingress)
        {
            Bucket(name, index, ingress);
            Fault.Pass(FaultPoint.AgentIngressLimited);
        }
    }

    /// <summary>What of the limits is not as it was made; empty when all is well, or the pod has none.</summary>
    /// <param name="attachment">The pod.</param>
    /// <param name="index">ifindex of the host's end.</param>
    /// <exception cref="NetlinkException">The kernel refused to tell.</exception>
    public IReadOnlyList<string> Damage(Attachment attachment, int index)
    {
        if (attachment is { Ingress: null, Egress: null })
            return [];
        var name = attachment.HostInterface;
        var disciplines = QdiscMessage.Dump(kernel.Route);
        var damage = new List<string>();
        if (attachment.Ingress is { } ingress && !HasBucket(disciplines, index, ingress))
            damage.Add($"what the pod receives is not limited as asked: {name} has not the root qdisc tbf {Text(ingress)}");
        if (attachment.Egress is not { } egress)
            return damage;
        var shaper = Ownership.Shaper(name);
        if (LinkMessage.Get(kernel.Route, shaper) is not { Kind: LinkMessage.Ifb } found)
            return [.. damage, $"what the pod sends is lost: the host has no ifb {shaper} to which it is redirected"];
        if (!found.IsUp)
            damage.Add($"what the pod sends is lost: {shaper} is down");
        if (!HasBucket(disciplines, found.Index, egress))
            damage.Add($"what the pod sends is not limited as asked: {shaper} has not the root qdisc tbf {Text(egress)}");
        if (!disciplines.Exists(qdisc => qdisc.Index == index && qdisc is { Kind: "ingress", Handle: TcHandle.Ingress }))
            damage.Add($"what the pod sends is not limited: {name} lacks the qdisc ingress");
        else if (FilterMessage.DumpIngress(kernel.Route, index).Where(filter => filter.Kind != "u32" || filter.HasKey).ToList() is not [var only] || only.Redirect != found.Index)
            damage.Add($"what the pod sends is not limited: {name} has not just the one filter that redirects all to {shaper}");
        return damage;
    }

    private static bool HasBucket(List<QdiscMessage> disciplines, int index, RateLimit limit) =>
        disciplines.Exists(qdisc => qdisc.Index == index && qdisc.Parent == TcHandle.TC_H_ROOT && qdisc.Tbf?.IsOf((ulong)limit.Rate, limit.Burst, limit.Queue) == true);

    private static string Text(RateLimit limit) => $"rate {limit.Rate}bps burst {limit.Burst}b limit {limit.Queue}b"; // as tc(8): bps is bytes a second

    private void Bucket(string device, int index, RateLimit limit) =>
        Ask($"RTM_NEWQDISC dev {device} root tbf {Text(limit)}", "sch_tbf", (writer, sequence) => QdiscMessage.WriteNewTbf(writer, sequence, index, (ulong)limit.Rate, limit.Burst, limit.Queue));

    // The name may still be that of one that is out of service, or of what a crash left.
    private int CreateShaper(string name, int mtu)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                var index = kernel.Links.NextIndex();
                Ask($"RTM_NEWLINK {name} type ifb", "ifb", (writer, sequence) => LinkMessage.WriteNewIfb(writer, sequence, new() { Index = index, Name = name, Mtu = mtu }));
                kernel.Links.Appeared(name, index, mtu);
                return index;
            }
            catch (NetlinkException refused) when (refused.Errno is Errno.EEXIST or Errno.EBUSY && attempt < Attempts)
            {
                if (LinkMessage.Get(kernel.Route, name) is { } found)
                    kernel.Retired.Add(0, found.Index);
                kernel.Retired.Flush();
            }
        }
    }

    // It never speaks for itself, and so needs no address.
    private void SetUp(string device, int index)
    {
        using var writer = new NetlinkWriter();
        LinkMessage.WriteSet(writer, kernel.Route.NextSequence(), new() { Index = index, AddrGenMode = In6AddrGenMode.IN6_ADDR_GEN_MODE_NONE });
        LinkMessage.WriteSet(writer, kernel.Route.NextSequence(), new() { Index = index, Up = true });
        kernel.Route.Request(writer, $"set up {device}");
    }

    private void Ask(string operation, string modules, Action<NetlinkWriter, uint> write)
    {
        using var writer = new NetlinkWriter();
        write(writer, kernel.Route.NextSequence());
        if (kernel.Route.Batch(writer) is not [var failure, ..])
            return;
        var refusal = failure.ToException(operation);

        // The kernel has looked for a module by itself. ENOENT: of a qdisc, a filter or an action; EOPNOTSUPP: of a device, or of everything of that kind.
        throw failure.Errno is Errno.ENOENT or Errno.EOPNOTSUPP
            ? new KernelLacksException($"this node's kernel cannot limit bandwidth: {refusal.Message}. Give it what is missing (modprobe -a {modules}), or ask for no limit.", refusal)
            : refusal;
    }
}

/// <summary>The kernel has no part, built in or as a module, for what a pod asks for; the message says which and what to do.</summary>
internal sealed class KernelLacksException(string message, Exception inner) : Exception(message, inner);
