using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Route;
using Overlay.Dataplane.Reconcile;
using Overlay.PolicyEngine.Model;
using Route = Overlay.Dataplane.Desired.Route;

namespace Overlay.Dataplane.Kernel;

/// <summary>Routes of the main table with our protocol number.</summary>
public sealed class RouteTable(NetlinkSocket socket, LinkTable links) : RtnetlinkTable<RouteKey, Route>(socket, links)
{
    /// <inheritdoc/>
    protected override Dictionary<RouteKey, Route> Dump()
    {
        var names = Devices.ToDictionary(device => device.Value, device => device.Key);
        var rows = new Dictionary<RouteKey, Route>();
        foreach (var family in FamilyFacts.Both)
        {
            foreach (var route in RouteMessage.Dump(Socket, family, (Rtprot)Ownership.RouteProtocol))
            {
                // A route of another type than unicast has no device of its own; IPv6 reports loopback for it.
                var device = route.Type == Rtn.RTN_UNICAST && route.OutputInterface is { } index ? names.GetValueOrDefault(index, $"if{index}") : null;
                var row = new Route(route.Destination, (RouteType)route.Type, device, route.Gateway)
                {
                    Metric = route.Priority ?? 0,
                    Outer = route.Encapsulation is { } outer ? new(outer.Source, outer.Destination) : null,
                    Source = route.PrefSrc,
                };
                rows[row.Key] = row;
            }
        }

        return rows;
    }

    /// <inheritdoc/>
    protected override IReadOnlyList<RowFailure> Upsert(IReadOnlyList<KeyValuePair<RouteKey, Route>> rows)
    {
        // The kernel looks an IPv6 gateway up before it takes a route (ip6_route_check_nh_onlink), and refuses one that the very route to be replaced leads elsewhere. So that goes first.
        var inTheWay = rows
            .Where(row => row.Value.Gateway is { Family: Family.IPv6 } && Rows.TryGetActual(row.Key, out var old) && old.Device != row.Value.Device)
            .Select(row => row.Key).ToList();
        return inTheWay.Count == 0 ? base.Upsert(rows) : [.. Delete(inTheWay), .. base.Upsert(rows)];
    }

    /// <inheritdoc/>
    protected override string? DeviceOf(RouteKey key, Route value) => value.Device;

    /// <inheritdoc/>
    protected override void WriteUpsert(NetlinkWriter writer, uint sequence, RouteKey key, Route value, int device)
    {
        // Only a route of ours is replaced; somebody else's with the same destination makes the kernel refuse (EEXIST), and is reported.
        if (Rows.TryGetActual(key, out _))
            RouteMessage.WriteReplace(writer, sequence, Message(value, device));
        else
            RouteMessage.WriteNew(writer, sequence, Message(value, device));
    }

    /// <inheritdoc/>
    protected override void WriteDelete(NetlinkWriter writer, uint sequence, RouteKey key, Route value, int device) =>
        RouteMessage.WriteDelete(writer, sequence, Message(value, device));

    /// <inheritdoc/>
    protected override string Text(RouteKey key, Route value) => NodeText.Print(value);

    private static RouteMessage Message(Route route, int device) => new()
    {
        Destination = route.Destination,
        Type = (Rtn)route.Type,
        Gateway = route.Gateway,
        Encapsulation = route.Outer is { } outer ? new(outer.Source, outer.Destination) : null,
        PrefSrc = route.Source,
        Priority = route.Metric == 0 ? null : route.Metric,
        OutputInterface = device > 0 ? device : null,
        Protocol = (Rtprot)Ownership.RouteProtocol,
        Flags = route.Gateway is null ? 0 : RtnhF.RTNH_F_ONLINK,
    };
}
