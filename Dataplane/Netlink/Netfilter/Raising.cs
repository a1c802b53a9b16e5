using System.Buffers.Binary;
using System.Text;
using Overlay.Dataplane.Netlink.Netfilter.Expressions;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Dataplane.Netlink.Netfilter;

/// <summary>
/// Reads a rule back from the kernel's expressions: the inverse of <see cref="Lowering"/>, and held to it each time. A test for a family or protocol that
/// nft(8) put there by itself comes out as a match of its own, which means the same. What does not lower to exactly the same expressions again is no rule of this kind.
/// </summary>
public sealed class Raising
{
    private readonly EquatableArray<Expression> _expressions;
    private readonly List<Match> _matches = [];
    private readonly List<Statement> _statements = [];
    private Family? _family;
    private byte? _protocol;
    private int _next;

    private Raising(EquatableArray<Expression> expressions) => _expressions = expressions;

    /// <summary>The rule, or null when it is none that <see cref="Lowering"/> could have written.</summary>
    public static Rule? Raise(RuleMessage message)
    {
        ArgumentNullException.ThrowIfNull(message);
        var raising = new Raising(message.Expressions);
        while (raising._next < message.Expressions.Count)
        {
            if (!raising.Step())
                return null;
        }

        var rule = new Rule(raising._matches.ToEquatableArray(), raising._statements.ToEquatableArray(), message.Comment);
        return Lowering.Lower(rule) == message.Expressions ? rule : null;
    }

    private Expression? Peek(int ahead = 0) => _next + ahead < _expressions.Count ? _expressions[_next + ahead] : null;

    private bool Step() => Peek() switch
    {
        Immediate { Verdict: { } verdict } => Add(new Statement.Final(verdict), 1),
        Counter => Add(new Statement.Counter(), 1),
        Notrack => Add(new Statement.Notrack(), 1),
        Masq => Add(new Statement.Masquerade(), 1),
        Ct { Key: NftCtKeys.NFT_CT_STATE } when Peek(1) is Bitwise mask => Add(new Match.ConnectionState((CtState)Number(mask.Mask)), 3),
        Ct { Key: NftCtKeys.NFT_CT_MARK } when Peek(1) is Bitwise mask && Peek(2) is Cmp cmp => Add(new Match.ConnectionMark(Number(mask.Mask), Number(cmp.Data)), 3),
        Meta { Key: NftMetaKeys.NFT_META_MARK } when Peek(1) is Bitwise mask && Peek(2) is Cmp cmp => Add(new Match.Mark(Number(mask.Mask), Number(cmp.Data)), 3),
        Meta { Key: NftMetaKeys.NFT_META_IIFNAME } when Peek(1) is Cmp cmp => Add(new Match.InputInterface(Interface(cmp), IsNegated(cmp)), 2),
        Meta { Key: NftMetaKeys.NFT_META_OIFNAME } when Peek(1) is Cmp cmp => Add(new Match.OutputInterface(Interface(cmp), IsNegated(cmp)), 2),
        Meta { Key: NftMetaKeys.NFT_META_NFPROTO } when Peek(1) is Cmp { Data.Count: 1 } cmp => FamilyTest(cmp),
        Meta { Key: NftMetaKeys.NFT_META_L4PROTO } when Peek(1) is Cmp { Data.Count: 1 } cmp => ProtocolTest(cmp.Data[0]),
        Fib { Result: NftFibResult.NFT_FIB_RESULT_ADDRTYPE } fib when Peek(1) is Cmp => Add(new Match.AddressIsLocal(fib.Flags == NftFibFlags.NFTA_FIB_F_SADDR ? Side.Saddr : Side.Daddr), 2),
        Fib when Peek(1) is Cmp => Add(new Match.SourceNotRoutedBack(), 2),
        Payload { Base: NftPayloadBases.NFT_PAYLOAD_TRANSPORT_HEADER } payload when Peek(1) is Cmp cmp => Transport(payload, cmp),
        Payload or Meta => Key(),
        _ => false,
    };

    private bool Add(Match match, int consumed)
    {
        _matches.Add(match);
        _next += consumed;
        return _statements.Count == 0;
    }

    private bool Add(Statement statement, int consumed)
    {
        _statements.Add(statement);
        _next += consumed;
        return true;
    }

    private bool FamilyTest(Cmp cmp)
    {
        Family? family = (NfFamily)cmp.Data[0] switch
        {
            NfFamily.NFPROTO_IPV4 => Family.IPv4,
            NfFamily.NFPROTO_IPV6 => Family.IPv6,
            _ => null,
        };
        if (family is not { } known)
            return false;
        _family = IsNegated(cmp) ? null : known;
        var everything = new Cidr(new InetAddress(known, 0), 0);

        // In front of a map the test is the map's own, behind the matches.
        if (Peek(2) is Payload && (Peek(3) is Lookup { Destination: NftRegisters.NFT_REG_VERDICT } || Peek(6) is Nat))
        {
            _next += 2;
            return true;
        }

        return Add(new Match.AddressInPrefix(Side.Saddr, everything, IsNegated(cmp)), 2);
    }

