using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.PolicyEngine.Explain;

/// <summary>
/// Addresses of one family that stand for all: every one that a pod, a node or an element names, and one of each stretch between two boundaries of ipBlocks, prefixes and ranges.
/// Facts about them are columns, numbers by address; addresses with equal numbers in all columns of a question cannot be told apart by it.
/// </summary>
internal sealed class AddressSpace
{
    private readonly IRulesetView _ruleset;
    private readonly CancellationToken _stop;
    private readonly Dictionary<object, int[]> _columns = [];
    private readonly Dictionary<string, ILookup<InetAddress, PortStretch>> _ports = [];

    /// <summary>Collects the addresses.</summary>
    /// <param name="family">The family.</param>
    /// <param name="state">The cluster.</param>
    /// <param name="ruleset">The ruleset; of its chains <paramref name="matches"/> can be met.</param>
    /// <param name="matches">Matches that any packet can meet.</param>
    /// <param name="policies">The policies that select any pod in question.</param>
    /// <param name="stop">Ends the work, of which there can be much where rules list many blocks.</param>
    public AddressSpace(Family family, ClusterState state, IRulesetView ruleset, IReadOnlyCollection<Match> matches, IEnumerable<Policy> policies, CancellationToken stop)
    {
        _stop = stop;
        _ruleset = ruleset;
        Family = family;
        var named = new HashSet<InetAddress>(state.Pods.Where(pod => !pod.HostNetwork).SelectMany(pod => pod.Addresses));
        named.UnionWith(state.Nodes.SelectMany(node => node.Addresses.Concat(node.TunnelAddresses)));
        var cuts = new SortedSet<UInt128> { 0 };
        foreach (var prefix in policies.SelectMany(Blocks).Concat(matches.OfType<Match.AddressInPrefix>().Select(match => match.Prefix)).Where(prefix => prefix.Family == family))
            Cut(cuts, prefix.First, prefix.Last);
        foreach (var name in matches.Select(SetOf).OfType<string>().Distinct())
            Collect(ruleset.FindSet(name) ?? throw new InvalidOperationException($"There is no set {name}."), named, cuts);
        named.RemoveWhere(address => address.Family != family);
        Addresses = [.. named.Concat(Between(cuts, named)).Order()];
    }

    /// <summary>The family.</summary>
    public Family Family { get; }

    /// <summary>In order.</summary>
    public IReadOnlyList<InetAddress> Addresses { get; }

    /// <summary>A fact about every address; computed once for equal keys.</summary>
    public int[] Column(object key, Func<InetAddress, int> fact)
    {
        if (_columns.TryGetValue(key, out var known))
            return known;
        var column = new int[Addresses.Count];
        for (var i = 0; i < column.Length; i++)
        {
            _stop.ThrowIfCancellationRequested();
            column[i] = fact(Addresses[i]);
        }

        return _columns[key] = column;
    }

    /// <summary>The columns of what a ruleset can ask about one side of a packet.</summary>
    public IEnumerable<int[]> Columns(RulesetReach reach, Side side)
    {
        foreach (var match in reach.Matches)
        {
            switch (match)
            {
                case Match.AddressInSet set when set.Side == side && set.Family == Family:
                    yield return Column((nameof(Match.AddressInSet), set.Set), address => Find(set.Set, ElementKey.Of(address)) is null ? 0 : 1);
                    break;
                case Match.AddressInPrefix prefix when prefix.Side == side && prefix.Prefix.Family == Family:
                    yield return Column((nameof(Match.AddressInPrefix), prefix.Prefix), address => prefix.Prefix.Contains(address) ? 1 : 0);
                    break;
                case Match.AddressPairInSet pair when pair.Family == Family:
                    yield return Pairs(pair.Set);
                    break;
                case Match.AddressPortInSet set when set.Side == side && set.Family == Family:
                    yield return Endpoints(set.Set);
                    break;
            }
        }

        foreach (var map in reach.Maps.Where(map => map.Side == side && map.Family == Family))
            yield return Verdicts(map.Map);
    }

    /// <summary>The stretches of ports in a set of (protocol, port).</summary>
    public IEnumerable<PortStretch> PortsOf(string set)
    {
        var found = _ruleset.FindSet(set)!;
        return found.Elements.Select(element => PortsOf(found.Set, element));
    }

    /// <summary>The stretches of ports that an address has in a set of (address, protocol, port).</summary>
    public IEnumerable<PortStretch> PortsOf(string set, InetAddress address) => Ports(set)[address];

    /// <summary>Splits the addresses into classes of equal numbers in every column.</summary>
    public IReadOnlyList<List<InetAddress>> Split(IEnumerable<int[]> columns)
    {
        var classes = new int[Addresses.Count];
        foreach (var column in columns)
        {
            var numbers = new Dictionary<(int, int), int>();
            for (var i = 0; i < classes.Length; i++)
            {
                if (!numbers.TryGetValue((classes[i], column[i]), out var number))
                    numbers.Add((classes[i], column[i]), number = numbers.Count);
                classes[i] = number;
            }
        }

        return [.. Addresses.Zip(classes).GroupBy(pair => pair.Second, pair => pair.First).Select(group => group.ToList())];
    }

