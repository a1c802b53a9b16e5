using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Conntrack;
using Overlay.Dataplane.Netlink.Route;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Kernel;

/// <summary>
/// The connections that the kernel tracks in one network namespace, and our bit of their mark (<see cref="RulesetOptions.RevokedMark"/>). It has sockets of its own, so that
/// a thread of its own can read 100,000 connections while others work. None is deleted here: its next packet would be taken for the first of a new one,
/// perhaps in the other direction, and that one may be allowed.
/// </summary>
public sealed class FlowTable : IDisposable
{
    // Errors are queued until the batch is through, about 1.3 kB of receive buffer each.
    private const int MessagesPerBatch = 256;
    private static readonly Cidr Loopback = Cidr.Parse("127.0.0.0/8");
    private const uint Mark = RulesetOptions.RevokedMark;

    private readonly NetlinkSocket _netfilter;
    private readonly NetlinkSocket _route;

    private FlowTable(NetlinkSocket route, NetlinkSocket netfilter)
    {
        _route = route;
        _netfilter = netfilter;
    }

    /// <summary>Opens the calling thread's network namespace.</summary>
    /// <exception cref="NetlinkException">No rights, or a kernel without netlink.</exception>
    public static FlowTable Open()
    {
        var route = NetlinkSocket.Open(NetlinkProtocol.NETLINK_ROUTE);
        try
        {
            return new(route, NetlinkSocket.Open(NetlinkProtocol.NETLINK_NETFILTER));
        }
        catch
        {
            route.Dispose();
            throw;
        }
    }

    /// <summary>Reads the connections that policy judges here: all of these pods' but those that their own node began. Time in proportion to all connections, memory to what policy can tell apart.</summary>
    /// <exception cref="NetlinkException">The kernel refuses, or cannot list connections.</exception>
    public FlowSurvey Survey(FlowRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        var pods = request.Pods;
        var own = OwnAddresses();
        var remains = new HashSet<InetAddress>();
        Cidr[] prefixes = [.. request.Prefixes];
        var flows = new Dictionary<Flow, bool>();
        var (connections, marked) = (0, 0);
        ConntrackMessage.Dump<Flow>(_netfilter, (message, _) =>
        {
            var connection = ConntrackMessage.Parse(message);
            Remember(connection.Original.Source);
            Remember(connection.Reply.Source);
            if (!IsJudged(connection, pods, own))
                return;
            flows.TryAdd(FlowOf(connection, own), false);
            connections++;
            marked += (connection.Mark & Mark) != 0 ? 1 : 0;
        });
        return new(own, flows, connections, marked, new(request.Number, request.Prefixes, remains));

        void Remember(InetAddress address)
        {
            foreach (var prefix in prefixes)
            {
                if (prefix.Contains(address) && !pods.Contains(address))
                    remains.Add(address);
            }
        }
    }

    /// <summary>Sets and clears the mark as the survey's verdicts demand. Connections that are new since have been judged by the ruleset and are left alone.</summary>
    /// <exception cref="NetlinkException">The kernel refuses, or cannot list connections.</exception>
    public FlowChanges Apply(FlowSurvey survey)
    {
        ArgumentNullException.ThrowIfNull(survey);
        if (survey.Marked == 0 && !survey.Flows.ContainsValue(true))
            return default;
        var changes = ConntrackMessage.Dump<ConntrackMessage>(_netfilter, (message, changes) =>
        {
            var connection = ConntrackMessage.Parse(message);
            if (!IsExpected(connection) && survey.Flows.TryGetValue(FlowOf(connection, survey.OwnAddresses), out var forbidden) && forbidden != IsMarked(connection))
                changes.Add(connection);
        });
        return Write(changes);
    }

    /// <summary>How many connections have the mark.</summary>
    /// <exception cref="NetlinkException">The kernel refuses, or cannot list connections.</exception>
    public int CountMarked() => ConntrackMessage.Dump<Present>(_netfilter, static (_, marked) => marked.Add(default), Mark).Count;

    /// <summary>Clears the mark of every connection: nothing of ours is left.</summary>
    /// <exception cref="NetlinkException">The kernel refuses, or cannot list connections.</exception>
    public int Clear() => Write(ConntrackMessage.Dump<ConntrackMessage>(_netfilter, static (message, marked) => marked.Add(ConntrackMessage.Parse(message)), Mark)).Restored;

    /// <summary>Closes the sockets.</summary>
    public void Dispose()
    {
        _netfilter.Dispose();
        _route.Dispose();
    }

    private static bool IsMarked(in ConntrackMessage connection) => (connection.Mark & Mark) != 0;

    // What belongs to another connection (FTP's data) was let in as that one's, and goes with it.
    private static bool IsExpected(in ConntrackMessage connection) => (connection.Status & IpConntrackStatus.IPS_EXPECTED) != 0;

    // What a node sends to its own pods is its own business; to their host ports it does so from any loopback address.
    private static bool IsJudged(in ConntrackMessage connection, IReadOnlySet<InetAddress> pods, HashSet<InetAddress> own) =>
        (pods.Contains(connection.Original.Source) || (pods.Contains(connection.Reply.Source) && !own.Contains(connection.Original.Source) && !Loopback.Contains(connection.Original.Source))) && !IsExpected(connection);

    private static Flow FlowOf(in ConntrackMessage connection, IReadOnlySet<InetAddress> own)
    {
        var (original, destination) = (connection.Original, connection.Reply.Source);
        return original.Protocol is ConntrackTuple.IPPROTO_ICMP or ConntrackTuple.IPPROTO_ICMPV6
            ? new(original.Source, destination, original.Protocol, 0, (byte)(original.DestinationPort >> 8), own.Contains(destination))
            : new(original.Source, destination, original.Protocol, connection.Reply.SourcePort, 0, own.Contains(destination));
    }

    private HashSet<InetAddress> OwnAddresses() => AddressMessage.Dump(_route).Select(address => address.Prefix.Address).ToHashSet();

    private FlowChanges Write(List<ConntrackMessage> connections)
    {
        var (revoked, restored) = (0, 0);
        using var writer = new NetlinkWriter();
        foreach (var batch in connections.Chunk(MessagesPerBatch))
        {
            writer.Clear();
            var last = default(NetlinkMark);
            foreach (var connection in batch)
                last = connection.WriteMark(writer, _netfilter.NextSequence(), ~connection.Mark & Mark, Mark);
            writer.AddFlags(last, (ushort)NlmF.NLM_F_ACK);
            var failures = _netfilter.Batch(writer);
            if (failures.FirstOrDefault(failure => failure.Errno != Errno.ENOENT) is { } failure)
                throw failure.ToException("IPCTNL_MSG_CT_NEW mark");

            // Those that ended meanwhile count as well: which they were is not worth telling.
            revoked += batch.Count(connection => !IsMarked(connection));
            restored += batch.Count(connection => IsMarked(connection));
        }

        return new(revoked, restored);
    }
}