    private bool ProtocolTest(byte protocol)
    {
        _protocol = protocol;
        return Add(new Match.L4Protocol(protocol), 2);
    }

    private bool Transport(Payload payload, Cmp cmp)
    {
        var isRange = cmp.Op == NftCmpOps.NFT_CMP_GTE && Peek(2) is Cmp { Op: NftCmpOps.NFT_CMP_LTE };
        var last = isRange ? ((Cmp)Peek(2)!).Data : cmp.Data;
        if (payload is { Offset: 0, Length: 1 } && cmp.Data.Count == 1 && last.Count == 1)
            return Add(new Match.Icmpv6Type(cmp.Data[0], last[0]), isRange ? 3 : 2);
        if (payload is not { Offset: 2, Length: 2 } || cmp.Data.Count != 2 || last.Count != 2 || _protocol is not { } protocol || !Enum.IsDefined((IpProtocol)protocol))
            return false;
        return Add(
            new Match.DestinationPort((IpProtocol)protocol, BinaryPrimitives.ReadUInt16BigEndian(cmp.Data.AsSpan()), BinaryPrimitives.ReadUInt16BigEndian(last.AsSpan())),
            isRange ? 3 : 2);
    }

    // Parts of a key, loaded one behind the other, and what is done with it.
    private bool Key()
    {
        var count = 0;
        while (Peek(count) is Payload or Meta { Key: NftMetaKeys.NFT_META_L4PROTO })
            count++;
        var parts = Enumerable.Range(0, count).Select(ahead => Peek(ahead)!).ToList();
        if (Peek(count) is Lookup lookup)
            return Find(lookup, parts);
        if (parts is not [Payload address] || SideOf(address) is not { } side || _family is not { } family)
            return false;
        return (Peek(1), Peek(2)) switch
        {
            (Cmp cmp, _) => Prefix(side, family, cmp, (int)address.Length * 8, 2),
            (Bitwise mask, Cmp cmp) => Prefix(side, family, cmp, mask.Mask.Sum(part => byte.PopCount(part)), 3),
            _ => false,
        };
    }

    private bool Prefix(Side side, Family family, Cmp cmp, int length, int consumed)
    {
        Span<byte> bytes = stackalloc byte[family == Family.IPv4 ? 4 : 16];
        bytes.Clear();
        if (cmp.Data.Count > bytes.Length)
            return false;
        cmp.Data.AsSpan().CopyTo(bytes);
        return Add(new Match.AddressInPrefix(side, new(InetAddress.FromBytes(bytes), length), IsNegated(cmp)), consumed);
    }

    private bool Find(Lookup lookup, List<Expression> parts)
    {
        var negated = lookup.Flags.HasFlag(NftLookupFlags.NFT_LOOKUP_F_INV);
        var (count, side) = (parts.Count + 1, parts[0] is Payload address ? SideOf(address) : null);
        if (lookup.Destination is NftRegisters.NFT_REG_VERDICT)
            return parts.Count == 1 && side is { } mapped && _family is { } family && Add(new Statement.AddressVerdictMap(mapped, family, lookup.Set), count);
        if (Peek(count) is Nat nat)
            return Add(new Statement.DestinationNat(nat.Family == NfFamily.NFPROTO_IPV6 ? Family.IPv6 : Family.IPv4, parts.Count > 2, lookup.Set), count + 1);
        return (parts, side, _family) switch
        {
            ([Payload], { } one, { } known) => Add(new Match.AddressInSet(one, known, lookup.Set, negated), count),
            ([Payload, Payload], Side.Saddr, { } known) => Add(new Match.AddressPairInSet(known, lookup.Set), count),
            ([Payload, Meta, Payload], { } one, { } known) => Add(new Match.AddressPortInSet(one, known, lookup.Set), count),
            ([Meta, Payload], _, _) => Add(new Match.PortInSet(lookup.Set), count),
            _ => false,
        };
    }

    // struct iphdr: saddr at 12, daddr at 16; struct ipv6hdr: saddr at 8, daddr at 24.
    private static Side? SideOf(Payload payload) => payload switch
    {
        { Base: not NftPayloadBases.NFT_PAYLOAD_NETWORK_HEADER } => null,
        { Offset: 12 or 8 } => Side.Saddr,
        { Offset: 16 or 24 } => Side.Daddr,
        _ => null,
    };

    private static bool IsNegated(Cmp cmp) => cmp.Op == NftCmpOps.NFT_CMP_NEQ;

    private static uint Number(EquatableArray<byte> data) => data.Count == sizeof(uint) ? BitConverter.ToUInt32(data.AsSpan()) : 0;

    // Without the zeros behind it, it is a wildcard.
    private static string Interface(Cmp cmp)
    {
        var end = cmp.Data.AsSpan().IndexOf((byte)0);
        return end < 0 ? Encoding.UTF8.GetString(cmp.Data.AsSpan()) + "*" : Encoding.UTF8.GetString(cmp.Data.AsSpan()[..end]);
    }
}