    private static IEnumerable<Cidr> Blocks(Policy policy) =>
        from rule in (policy.Ingress ?? []).Concat(policy.Egress ?? [])
        from block in rule.Peers.OfType<Peer.IPBlock>()
        from prefix in block.Except.Prepend(block.Cidr)
        select prefix;

    private string? SetOf(Match match) => match switch
    {
        Match.AddressInSet set when set.Family == Family => set.Set,
        Match.AddressPairInSet set when set.Family == Family => set.Set,
        Match.AddressPortInSet set when set.Family == Family => set.Set,
        _ => null,
    };

    private static void Collect(ISetView set, HashSet<InetAddress> named, SortedSet<UInt128> cuts)
    {
        foreach (var element in set.Elements)
        {
            var (first, last) = (AddressOf(set.Set, element.Key), AddressOf(set.Set, element.Last));
            if (set.Set.IsInterval)
                Cut(cuts, first, last);
            else
                named.Add(first);
        }
    }

    private static void Cut(SortedSet<UInt128> cuts, InetAddress first, InetAddress last)
    {
        cuts.Add(first.Value);
        if (last != new Cidr(last, 0).Last)
            cuts.Add(last.Value + 1);
    }

    // One address of each stretch that has any which is not named.
    private IEnumerable<InetAddress> Between(SortedSet<UInt128> cuts, HashSet<InetAddress> named)
    {
        var starts = cuts.ToList();
        var end = new Cidr(new InetAddress(Family, 0), 0).Last.Value;
        for (var i = 0; i < starts.Count; i++)
        {
            var last = i + 1 < starts.Count ? starts[i + 1] - 1 : end;
            var candidate = starts[i];
            while (candidate < last && named.Contains(new(Family, candidate)))
                candidate++;
            if (!named.Contains(new(Family, candidate)))
                yield return new(Family, candidate);
        }
    }

    // Nobody but a pod with itself is in such a set; an address that is in it with another is a class of its own.
    private int[] Pairs(string name)
    {
        var set = _ruleset.FindSet(name)!;
        var unequal = new HashSet<InetAddress>();
        if (!_columns.ContainsKey(("pairs", name)))
        {
            foreach (var (first, second) in set.Elements.Select(element => (AddressOf(set.Set, element.Key), AddressOf(set.Set, element.Key, part: 1))))
                unequal.UnionWith(first == second ? [] : [first, second]);
        }

        var number = 0;
        return Column(("pairs", name), address => unequal.Contains(address) ? ++number : 0);
    }

    private int[] Endpoints(string name)
    {
        var ports = Ports(name);
        return Column((nameof(Match.AddressPortInSet), name), Numbered(ports.Select(group => (group.Key, string.Join(' ', group.Select(stretch => stretch.ToString()).Order(StringComparer.Ordinal))))));
    }

    private int[] Verdicts(string name)
    {
        var set = _ruleset.FindSet(name)!;
        return Column(("verdict", name), Numbered(set.Elements.Select(element => (AddressOf(set.Set, element.Key), element.Verdict.ToString()!))));
    }

    private ILookup<InetAddress, PortStretch> Ports(string name)
    {
        if (_ports.TryGetValue(name, out var known))
            return known;
        var set = _ruleset.FindSet(name)!;
        return _ports[name] = set.Elements.ToLookup(element => AddressOf(set.Set, element.Key), element => PortsOf(set.Set, element));
    }

    private static Func<InetAddress, int> Numbered(IEnumerable<(InetAddress Address, string Text)> facts)
    {
        var numbers = new Dictionary<string, int>();
        var byAddress = new Dictionary<InetAddress, int>();
        foreach (var (address, text) in facts)
        {
            if (!numbers.TryGetValue(text, out var number))
                numbers.Add(text, number = numbers.Count + 1);
            byAddress[address] = number;
        }

        return address => byAddress.GetValueOrDefault(address);
    }

    private Element? Find(string set, ElementKey key) => _ruleset.FindSet(set)!.Find(key);

    private static PortStretch PortsOf(Set set, Element element)
    {
        Span<byte> first = stackalloc byte[ElementKey.MaxLength], last = stackalloc byte[ElementKey.MaxLength];
        element.Key.WriteTo(first);
        element.Last.WriteTo(last);
        var offset = set.Key.Count == 3 ? set.Key[0].RegisterLength() : 0;
        if (!first[..(offset + 4)].SequenceEqual(last[..(offset + 4)]))
            throw new NotSupportedException($"Set {set.Name} holds a range over several addresses or protocols.");
        return new(first[offset], (ushort)((first[offset + 4] << 8) | first[offset + 5]), (ushort)((last[offset + 4] << 8) | last[offset + 5]));
    }

    internal static InetAddress AddressOf(Set set, ElementKey key, int part = 0)
    {
        Span<byte> bytes = stackalloc byte[ElementKey.MaxLength];
        key.WriteTo(bytes);
        return InetAddress.FromBytes(bytes.Slice(part * set.Key[0].RegisterLength(), set.Key[0].Length()));
    }
}
