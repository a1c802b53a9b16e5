using Overlay.CniShim.Protocol;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Kernel;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Route;
using Overlay.PolicyEngine.Model;
using Attachment = Overlay.Dataplane.Desired.Attachment;

namespace Overlay.Dataplane.Cni;

/// <summary>
/// A pod's interface pair: the host's end carries the gateway, the pod's end is born in the pod's namespace with its addresses and a default route.
/// The pod sees a /32 or /128 and one neighbour, the gateway; everything it sends is routed, so that every packet passes the forward hook.
/// </summary>
/// <param name="kernel">The node's kernel.</param>
internal sealed class PodWiring(NodeKernel kernel)
{
    private const int Loopback = 1;
    private static readonly Cidr HostLinkLocal = new(Ownership.GatewayIPv6, 64);

    private readonly PodShaping _shaping = new(kernel);

    /// <summary>Makes the pair, up and with addresses and routes of the pod's side. The pod's policy must be in the kernel before.</summary>
    /// <exception cref="NetnsException">There is no such namespace, or it is the node's own.</exception>
    /// <exception cref="NetlinkException">The kernel refused. What was made is for the caller to undo by <see cref="Unwire"/>.</exception>
    /// <exception cref="KernelLacksException">The kernel cannot limit the pod's bandwidth.</exception>
    /// <exception cref="IOException">IPv6 is switched off in the pod's namespace and cannot be switched on, or a sysctl of the host's end cannot be set.</exception>
    public void Wire(Attachment attachment, int mtu)
    {
        using var netns = Netns.OpenForeign(attachment.NetnsPath);
        var index = Create(attachment, mtu, netns);
        Fault.Pass(FaultPoint.AgentPairMade);
        _shaping.Limit(attachment, index, mtu);
        SetUpOutside(attachment, index);
        Fault.Pass(FaultPoint.AgentHostEndUp);

        // The node's own 127.0.0.1 reaches a host port too. What the pod might send to such an address is dropped in chain hostport-input.
        if (attachment.HostPorts.Any(port => port.PodAddress.Family == Family.IPv4))
            Sysctl.Set($"ipv4/conf/{attachment.HostInterface}/route_localnet", 1);

        SetUpInside(netns, attachment, index);
        Fault.Pass(FaultPoint.AgentPodEndUp);
    }

    /// <summary>Brings the host's routes and neighbours of a pod just wired into the kernel, with whatever else is pending there.</summary>
    /// <exception cref="IOException">The kernel refused a row of this pod.</exception>
    /// <exception cref="NetlinkException">The kernel gave no answer.</exception>
    public void Route(Attachment attachment)
    {
        foreach (var failure in kernel.Routing.Apply())
        {
            if (failure.Row.Contains($"dev {attachment.HostInterface}", StringComparison.Ordinal))
                throw new IOException(failure.ToString());
        }
    }

    /// <summary>Ends the UDP connections to a pod's host ports that began when these led elsewhere, or that lead to it though it is gone.</summary>
    /// <exception cref="NetlinkException">The kernel refused.</exception>
    public void Disconnect(Attachment attachment, bool isWired) => kernel.Disconnect(attachment.HostPorts, isWired);

    /// <summary>Takes a pair out of service by the name of its host's end: no packet passes it any more, and it is removed soon (<see cref="RetiredLinks"/>), with the device that shapes what its pod sends. One that is not there is no failure.</summary>
    /// <exception cref="NetlinkException">The kernel refused.</exception>
    public void Unwire(string hostInterface)
    {
        var shaper = Ownership.Shaper(hostInterface);
        var isKnown = kernel.Links.Devices.TryGetValue(hostInterface, out var index);
        if (!isKnown)
            index = IndexOf(hostInterface);

        // A pair goes with the pod's namespace; what shaped it stays.
        if (!kernel.Links.Devices.TryGetValue(shaper, out var shaperIndex) && !isKnown)
            shaperIndex = IndexOf(shaper);
        if (index != 0 || shaperIndex != 0)
            kernel.Retired.Add(index, shaperIndex);
        kernel.Links.Vanished(hostInterface);
        kernel.Links.Vanished(shaper);
    }

