using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Tests.Oracles;

/// <summary>Where a packet's walk ended.</summary>
/// <param name="Accepted">Whether every hook let it pass.</param>
/// <param name="Masqueraded">Whether its source address was replaced.</param>
/// <param name="Path">The rules that matched, in order.</param>
public sealed record Trace(bool Accepted, bool Masqueraded, IReadOnlyList<string> Path)
{
    public override string ToString() => $"{(Accepted ? "accepted" : "dropped")}{(Masqueraded ? ", masqueraded" : "")} by\n    {string.Join("\n    ", Path)}";
}

/// <summary>
/// Walks packets through a <see cref="Ruleset"/> as the kernel does (nft_do_chain in net/netfilter/nf_tables_core.c). What it does not know, and what the
/// kernel would refuse to load (a missing chain or set, masquerade outside a nat chain), it throws at: it never guesses.
/// </summary>
public sealed class PacketTracer
{
    private const int JumpStackSize = 16; // NFT_JUMP_STACK_SIZE

    private readonly Ruleset _ruleset;
    private readonly ILookup<Hook, Chain> _baseChains;
    private readonly Dictionary<string, Elements> _sets;

    public PacketTracer(Ruleset ruleset)
    {
        _ruleset = ruleset;
        _baseChains = ruleset.Chains.Values.Where(chain => chain.Base is not null).OrderBy(chain => chain.Base!.Value.Priority).ToLookup(chain => chain.Base!.Value.Hook);
        _sets = ruleset.Sets.Values.ToDictionary(set => set.Name, set => new Elements(set, ruleset.Elements.GetValueOrDefault(set.Name) ?? []));
    }

    /// <summary>The walk of one packet through every hook of this node that it passes.</summary>
    public Trace Walk(Packet packet)
    {
        var walk = new PacketWalk(this, packet);
        foreach (var hook in packet.Hooks)
        {
            foreach (var chain in _baseChains[hook])
            {
                // A nat chain sees only the first packet of a connection.
                if (chain.Base!.Value.Type == ChainType.Nat && packet.State != CtState.New)
                    continue;
                if (!walk.Passes(chain))
                    return new(false, walk.Masqueraded, walk.Path);
            }
        }

        return new(true, walk.Masqueraded, walk.Path);
    }

    private Chain FindChain(string name) => _ruleset.Chains.GetValueOrDefault(name) ?? throw new InvalidOperationException($"There is no chain {name}.");

    private Elements FindSet(string name, params ReadOnlySpan<DataType> key)
    {
        var elements = _sets.GetValueOrDefault(name) ?? throw new InvalidOperationException($"There is no set {name}.");
        if (!elements.Set.Key.AsSpan().SequenceEqual(key))
            throw new InvalidOperationException($"Set {name} has keys {string.Join(" . ", elements.Set.Key)}, the rule looks up {string.Join(" . ", key.ToArray())}.");
        return elements;
    }

    /// <summary>One packet on its way: what it met and what happened to it.</summary>
    private sealed class PacketWalk(PacketTracer tracer, Packet packet)
    {
        private readonly Stack<(Chain Chain, int Next)> _callers = [];
        private Chain? _base;

        public List<string> Path { get; } = [];

        public bool Masqueraded { get; private set; }

        // The verdict of a base chain: true for accept, false for drop. Our base chains have policy accept.
        public bool Passes(Chain baseChain)
        {
            _base = baseChain;
            _callers.Clear();
            var (chain, next) = (baseChain, 0);
            while (true)
            {
                if (next >= chain.Rules.Count)
                {
                    if (!_callers.TryPop(out var caller))
                        return true;
                    (chain, next) = caller;
                    continue;
                }

                var rule = chain.Rules[next++];
                if (!rule.Matches.All(Matches))
                    continue;
                Path.Add($"{chain.Name}[{next - 1}] {rule.Comment}".TrimEnd());
                switch (Run(rule))
                {
                    case { Kind: VerdictKind.Accept }:
                        return true;
                    case { Kind: VerdictKind.Drop }:
                        return false;
                    case var verdict:
                        (chain, next) = Follow(verdict, chain, next);
                        break;
                }
            }
        }

