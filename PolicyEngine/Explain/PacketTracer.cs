using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.PolicyEngine.Explain;

/// <summary>
/// Walks packets through a ruleset as the kernel does (nft_do_chain in net/netfilter/nf_tables_core.c). What it does not know, and what the
/// kernel would refuse to load (a missing chain or set, masquerade outside a nat chain), it throws at: it never guesses. A packet is given as policy sees it, behind the translation of
/// its destination, and so a rule that translates it changes nothing here.
/// </summary>
/// <param name="ruleset">Where it walks; may change between walks.</param>
public sealed class PacketTracer(IRulesetView ruleset)
{
    private const int JumpStackSize = 16; // NFT_JUMP_STACK_SIZE
    private const int ConnectionTracking = -200; // NF_IP_PRI_CONNTRACK: the priority at which a packet's connection is looked up, in prerouting and output

    /// <summary>The walk of one packet through every hook of this node that it passes.</summary>
    /// <exception cref="InvalidOperationException">The ruleset is none that the kernel would load.</exception>
    /// <exception cref="NotSupportedException">It holds what the tracer does not know.</exception>
    public Trace Walk(Packet packet)
    {
        var walk = new PacketWalk(ruleset, packet);
        foreach (var hook in packet.Hooks)
        {
            foreach (var chain in ruleset.BaseChains(hook))
            {
                // A nat chain sees only the first packet of a connection.
                if (chain.Base!.Value.Type == ChainType.Nat && !walk.BeginsConnection)
                    continue;
                if (!walk.Passes(chain))
                    return new(false, walk.Masqueraded, walk.Path);
            }
        }

        return new(true, walk.Masqueraded, walk.Path);
    }

    /// <summary>The walk of one packet through one base chain alone, whatever the chains before it did.</summary>
    /// <exception cref="InvalidOperationException">See <see cref="Walk(Packet)"/>; also when <paramref name="baseChain"/> is no base chain of the ruleset.</exception>
    /// <exception cref="NotSupportedException">See <see cref="Walk(Packet)"/>.</exception>
    public Trace Walk(Packet packet, string baseChain)
    {
        var walk = new PacketWalk(ruleset, packet);
        var accepted = walk.Passes(ruleset.FindChain(baseChain) is { Base: not null } chain ? chain : throw new InvalidOperationException($"There is no base chain {baseChain}."));
        return new(accepted, walk.Masqueraded, walk.Path);
    }

    /// <summary>Whether the name of a device fits a pattern with a trailing <c>*</c>, or without; null is the device that is not there.</summary>
    internal static bool IsInterface(string pattern, string? name) =>
        pattern.EndsWith('*') ? name.AsSpan().StartsWith(pattern.AsSpan(..^1)) : (name ?? "") == pattern;

    /// <summary>One packet on its way: what it met and what happened to it.</summary>
    private sealed class PacketWalk(IRulesetView ruleset, Packet packet)
    {
        private readonly Stack<(Chain Chain, int Next)> _callers = [];
        private Chain? _base;
        private CtState _state = packet.State;

        public List<TraceStep> Path { get; } = [];

        public bool Masqueraded { get; private set; }

