using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Conntrack;
using Overlay.Dataplane.Netlink.Route;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Kernel;

/// <summary>
/// UDP connections to host ports. The kernel translates a connection's packets as it did the first, and without an end of its own a connection of a steady sender lasts for ever: to the
/// pod that had the port before, or to the node when nobody had it. So those are deleted, and the next packet begins a new one, by the ruleset as it is.
/// </summary>
internal static class HostPortFlows
{
    // Errors are queued until the batch is through, about 1.3 kB of receive buffer each.
    private const int MessagesPerBatch = 256;

    /// <summary>Deletes what is out of date; looks at all connections of the node if one of the ports is of UDP.</summary>
    /// <param name="route">NETLINK_ROUTE.</param>
    /// <param name="netfilter">NETLINK_NETFILTER.</param>
    /// <param name="ports">Host ports that lead to their pods from now on, or no longer.</param>
    /// <param name="isWired">Which of the two.</param>
    /// <returns>How many were deleted.</returns>
    /// <exception cref="NetlinkException">The kernel refuses, or cannot list connections.</exception>
    public static int Delete(NetlinkSocket route, NetlinkSocket netfilter, IEnumerable<HostPort> ports, bool isWired)
    {
        var stale = Find(route, netfilter, ports, isWired);
        using var writer = new NetlinkWriter();
        foreach (var batch in stale.Chunk(MessagesPerBatch))
        {
            writer.Clear();
            var last = default(NetlinkMark);
            foreach (var connection in batch)
                last = connection.WriteDelete(writer, netfilter.NextSequence());
            writer.AddFlags(last, (ushort)NlmF.NLM_F_ACK);
            if (netfilter.Batch(writer).FirstOrDefault(failure => failure.Errno != Errno.ENOENT) is { } failure)
                throw failure.ToException("IPCTNL_MSG_CT_DELETE");
        }

        return stale.Count;
    }

    /// <summary>Lists them; arguments and errors as those of <see cref="Delete"/>.</summary>
    public static List<ConntrackMessage> Find(NetlinkSocket route, NetlinkSocket netfilter, IEnumerable<HostPort> ports, bool isWired)
    {
        var ofUdp = ports.Where(port => port.Protocol == IpProtocol.Udp).ToList();
        if (ofUdp.Count == 0)
            return [];
        var own = AddressMessage.Dump(route).Select(address => address.Prefix.Address).ToHashSet();
        return ConntrackMessage.Dump<ConntrackMessage>(netfilter, (message, found) =>
        {
            var connection = ConntrackMessage.Parse(message);
            if (ofUdp.Exists(port => IsTo(port, connection.Original, own) && LeadsTo(port, connection.Reply) != isWired))
                found.Add(connection);
        });
    }

    private static bool IsTo(HostPort port, in ConntrackTuple original, HashSet<InetAddress> own) =>
        original.Protocol == (byte)IpProtocol.Udp && original.DestinationPort == port.Port && original.Destination.Family == port.PodAddress.Family
        && (port.NodeAddress is { } address ? address == original.Destination : own.Contains(original.Destination));

    private static bool LeadsTo(HostPort port, in ConntrackTuple reply) => reply.Source == port.PodAddress && reply.SourcePort == port.PodPort;
}