        // Where the walk goes on after a verdict that does not end it.
        private (Chain Chain, int Next) Follow(Verdict verdict, Chain chain, int next)
        {
            if (Path.Count > 10_000)
                throw new InvalidOperationException($"Chain {chain.Name}: the walk does not end; the kernel refuses loops.");
            switch (verdict.Kind)
            {
                case VerdictKind.Continue:
                    return (chain, next);
                case VerdictKind.Return:
                    return (chain, chain.Rules.Count);
                case VerdictKind.Jump:
                    _callers.Push((chain, next));
                    return _callers.Count < JumpStackSize
                        ? (tracer.FindChain(verdict.Chain!), 0)
                        : throw new InvalidOperationException($"Chain {chain.Name}: {JumpStackSize} jumps deep; the kernel refuses such a ruleset.");
                case VerdictKind.Goto:
                    return (tracer.FindChain(verdict.Chain!), 0);
                default:
                    throw new NotSupportedException($"The tracer does not know the verdict {verdict}.");
            }
        }

        private Verdict Run(Rule rule)
        {
            foreach (var statement in rule.Statements)
            {
                switch (statement)
                {
                    case Statement.Final final:
                        return final.Verdict;
                    case Statement.AddressVerdictMap map:
                        // No entry, or a packet of another family, ends the rule (NFT_BREAK), not the chain.
                        var found = packet.Family == map.Family
                            ? tracer.FindSet(map.Map, map.Family.AddressType()).Find(ElementKey.Of(packet.Address(map.Side)))
                            : null;
                        if (found is null)
                            return new(VerdictKind.Continue);
                        return found.Value.Verdict ?? throw new InvalidOperationException($"Map {map.Map} holds an element without a verdict.");
                    case Statement.Counter:
                        break;
                    case Statement.Masquerade:
                        if (_base!.Base!.Value is not { Type: ChainType.Nat, Hook: Hook.Postrouting })
                            throw new InvalidOperationException($"masquerade reached from {_base.Name}: it works in nat postrouting only.");
                        Masqueraded = true;
                        return Verdict.Accept;
                    default:
                        throw new NotSupportedException($"The tracer does not know the statement {statement}.");
                }
            }

            return new(VerdictKind.Continue);
        }

        private bool Matches(Match match) => match switch
        {
            Match.ConnectionState state => (state.States & packet.State) != 0,
            Match.InputInterface name => Interface(name.Name, packet.InputInterface) != name.Negated,
            Match.OutputInterface name => Interface(name.Name, OutputInterface) != name.Negated,
            Match.AddressInSet set => packet.Family == set.Family
                && tracer.FindSet(set.Set, set.Family.AddressType()).Contains(ElementKey.Of(packet.Address(set.Side))) != set.Negated,
            Match.AddressInPrefix prefix => packet.Family == prefix.Prefix.Family && prefix.Prefix.Contains(packet.Address(prefix.Side)) != prefix.Negated,
            Match.AddressPairInSet pair => packet.Family == pair.Family
                && tracer.FindSet(pair.Set, pair.Family.AddressType(), pair.Family.AddressType()).Contains(ElementKey.Of(packet.Source).And(packet.Destination)),
            Match.AddressPortInSet set => packet.Family == set.Family
                && tracer.FindSet(set.Set, set.Family.AddressType(), DataType.InetProto, DataType.InetService)
                    .Contains(ElementKey.Of(packet.Address(set.Side)).And((IpProtocol)packet.Protocol).And(packet.DestinationPort)),
            Match.DestinationPort port => packet.Protocol == (byte)port.Protocol && packet.DestinationPort >= port.First && packet.DestinationPort <= port.Last,
            Match.PortInSet set => tracer.FindSet(set.Set, DataType.InetProto, DataType.InetService)
                .Contains(ElementKey.Of((IpProtocol)packet.Protocol).And(packet.DestinationPort)),
            Match.L4Protocol protocol => packet.Protocol == protocol.Protocol,
            Match.Icmpv6Type type => packet.Protocol == Packet.Icmpv6 && packet.Family == Family.IPv6 && packet.IcmpType >= type.First && packet.IcmpType <= type.Last,
            Match.Mark mark => (packet.Mark & mark.Mask) == mark.Value,
            Match.ConnectionMark mark => (packet.ConnectionMark & mark.Mask) == mark.Value,
            Match.SourceNotRoutedBack => _base!.Base!.Value.Hook == Hook.Prerouting
                ? !packet.SourceRoutedBack
                : throw new InvalidOperationException($"fib saddr . iif reached from {_base.Name}: the kernel refuses it there."),
            _ => throw new NotSupportedException($"The tracer does not know the match {match}."),
        };