        /// <summary>Whether it is the first packet of a connection that is tracked.</summary>
        public bool BeginsConnection => _state == CtState.New;

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
                if (!Matches(rule))
                    continue;
                Path.Add(new(chain, next - 1));
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
                        ? (FindChain(verdict.Chain!), 0)
                        : throw new InvalidOperationException($"Chain {chain.Name}: {JumpStackSize} jumps deep; the kernel refuses such a ruleset.");
                case VerdictKind.Goto:
                    return (FindChain(verdict.Chain!), 0);
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
                            ? FindSet(map.Map, map.Family.AddressType()).Find(ElementKey.Of(packet.Address(map.Side)))
                            : null;
                        if (found is null)
                            return new(VerdictKind.Continue);
                        return found.Value.Verdict ?? throw new InvalidOperationException($"Map {map.Map} holds an element without a verdict.");
                    case Statement.Counter:
                        break;
                    case Statement.Notrack:
                        if (_base!.Base!.Value is not { Hook: Hook.Prerouting or Hook.Output, Priority: < ConnectionTracking })
                            throw new InvalidOperationException($"notrack reached from {_base.Name}: there the connection is known already.");
                        if (!IsTracked)
                            _state = CtState.Untracked;
                        break;
                    case Statement.Masquerade:
                        if (_base!.Base!.Value is not { Type: ChainType.Nat, Hook: Hook.Postrouting })
                            throw new InvalidOperationException($"masquerade reached from {_base.Name}: it works in nat postrouting only.");
                        Masqueraded = true;
                        return Verdict.Accept;
                    case Statement.DestinationNat nat:
                        return Translates(nat) ? Verdict.Accept : new(VerdictKind.Continue);
                    default:
                        throw new NotSupportedException($"The tracer does not know the statement {statement}.");
                }
            }

            return new(VerdictKind.Continue);
        }

        // No entry, or a packet of another family, ends the rule.
        private bool Translates(Statement.DestinationNat nat)
        {
            if (_base!.Base!.Value is not { Type: ChainType.Nat, Hook: Hook.Prerouting or Hook.Output })
                throw new InvalidOperationException($"dnat reached from {_base.Name}: it works in nat prerouting and output only.");
            DataType[] parts = nat.ByAddress ? [nat.Family.AddressType(), DataType.InetProto, DataType.InetService] : [DataType.InetProto, DataType.InetService];
            var map = FindSet(nat.Map, parts);
            if (map.Set.EndpointFamily != nat.Family)
                throw new InvalidOperationException($"Set {nat.Map} is no map to endpoints of family {nat.Family}, and dnat asks for one.");
            return packet.Family == nat.Family
                && map.Find((nat.ByAddress ? ElementKey.Of(packet.Destination) : default).And((IpProtocol)packet.Protocol).And(packet.DestinationPort)) is not null;
        }

        private bool Matches(Rule rule)
        {
            foreach (var match in rule.Matches)
            {
                if (!Matches(match))
                    return false;
            }

            return true;
        }

        private bool Matches(Match match) => match switch
        {
            Match.ConnectionState state => (state.States & State) != 0,
            Match.InputInterface name => IsInterface(name.Name, InputInterface) != name.Negated,
            Match.OutputInterface name => IsInterface(name.Name, OutputInterface) != name.Negated,
            Match.AddressInSet set => packet.Family == set.Family
                && Holds(set.Set, ElementKey.Of(packet.Address(set.Side)), set.Family.AddressType()) != set.Negated,
            Match.AddressInPrefix prefix => packet.Family == prefix.Prefix.Family && prefix.Prefix.Contains(packet.Address(prefix.Side)) != prefix.Negated,
            Match.AddressPairInSet pair => packet.Family == pair.Family
                && Holds(pair.Set, ElementKey.Of(packet.Source).And(packet.Destination), pair.Family.AddressType(), pair.Family.AddressType()),
            Match.AddressPortInSet set => packet.Family == set.Family
                && Holds(
                    set.Set,
                    ElementKey.Of(packet.Address(set.Side)).And((IpProtocol)packet.Protocol).And(packet.DestinationPort),
                    set.Family.AddressType(), DataType.InetProto, DataType.InetService),
            Match.DestinationPort port => packet.Protocol == (byte)port.Protocol && packet.DestinationPort >= port.First && packet.DestinationPort <= port.Last,
            Match.PortInSet set => Holds(set.Set, ElementKey.Of((IpProtocol)packet.Protocol).And(packet.DestinationPort), DataType.InetProto, DataType.InetService),
            Match.L4Protocol protocol => packet.Protocol == protocol.Protocol,
            Match.Icmpv6Type type => packet.Protocol == Packet.Icmpv6 && packet.Family == Family.IPv6 && packet.IcmpType >= type.First && packet.IcmpType <= type.Last,
            Match.Mark mark => (packet.Mark & mark.Mask) == mark.Value,
            Match.ConnectionMark mark => IsTracked && (packet.ConnectionMark & mark.Mask) == mark.Value,
            Match.SourceNotRoutedBack => _base!.Base!.Value.Hook == Hook.Prerouting
                ? !packet.SourceRoutedBack
                : throw new InvalidOperationException($"fib saddr . iif reached from {_base.Name}: the kernel refuses it there."),
            Match.AddressIsLocal local => (local.Side == Side.Saddr ? packet.InputInterface : packet.OutputInterface) is null,
            _ => throw new NotSupportedException($"The tracer does not know the match {match}."),
        };

        // Before connection tracking a packet has no connection, but for one that IPVS sends on: that has passed it before.
        private bool IsTracked => _base!.Base!.Value is not { Hook: Hook.Prerouting or Hook.Output, Priority: < ConnectionTracking } || (packet.ByIpvs && _base.Base.Value.Hook == Hook.Output);

        private CtState State => IsTracked || _state == CtState.Untracked ? _state : CtState.Invalid;

        // What IPVS sends has no input device any more.
        private string? InputInterface => _base!.Base!.Value.Hook == Hook.Output ? null : packet.InputInterface;

        private Chain FindChain(string name) => ruleset.FindChain(name) ?? throw new InvalidOperationException($"There is no chain {name}.");

        private bool Holds(string set, ElementKey key, params ReadOnlySpan<DataType> parts) => FindSet(set, parts).Find(key) is not null;

        private ISetView FindSet(string name, params ReadOnlySpan<DataType> key)
        {
            var found = ruleset.FindSet(name) ?? throw new InvalidOperationException($"There is no set {name}.");
            if (!found.Set.Key.AsSpan().SequenceEqual(key))
                throw new InvalidOperationException($"Set {name} has keys {string.Join(" . ", found.Set.Key)}, the rule looks up {string.Join(" . ", key.ToArray())}.");
            return found;
        }

        // Before routing nobody knows the output device; a device that is not there has the empty name (nft_meta_store_ifname).
        private string? OutputInterface => _base!.Base!.Value.Hook == Hook.Prerouting ? null : packet.OutputInterface;
    }
}
