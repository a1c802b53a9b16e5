using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Reconcile;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Kernel;

/// <summary>The kernel of one network namespace: its netlink sockets and the tables over them.</summary>
public sealed class NodeKernel : IDisposable
{
    private readonly NetlinkSocket _netfilter;
    private readonly LinkTable _links;
    private readonly AddressTable _addresses;
    private readonly NeighborTable _neighbors;
    private readonly FdbTable _fdb;
    private readonly RouteTable _routes;
    private InetAddress? _source;

    private NodeKernel(NetlinkSocket route, NetlinkSocket netfilter, FlowOffload offload)
    {
        Route = route;
        _netfilter = netfilter;
        _links = new(route);
        _addresses = new(route, _links);
        _neighbors = new(route, _links);
        _fdb = new(route, _links);
        _routes = new(route, _links);
        Routing = new(_links, _addresses, _neighbors, _fdb, _routes);
        Nftables = new(netfilter);
        Retired = new(route);
        Offload = offload;
    }

    /// <summary>Our nftables table.</summary>
    public NftablesTable Nftables { get; }

    /// <summary>Devices, addresses, neighbours, forwarding entries and routes.</summary>
    public Reconciler Routing { get; }

    /// <summary>The rtnetlink socket, for what is no row: interface pairs of pods.</summary>
    internal NetlinkSocket Route { get; }

    /// <summary>Pairs of unwired pods, to be removed.</summary>
    public RetiredLinks Retired { get; }

    /// <summary>The short way for established connections between pods.</summary>
    public FlowOffload Offload { get; }

    /// <summary>Devices.</summary>
    public LinkTable Links => _links;

    /// <summary>Opens the kernel of the calling thread's network namespace.</summary>
    /// <exception cref="NetlinkException">No rights, or a kernel without netlink or nf_tables.</exception>
    public static NodeKernel Open()
    {
        var route = NetlinkSocket.Open(NetlinkProtocol.NETLINK_ROUTE);
        try
        {
            return new(route, NetlinkSocket.Open(NetlinkProtocol.NETLINK_NETFILTER), FlowOffload.Open());
        }
        catch
        {
            route.Dispose();
            throw;
        }
    }

    /// <summary>What its sockets have sent.</summary>
    internal (long Messages, long Bytes) Sent => (Route.Sent.Messages + _netfilter.Sent.Messages, Route.Sent.Bytes + _netfilter.Sent.Bytes);

    /// <summary>Wants exactly these rows.</summary>
    public void Want(NodeRows rows)
    {
        _source = rows.PodSource;
        _links.Rows.WantExactly(rows.Links.ToDictionary(link => link.Name));
        _addresses.Rows.WantExactly(rows.Addresses.ToDictionary(address => address, _ => default(Present)));
        _neighbors.Rows.WantExactly(rows.Neighbors.ToDictionary(neighbor => neighbor.Key, neighbor => neighbor.LinkLayerAddress));
        _fdb.Rows.WantExactly(rows.Fdb.ToDictionary(entry => entry.Key, entry => entry.Destination));
        _routes.Rows.WantExactly(rows.Routes.ToDictionary(route => route.Key));
    }

    /// <summary>The rows wanted.</summary>
    public NodeRows Wanted()
    {
        var rows = new RowLists();
        rows.Links.AddRange(_links.Rows.Desired.Values);
        rows.Addresses.AddRange(_addresses.Rows.Desired.Keys);
        rows.Neighbors.AddRange(_neighbors.Rows.Desired.Select(row => new Neighbor(row.Key, row.Value)));
        rows.Fdb.AddRange(_fdb.Rows.Desired.Select(row => new FdbEntry(row.Key, row.Value)));
        foreach (var route in _routes.Rows.Desired.Values)
            rows.Add(route);
        return rows.Sorted() with { PodSource = _source };
    }

    /// <summary>Wants the rows of one more node.</summary>
    /// <returns>False, and nothing is done, when one of them is another's: then all rows are to be computed anew.</returns>
    public bool TryAdd(NodeRows rows)
    {
        foreach (var route in rows.Routes)
        {
            if (_routes.Rows.Desired.ContainsKey(route.Key))
                return false;
        }

        foreach (var entry in rows.Fdb)
        {
            if (_fdb.Rows.Desired.ContainsKey(entry.Key))
                return false;
        }

        foreach (var neighbor in rows.Neighbors)
        {
            if (_neighbors.Rows.Desired.ContainsKey(neighbor.Key))
                return false;
        }

        foreach (var neighbor in rows.Neighbors)
            _neighbors.Rows.Want(neighbor.Key, neighbor.LinkLayerAddress);
        foreach (var entry in rows.Fdb)
            _fdb.Rows.Want(entry.Key, entry.Destination);
        foreach (var route in rows.Routes)
            _routes.Rows.Want(route.Key, route);
        return true;
    }

    /// <summary>Wants the rows of one more pod.</summary>
    /// <returns>False, and nothing is done, when one of its routes is another's: then all rows are to be computed anew.</returns>
    public bool Want(Attachment attachment)
    {
        var rows = NodeProjection.RowsOf(attachment, _source).ToList();
        if (rows.Exists(row => _routes.Rows.Desired.ContainsKey(row.Route.Key)))
            return false;
        foreach (var (neighbor, route) in rows)
        {
            _neighbors.Rows.Want(neighbor.Key, neighbor.LinkLayerAddress);
            _routes.Rows.Want(route.Key, route);
        }

        return true;
    }

    /// <summary>No longer wants the rows of a pod.</summary>
    /// <returns>As <see cref="Want(Attachment)"/>.</returns>
    public bool Drop(Attachment attachment)
    {
        var rows = NodeProjection.RowsOf(attachment, _source).ToList();
        if (!rows.TrueForAll(row => _routes.Rows.Desired.TryGetValue(row.Route.Key, out var wanted) && wanted == row.Route))
            return false;
        foreach (var (neighbor, route) in rows)
        {
            _neighbors.Rows.Drop(neighbor.Key);
            _routes.Rows.Drop(route.Key);
        }

        return true;
    }

    /// <summary>Deletes UDP connections to host ports that are out of date: see <see cref="HostPortFlows"/>.</summary>
    /// <exception cref="NetlinkException">The kernel refuses, or cannot list connections.</exception>
    internal int Disconnect(IEnumerable<HostPort> ports, bool isWired) => HostPortFlows.Delete(Route, _netfilter, ports, isWired);

    /// <summary>How many UDP connections lead by these host ports to their pods.</summary>
    /// <exception cref="NetlinkException">The kernel refuses, or cannot list connections.</exception>
    internal int CountToHostPorts(IEnumerable<HostPort> ports) => HostPortFlows.Find(Route, _netfilter, ports, isWired: false).Count;

    /// <summary>Closes the sockets; nothing in the kernel changes.</summary>
    public void Dispose()
    {
        Retired.Dispose();
        Offload.Dispose();
        Route.Dispose();
        _netfilter.Dispose();
    }
}

/// <summary>The value of rows that are all key.</summary>
public readonly record struct Present;