        // Before routing nobody knows the output device; a device that is not there has the empty name (nft_meta_store_ifname).
        private string? OutputInterface => _base!.Base!.Value.Hook == Hook.Prerouting ? null : packet.OutputInterface;

        private static bool Interface(string pattern, string? name) =>
            pattern.EndsWith('*') ? (name ?? "").StartsWith(pattern[..^1], StringComparison.Ordinal) : (name ?? "") == pattern;
    }

    /// <summary>The elements of a set, ready for look-up.</summary>
    private sealed class Elements
    {
        private readonly Dictionary<ElementKey, Element> _exact = [];
        private readonly List<Element> _ranges = [];

        public Elements(Set set, IReadOnlyCollection<Element> elements)
        {
            Set = set;
            foreach (var element in elements)
            {
                if (element.Verdict is not null != set.IsVerdictMap)
                    throw new InvalidOperationException($"An element of {set.Name} {(set.IsVerdictMap ? "lacks" : "has")} a verdict.");
                if (set.IsInterval)
                    _ranges.Add(element);
                else if (element.Key != element.Last)
                    throw new InvalidOperationException($"Set {set.Name} is not for ranges but holds one.");
                else if (!_exact.TryAdd(element.Key, element))
                    throw new InvalidOperationException($"Set {set.Name} holds an element twice.");
            }

            // The kernel answers EEXIST to overlapping ranges of a set with one part.
            if (set.Key.Count > 1)
                return;
            _ranges.Sort((left, right) => left.Key.CompareTo(right.Key));
            for (var i = 1; i < _ranges.Count; i++)
            {
                if (_ranges[i].Key <= _ranges[i - 1].Last)
                    throw new InvalidOperationException($"Ranges of set {set.Name} overlap.");
            }
        }

        public Set Set { get; }

        public bool Contains(ElementKey key) => Find(key) is not null;

        public Element? Find(ElementKey key)
        {
            if (!Set.IsInterval)
                return _exact.TryGetValue(key, out var element) ? element : null;
            foreach (var range in _ranges)
            {
                if (Inside(range, key))
                    return range;
            }

            return null;
        }

        // Part by part, as pipapo compares: a range of (protocol, port) is a rectangle, not a stretch of numbers.
        private bool Inside(Element range, ElementKey key)
        {
            Span<byte> bytes = stackalloc byte[96];
            var first = bytes[..32];
            var value = bytes[32..64];
            var last = bytes[64..];
            range.Key.WriteTo(first);
            key.WriteTo(value);
            range.Last.WriteTo(last);
            var offset = 0;
            foreach (var part in Set.Key)
            {
                var length = part.RegisterLength();
                if (value.Slice(offset, length).SequenceCompareTo(first.Slice(offset, length)) < 0 || value.Slice(offset, length).SequenceCompareTo(last.Slice(offset, length)) > 0)
                    return false;
                offset += length;
            }

            return true;
        }
    }
}
