using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Compile;

namespace Overlay.Dataplane.Desired;

/// <summary>Where nodes' prefixes and addresses lie: a few binary searches tell whether one more node has anything to do with any of them.</summary>
/// <param name="nodes">The nodes that are there.</param>
public sealed class NodeSpace(IEnumerable<Node> nodes)
{
    private readonly RangeUnion _prefixes = new(nodes.SelectMany(PrefixesOf));
    private readonly RangeUnion _addresses = new(nodes.SelectMany(AddressesOf));

    /// <summary>Whether no prefix of a node shares an address with theirs or holds an address of theirs, and no address of it lies in a prefix of theirs.</summary>
    public bool IsApart(Node node) =>
        !PrefixesOf(node).Any(prefix => _prefixes.Overlaps(prefix) || _addresses.Overlaps(prefix)) && !AddressesOf(node).Any(_prefixes.Overlaps);

    /// <summary>A node is there, too.</summary>
    public void Add(Node node)
    {
        foreach (var prefix in PrefixesOf(node))
            _prefixes.Add(prefix, out _);
        foreach (var address in AddressesOf(node))
            _addresses.Add(address, out _);
    }

    private static IEnumerable<AddressRange> PrefixesOf(Node node) => node.PodCidrs.Select(AddressRange.Of);

    private static IEnumerable<AddressRange> AddressesOf(Node node) => node.InternalIPs.Select(address => new AddressRange(address, address));
}