    /// <summary>Gives a pod's pair another MTU: both ends, as a packet that one of them takes and the other does not is lost without a word; the narrower moment comes first.</summary>
    /// <returns>Whether there was something to do.</returns>
    /// <exception cref="NetnsException">The pod's namespace cannot be entered; both ends keep what they have.</exception>
    /// <exception cref="NetlinkException">The kernel refused.</exception>
    public bool Resize(Attachment attachment, int mtu)
    {
        if (kernel.Links.MtuOf(attachment.HostInterface) is not { } now || now == mtu)
            return false;
        var host = kernel.Links.Devices[attachment.HostInterface];
        using var netns = Netns.OpenForeign(attachment.NetnsPath);
        using var inside = netns.OpenSocket(NetlinkProtocol.NETLINK_ROUTE);
        var pod = LinkMessage.Get(inside, attachment.IfName)?.Index ?? throw new NetlinkException(Errno.ENODEV, $"RTM_GETLINK {attachment.IfName}", $"pod {attachment.Pod} has no such interface");
        (NetlinkSocket Socket, int Index)[] ends = [(inside, pod), (kernel.Route, host)];
        foreach (var (socket, index) in mtu < now ? ends : ends.Reverse())
        {
            using var writer = new NetlinkWriter();
            LinkMessage.WriteSet(writer, socket.NextSequence(), new() { Index = index, Mtu = mtu });
            socket.Request(writer, $"mtu {mtu} of pod {attachment.Pod}");
        }

        kernel.Links.Appeared(attachment.HostInterface, host, mtu);
        return true;
    }

    private static string Alias(Attachment attachment)
    {
        // IFALIASZ is 256; the name is for people, the attachment file is the record.
        var alias = $"{attachment.Pod} {attachment.ContainerId}";
        return alias.Length <= 255 ? alias : alias[..255];
    }

    // Both ends have the same index, chosen here: nothing need be read back.
    private int Create(Attachment attachment, int mtu, Netns netns)
    {
        var operation = $"RTM_NEWLINK {attachment.HostInterface} type veth peer {attachment.IfName} of pod {attachment.Pod}";
        for (var attempt = 1; ; attempt++)
        {
            var index = kernel.Links.NextIndex();
            using var writer = new NetlinkWriter();
            LinkMessage.WriteNewVeth(
                writer,
                kernel.Route.NextSequence(),
                new() { Index = index, Name = attachment.HostInterface, Address = Ownership.HostMac, Mtu = mtu },
                new() { Index = index, Name = attachment.IfName, Address = attachment.PodMac, Mtu = mtu, NetnsDescriptor = netns.Descriptor });
            if (kernel.Route.Batch(writer) is not [var failure, ..])
            {
                kernel.Links.Appeared(attachment.HostInterface, index, mtu);
                return index;
            }

            if (failure.Errno is not (Errno.EEXIST or Errno.EBUSY))
                throw failure.ToException(operation);
            if (attempt == 3)
                throw new NetlinkException(Errno.EEXIST, operation, $"the pod's namespace already has an interface {attachment.IfName}; remove it, or choose another CNI_IFNAME");
            GiveWay(attachment.HostInterface);
        }
    }

    // A name may be that of a pair already out of service, or, as it derives from the container, what an ADD cut short left behind. An index may be a stranger's; the next is another.
    private void GiveWay(string hostInterface)
    {
        Unwire(hostInterface);
        kernel.Retired.Flush();
    }

    private void SetUpOutside(Attachment attachment, int index)
    {
        using var writer = new NetlinkWriter();
        var socket = kernel.Route;
        LinkMessage.WriteSet(writer, socket.NextSequence(), new() { Index = index, Alias = Alias(attachment), AddrGenMode = In6AddrGenMode.IN6_ADDR_GEN_MODE_NONE });
        LinkMessage.WriteSet(writer, socket.NextSequence(), new() { Index = index, Up = true });
        if (attachment.Addresses.Any(address => address.Family == Family.IPv6))
            AddressMessage.WriteNew(writer, socket.NextSequence(), new() { Index = index, Prefix = HostLinkLocal, Flags = IfaF.IFA_F_NODAD, Scope = RtScope.RT_SCOPE_LINK });
        socket.Request(writer, $"set up {attachment.HostInterface} of pod {attachment.Pod}");
    }

