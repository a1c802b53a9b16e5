using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Desired;

/// <summary>
/// Which node a prefix belongs to, when nodes may claim the same addresses: who claims first keeps them, so the order of the claims decides.
/// Prefixes nest or are disjoint, so one lookup for each prefix length in use tells; a cluster has one or two.
/// </summary>
internal sealed class PrefixClaims(IEnumerable<Cidr> all)
{
    private readonly HashSet<(Family Family, int Length)> _lengths = all.Select(prefix => (prefix.Family, prefix.PrefixLength)).ToHashSet();
    private readonly Dictionary<Cidr, string> _owners = [];

    // Every shorter prefix around a claimed one, with the node that claimed inside it; null when several did.
    private readonly Dictionary<Cidr, string?> _around = [];

    /// <summary>Claims a prefix (host bits cleared) for a node.</summary>
    /// <returns>Null, or the node that has some of the addresses already: then nothing is claimed.</returns>
    public string? Claim(Cidr prefix, string node)
    {
        if (_around.TryGetValue(prefix, out var inside) && inside != node)
            return inside ?? "several nodes";
        foreach (var length in LengthsOf(prefix.Family).Where(length => length <= prefix.PrefixLength))
        {
            if (_owners.TryGetValue(new Cidr(prefix.Address, length).Network, out var owner) && owner != node)
                return owner;
        }

        _owners[prefix] = node;
        foreach (var length in LengthsOf(prefix.Family).Where(length => length < prefix.PrefixLength))
        {
            var around = new Cidr(prefix.Address, length).Network;
            _around[around] = !_around.TryGetValue(around, out var other) || other == node ? node : null;
        }

        return null;
    }

    /// <summary>The claimed prefixes that hold <paramref name="address"/>, each with its node.</summary>
    public IEnumerable<KeyValuePair<Cidr, string>> Around(InetAddress address)
    {
        foreach (var length in LengthsOf(address.Family))
        {
            var prefix = new Cidr(address, length).Network;
            if (_owners.TryGetValue(prefix, out var owner))
                yield return new(prefix, owner);
        }
    }

    private IEnumerable<int> LengthsOf(Family family) => _lengths.Where(length => length.Family == family).Select(length => length.Length);
}
