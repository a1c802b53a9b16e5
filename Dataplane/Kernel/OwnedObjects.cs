using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Route;
using Overlay.Dataplane.Reconcile;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Dataplane.Kernel;

/// <summary>Something of ours on a node.</summary>
/// <param name="Kind">What it is: <c>table</c>, <c>tunnel</c>, <c>pod</c>, <c>shaper</c>, <c>retired</c>, <c>route</c>, <c>connection</c> or <c>file</c>.</param>
/// <param name="Name">Which: its name, a route as ip(8) prints it, or a path.</param>
/// <param name="Detail">More of it, for people; may be empty.</param>
public sealed record OwnedObject(string Kind, string Name, string Detail = "");

/// <summary>
/// Everything in the kernel of one network namespace that is ours (<see cref="Ownership"/>), recognised without memory, and its removal. Addresses, neighbours, forwarding entries and queueing
/// disciplines are on devices of ours and go with these. Sysctls are nobody's: they stay as they are.
/// </summary>
public sealed class OwnedObjects : IDisposable
{
    private readonly NodeKernel _kernel;
    private readonly RouteTable _routes;
    private readonly FlowTable _flows;
    private readonly IReadOnlyList<HostPort> _ports;

    private OwnedObjects(NodeKernel kernel, FlowTable flows, IReadOnlyList<HostPort> ports)
    {
        _kernel = kernel;
        _routes = new(kernel.Route, kernel.Links);
        _flows = flows;
        _ports = ports;
    }

    /// <summary>Opens the kernel of the calling thread's network namespace.</summary>
    /// <param name="ports">Host ports that lead, or led, to pods of this node: UDP connections to them go on being translated until they are deleted.</param>
    /// <exception cref="NetlinkException">No rights, or a kernel without netlink.</exception>
    public static OwnedObjects Open(IReadOnlyList<HostPort> ports)
    {
        var kernel = NodeKernel.Open();
        try
        {
            return new(kernel, FlowTable.Open(), ports);
        }
        catch
        {
            kernel.Dispose();
            throw;
        }
    }

    /// <summary>Reads the kernel; changes nothing.</summary>
    /// <exception cref="NetlinkException">The kernel could not be read.</exception>
    public IReadOnlyList<OwnedObject> List()
    {
        var objects = new List<OwnedObject>();
        if (_kernel.Nftables.Dump() is { Table: not null } dump)
            objects.Add(new("table", $"inet {Ruleset.Table}", $"nftables: {dump.Chains.Count} chains, {dump.Sets.Count} sets and maps"));
        if (_kernel.Offload.Exists())
            objects.Add(new("table", $"inet {FlowOffload.Table}", "nftables: the flowtable of established connections"));
        _kernel.Links.Resync();
        objects.AddRange(_kernel.Links.Rows.Actual.OrderBy(row => row.Key, StringComparer.Ordinal).Select(row => new OwnedObject("tunnel", row.Key, NodeText.Print(row.Value)[row.Key.Length..].TrimStart())));
        objects.AddRange(PodDevices().Select(link => new OwnedObject(KindOf(link)!, link.Name, link.Alias ?? "")));
        _routes.Resync();
        objects.AddRange(_routes.Rows.Actual.Select(row => NodeText.Print(row.Value)).Order(StringComparer.Ordinal).Select(route => new OwnedObject("route", route)));
        if (Connections() is > 0 and var connections)
            objects.Add(new("connection", $"{connections} connections", "cut by policy, or to a host port"));
        return objects;
    }

    /// <summary>
    /// Removes everything: pods' interfaces first, so that no pod is ever without its policy, the table after them. What is refused stops nothing else.
    /// </summary>
    /// <returns>What was refused.</returns>
    /// <exception cref="NetlinkException">The kernel could not be read.</exception>
    public IReadOnlyList<RowFailure> Remove()
    {
        var failures = new List<RowFailure>();
        Try($"table inet {FlowOffload.Table}", _kernel.Offload.Remove); // so that what is left of connections passes the chains again
        Try("pods' interfaces", RemovePods);
        _kernel.Links.Resync();
        _routes.Resync();
        failures.AddRange(_routes.ApplyDeletes());
        failures.AddRange(_kernel.Links.ApplyDeletes());
        Try($"table inet {Ruleset.Table}", () => _kernel.Nftables.Delete());
        Try("connections", ReleaseConnections);
        return failures;

        void Try(string what, Action remove)
        {
            try
            {
                remove();
            }
            catch (Exception e) when (e is NetlinkException or NftablesException)
            {
                failures.Add(new(what, e.Message));
            }
        }
    }

    /// <summary>Closes the sockets.</summary>
    public void Dispose()
    {
        _flows.Dispose();
        _kernel.Dispose();
    }

    private IEnumerable<LinkMessage> PodDevices() => LinkMessage.Dump(_kernel.Route).Where(link => KindOf(link) is not null).OrderBy(link => link.Name, StringComparer.Ordinal);

    private static string? KindOf(LinkMessage link) => link switch
    {
        { Group: Ownership.RetiredGroup } => "retired",
        { Kind: "veth" } when Ownership.IsPodInterface(link.Name) => "pod",
        { Kind: LinkMessage.Ifb } when Ownership.IsShaper(link.Name) => "shaper",
        _ => null,
    };

    // Together: the kernel needs a grace period for each removal, however many devices it takes.
    private void RemovePods()
    {
        foreach (var link in PodDevices())
            _kernel.Retired.Add(link.Index);
        _kernel.Retired.Flush();
    }

    private int Connections() => OfConnections(() => _flows.CountMarked() + _kernel.CountToHostPorts(_ports));

    private void ReleaseConnections() => OfConnections(() => _flows.Clear() + _kernel.Disconnect(_ports, isWired: false));

    // A kernel that cannot list connections has none that we ever changed.
    private static int OfConnections(Func<int> count)
    {
        try
        {
            return count();
        }
        catch (NetlinkException e) when (e.Errno is Errno.EINVAL or Errno.EOPNOTSUPP)
        {
            return 0;
        }
    }
}