    private static void SetUpInside(Netns netns, Attachment attachment, int index)
    {
        using var inside = netns.OpenSocket(NetlinkProtocol.NETLINK_ROUTE);
        try
        {
            SetUpInside(inside, attachment, index, attachment.Addresses);
        }
        catch (NetlinkException refused) when (refused.Errno == Errno.EACCES && attachment.Addresses.Any(address => address.Family == Family.IPv6))
        {
            // Some runtimes switch IPv6 off in new namespaces; only the sysctl switches it on.
            if (!netns.Run(() => Sysctl.Set($"ipv6/conf/{attachment.IfName}/disable_ipv6", 0)))
                throw;
            SetUpInside(inside, attachment, index, attachment.Addresses.Where(address => address.Family == Family.IPv6));
        }

        SetUpRoutes(inside, attachment, index);
    }

    private static void SetUpInside(NetlinkSocket socket, Attachment attachment, int index, IEnumerable<InetAddress> addresses)
    {
        using var writer = new NetlinkWriter();
        LinkMessage.WriteSet(writer, socket.NextSequence(), new() { Index = Loopback, Up = true });
        LinkMessage.WriteSet(writer, socket.NextSequence(), new() { Index = index, Up = true });
        foreach (var address in addresses)
        {
            var gateway = Ownership.Gateway(address.Family);
            AddressMessage.WriteNew(writer, socket.NextSequence(), new() { Index = index, Prefix = Cidr.Host(address), Flags = address.Family == Family.IPv6 ? IfaF.IFA_F_NODAD : IfaF.None });
            NeighborMessage.WriteReplace(writer, socket.NextSequence(), NeighborMessage.Permanent(index, gateway, Ownership.HostMac));
        }

        socket.Request(writer, $"set up {attachment.IfName} of pod {attachment.Pod}");
    }

    // Another interface of the pod, of ours or of somebody else's, may be the way out already: it stays the way, and this one comes after it, under a metric that no other has.
    private static void SetUpRoutes(NetlinkSocket socket, Attachment attachment, int index)
    {
        using var writer = new NetlinkWriter();
        var sent = attachment.Addresses.Select(address => address.Family).Distinct().SelectMany(family => RoutesOut(family, index)).ToDictionary(_ => socket.NextSequence());
        foreach (var (sequence, route) in sent)
            RouteMessage.WriteNew(writer, sequence, route);
        var refused = socket.Batch(writer);
        if (refused.Count == 0)
            return;
        var operation = $"routes by {attachment.IfName} of pod {attachment.Pod}";
        var behind = refused.Where(failure => failure.Errno == Errno.EEXIST).Select(failure => FamilyOf(failure)).ToHashSet();
        if (refused.FirstOrDefault(failure => !behind.Contains(FamilyOf(failure))) is { } other)
            throw other.ToException(operation);
        using var second = new NetlinkWriter();
        foreach (var family in behind)
        {
            foreach (var route in RoutesOut(family, index))
                RouteMessage.WriteReplace(second, socket.NextSequence(), route with { Priority = (uint)index, Flags = route.Gateway is null ? RtnhF.None : RtnhF.RTNH_F_ONLINK });
        }

        socket.Request(second, operation);

        Family FamilyOf(NetlinkFailure failure) => sent[failure.Sequence].Destination.Family;
    }

    private static IEnumerable<RouteMessage> RoutesOut(Family family, int index)
    {
        var gateway = Ownership.Gateway(family);
        if (family == Family.IPv4)
            yield return new() { Destination = Cidr.Host(gateway), OutputInterface = index };
        yield return new() { Destination = Everything(family), Gateway = gateway, OutputInterface = index };
    }

    private int IndexOf(string device) => LinkMessage.Get(kernel.Route, device)?.Index ?? 0;

    private static Cidr Everything(Family family) => new(new(family, 0), 0);
}
