using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Desired;

/// <summary>Rows as they are found; <see cref="Sorted"/> puts them in order.</summary>
internal sealed class RowLists
{
    /// <summary>By address, then by length.</summary>
    public static readonly Comparer<Cidr> ByPrefix = Comparer<Cidr>.Create((left, right) =>
        left.Address.CompareTo(right.Address) is var order and not 0 ? order : left.PrefixLength.CompareTo(right.PrefixLength));

    public List<Link> Links { get; } = [];

    public List<Address> Addresses { get; } = [];

    public List<Neighbor> Neighbors { get; } = [];

    public List<FdbEntry> Fdb { get; } = [];

    public Dictionary<RouteKey, Route> Routes { get; } = [];

    /// <summary>Adds a route unless there is one of its key.</summary>
    /// <returns>Whether it was added.</returns>
    public bool Add(Route route) => Routes.TryAdd(route.Key, route);

    public NodeRows Sorted() => new(
        Links.OrderBy(row => row.Name, StringComparer.Ordinal).ToEquatableArray(),
        Addresses.OrderBy(row => row.Prefix, ByPrefix).ThenBy(row => row.Device, StringComparer.Ordinal).ToEquatableArray(),
        Neighbors.OrderBy(row => row.Key.Destination).ThenBy(row => row.Key.Device, StringComparer.Ordinal).ToEquatableArray(),
        Fdb.OrderBy(row => row.Destination).ThenBy(row => row.Key.LinkLayerAddress.Value).ToEquatableArray(),
        Routes.Values.OrderBy(row => row.Destination, ByPrefix).ThenBy(row => row.Metric).ToEquatableArray());
}
