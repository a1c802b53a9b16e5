using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Route;
using Overlay.Dataplane.Reconcile;

namespace Overlay.Dataplane.Kernel;

/// <summary>Tunnel devices. One is ours when it has the name and the kind we would give it; a stranger with that name is left alone and reported.</summary>
/// <param name="socket">NETLINK_ROUTE.</param>
public sealed class LinkTable(NetlinkSocket socket) : KernelTable<string, Link>
{
    private Dictionary<string, int> _devices = [];
    private Dictionary<string, LinkMessage> _found = [];

    // Far above what the kernel gives by itself: it counts from 1 and never back.
    private int _lastIndex = 1_000_000;

    /// <summary>Every device of the namespace as last seen: name to ifindex.</summary>
    public IReadOnlyDictionary<string, int> Devices => _devices;

    /// <summary>A device was made outside this table: a pod's pair.</summary>
    public void Appeared(string name, int index) => _devices[name] = index;

    /// <summary>An ifindex for a device to be made: no device seen here has it, and none had it in this process's life.</summary>
    public int NextIndex() => ++_lastIndex;

    /// <summary>A device was removed outside this table.</summary>
    public void Vanished(string name) => _devices.Remove(name);

    /// <inheritdoc/>
    protected override Dictionary<string, Link> Dump()
    {
        var links = LinkMessage.Dump(socket);
        _devices = links.Where(link => link.Group != Ownership.RetiredGroup).ToDictionary(link => link.Name, link => link.Index, StringComparer.Ordinal);
        _lastIndex = links.Select(link => link.Index).Append(_lastIndex).Max();
        _found = links.Where(link => link.Name == Ownership.VxlanDevice).ToDictionary(link => link.Name, StringComparer.Ordinal);
        return _found.Values.Where(link => link.Kind == VxlanLink.Kind).ToDictionary(link => link.Name, Row, StringComparer.Ordinal);
    }

    /// <inheritdoc/>
    protected override IReadOnlyList<RowFailure> Upsert(IReadOnlyList<KeyValuePair<string, Link>> rows) =>
        Try(rows, row => Text(row.Key, row.Value), row => Make(row.Value));

    /// <inheritdoc/>
    protected override IReadOnlyList<RowFailure> Delete(IReadOnlyList<string> keys) =>
        Try(keys, name => $"delete {name}", Remove);

    /// <inheritdoc/>
    protected override string Text(string key, Link value) => NodeText.Print(value);

    // Attributes that cannot be changed in place make the row differ in its kind; a device that is down differs in its MTU.
    private static Link Row(LinkMessage link)
    {
        var vxlan = link.Vxlan!;
        var asMade = vxlan is { Learning: false, Remote: null, Local: not null };
        return new(
            link.Name,
            new LinkKind.Vxlan(asMade ? vxlan.Id : 0, vxlan.Port, vxlan.Local ?? default),
            link.Address ?? default,
            link.IsUp ? link.Mtu : 0);
    }

    private void Make(Link link)
    {
        if (_found.TryGetValue(link.Name, out var found))
        {
            if (found.Kind != VxlanLink.Kind)
                throw new NetlinkException(Errno.EEXIST, $"RTM_NEWLINK {link.Name}", $"a device of kind {found.Kind ?? "hardware"} has our name; rename or remove it");
            if (Row(found).Kind == link.Kind)
            {
                Set(link, found.Index);
                return;
            }

            Remove(link.Name);
        }

        Create(link);
    }

    private void Create(Link link)
    {
        var vxlan = (LinkKind.Vxlan)link.Kind;
        using var writer = new NetlinkWriter();
        LinkMessage.WriteNewVxlan(writer, socket.NextSequence(), new() { Name = link.Name, Address = link.Mac, Mtu = link.Mtu }, new(vxlan.Vni, vxlan.Port, vxlan.Local));
        socket.Request(writer, $"RTM_NEWLINK {NodeText.Print(link)}");
        Set(link, LinkMessage.Get(socket, link.Name)?.Index ?? throw new NetlinkException(Errno.ENODEV, $"RTM_GETLINK {link.Name}", "it was removed right after it was made"));
    }

    // Addresses are ours to give, so the kernel makes no link-local one; that must be said before the device is up.
    private void Set(Link link, int index)
    {
        using var writer = new NetlinkWriter();
        LinkMessage.WriteSet(writer, socket.NextSequence(), new() { Index = index, AddrGenMode = In6AddrGenMode.IN6_ADDR_GEN_MODE_NONE });
        LinkMessage.WriteSet(writer, socket.NextSequence(), new() { Index = index, Address = link.Mac, Mtu = link.Mtu, Up = true });
        socket.Request(writer, $"RTM_NEWLINK {NodeText.Print(link)}");
        _devices[link.Name] = index;
        Rows.Observe(link.Name, link);
        if (LinkMessage.Get(socket, index) is { } made)
            _found[link.Name] = made;
    }

    private void Remove(string name)
    {
        if (_devices.TryGetValue(name, out var index))
        {
            using var writer = new NetlinkWriter();
            LinkMessage.WriteDelete(writer, socket.NextSequence(), index);
            var failures = socket.Batch(writer);
            if (failures is [{ Errno: not Errno.ENODEV } failure])
                throw failure.ToException($"RTM_DELLINK {name}");
        }

        Vanished(name);
        _found.Remove(name);
        Rows.Forget(name);
    }

    private static List<RowFailure> Try<T>(IReadOnlyList<T> rows, Func<T, string> text, Action<T> act)
    {
        var failures = new List<RowFailure>();
        foreach (var row in rows)
        {
            try
            {
                act(row);
            }
            catch (NetlinkException e)
            {
                failures.Add(new(text(row), e.Message));
            }
        }

        return failures;
    }
}
