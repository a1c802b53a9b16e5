using System.Diagnostics;
using System.Text;
using Overlay.Dataplane.Netlink.Netfilter.Expressions;
using Overlay.Dataplane.Netlink.Route;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;
using static Overlay.Dataplane.Netlink.Netfilter.Expressions.NftRegisters;

namespace Overlay.Dataplane.Netlink.Netfilter;

/// <summary>
/// Turns a rule into the kernel's expressions, exactly as nft(8) does for the family inet, so that nft lists the rule as it was meant. A match
/// that only makes sense for a protocol is preceded by a test for it, unless an earlier match of the rule has tested the same already.
/// </summary>
public sealed class Lowering
{
    private const int IFNAMSIZ = 16;
    private const byte IPPROTO_ICMPV6 = 58;
    private readonly List<Expression> _expressions = [];
    private NfFamily? _networkProtocol;
    private byte? _transportProtocol;

    private Lowering()
    {
    }

    /// <summary>The expressions of a rule, in order.</summary>
    public static EquatableArray<Expression> Lower(Rule rule)
    {
        ArgumentNullException.ThrowIfNull(rule);
        var lowering = new Lowering();
        foreach (var match in rule.Matches)
            lowering.Lower(match);
        foreach (var statement in rule.Statements)
            lowering.Lower(statement);
        return lowering._expressions.ToEquatableArray();
    }

    private void Lower(Match match)
    {
        switch (match)
        {
            case Match.ConnectionState m:
                Add(new Ct(NftCtKeys.NFT_CT_STATE, NFT_REG_1), Bitwise.And(NFT_REG_1, NftData.Of((uint)m.States)), Compare(NftData.Of(0), negated: true));
                break;
            case Match.InputInterface m:
                Add(Load(NftMetaKeys.NFT_META_IIFNAME), Compare(InterfaceName(m.Name), m.Negated));
                break;
            case Match.OutputInterface m:
                Add(Load(NftMetaKeys.NFT_META_OIFNAME), Compare(InterfaceName(m.Name), m.Negated));
                break;
            case Match.AddressInSet m:
                Find(m.Set, m.Negated, Address(m.Family, m.Side));
                break;
            case Match.AddressInPrefix m:
                Lower(m);
                break;
            case Match.AddressPairInSet m:
                Find(m.Set, false, Address(m.Family, Side.Saddr), Address(m.Family, Side.Daddr));
                break;
            case Match.AddressPortInSet m:
                Find(m.Set, false, Address(m.Family, m.Side), Load(NftMetaKeys.NFT_META_L4PROTO), DestinationPort);
                break;
            case Match.PortInSet m:
                Find(m.Set, false, Load(NftMetaKeys.NFT_META_L4PROTO), DestinationPort);
                break;
            case Match.DestinationPort { First: 0, Last: ushort.MaxValue } m:
                Test((byte)m.Protocol);
                break;
            case Match.DestinationPort m:
                Require((byte)m.Protocol);
                Add(DestinationPort);
                CompareRange([(byte)(m.First >> 8), (byte)m.First], [(byte)(m.Last >> 8), (byte)m.Last]);
                break;
            case Match.L4Protocol m:
                Test(m.Protocol);
                break;
            case Match.Icmpv6Type m:
                Lower(m);
                break;
            case Match.Mark m:
                Add(Load(NftMetaKeys.NFT_META_MARK), Bitwise.And(NFT_REG_1, NftData.Of(m.Mask)), Compare(NftData.Of(m.Value)));
                break;
            case Match.ConnectionMark m:
                Add(new Ct(NftCtKeys.NFT_CT_MARK, NFT_REG_1), Bitwise.And(NFT_REG_1, NftData.Of(m.Mask)), Compare(NftData.Of(m.Value)));
                break;
            case Match.SourceNotRoutedBack:
                Add(new Fib(NftFibFlags.NFTA_FIB_F_SADDR | NftFibFlags.NFTA_FIB_F_IIF, NftFibResult.NFT_FIB_RESULT_OIF, NFT_REG_1), Compare(NftData.Of(0)));
                break;
            case Match.AddressIsLocal m:
                Add(new Fib(m.Side == Side.Saddr ? NftFibFlags.NFTA_FIB_F_SADDR : NftFibFlags.NFTA_FIB_F_DADDR, NftFibResult.NFT_FIB_RESULT_ADDRTYPE, NFT_REG_1), Compare(NftData.Of((uint)Rtn.RTN_LOCAL)));
                break;
            default:
                throw new UnreachableException($"{match.GetType()} cannot be lowered.");
        }
    }

    private void Lower(Statement statement)
    {
        switch (statement)
        {
            case Statement.Final s:
                Add(Immediate.Of(s.Verdict));
                break;
            case Statement.AddressVerdictMap s:
                Require(NetworkProtocol(s.Family));
                Add(Address(s.Family, s.Side), new Lookup(s.Map, NFT_REG_1, NFT_REG_VERDICT, NftLookupFlags.None));
                break;
            case Statement.Counter:
                Add(new Counter());
                break;
            case Statement.Notrack:
                Add(new Notrack());
                break;
            case Statement.Masquerade:
                Add(new Masq(NfNatRange.NF_NAT_RANGE_PROTO_RANDOM_FULLY));
                break;
            case Statement.DestinationNat s:
                Translate(s);
                break;
            default:
                throw new UnreachableException($"{statement.GetType()} cannot be lowered.");
        }
    }

    private void Lower(Match.Icmpv6Type match)
    {
        Require(NfFamily.NFPROTO_IPV6);
        Require(IPPROTO_ICMPV6);
        Add(new Payload(NftPayloadBases.NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1, NFT_REG_1));
        CompareRange([match.First], [match.Last]);
    }

    // A prefix of whole bytes is compared as so many bytes; another one is masked first; the prefix of everything is the family itself.
    private void Lower(Match.AddressInPrefix match)
    {
        var (prefix, family) = (match.Prefix.Network, match.Prefix.Family);
        if (prefix.PrefixLength == 0)
        {
            Test(NetworkProtocol(family), match.Negated);
            return;
        }

        Require(NetworkProtocol(family));
        var load = Address(family, match.Side);
        var bytes = new byte[prefix.First.Length];
        prefix.First.WriteTo(bytes);
        if (prefix.PrefixLength % 8 == 0)
        {
            Add(load with { Length = (uint)prefix.PrefixLength / 8 }, Compare(new(bytes[..(prefix.PrefixLength / 8)]), match.Negated));
            return;
        }

        var mask = new byte[bytes.Length];
        new InetAddress(family, (prefix.First.Value ^ prefix.Last.Value) ^ new Cidr(prefix.First, 0).Last.Value).WriteTo(mask);
        Add(load, Bitwise.And(NFT_REG_1, new(mask)), Compare(new(bytes), match.Negated));
    }

    // The endpoint found takes the place of the key: its address from the first register on, its port behind it.
    private void Translate(Statement.DestinationNat nat)
    {
        Load(nat.ByAddress ? [Address(nat.Family, Side.Daddr), Load(NftMetaKeys.NFT_META_L4PROTO), DestinationPort] : [Load(NftMetaKeys.NFT_META_L4PROTO), DestinationPort]);
        var port = Register.AtSlot(nat.Family == Family.IPv4 ? 1 : 4);
        Add(new Lookup(nat.Map, NFT_REG_1, NFT_REG_1, NftLookupFlags.None), new Nat(NftNatTypes.NFT_NAT_DNAT, NetworkProtocol(nat.Family), NFT_REG_1, port));
    }

    private void Find(string set, bool negated, params ReadOnlySpan<Expression> key)
    {
        Load(key);
        Add(new Lookup(set, NFT_REG_1, null, negated ? NftLookupFlags.NFT_LOOKUP_F_INV : NftLookupFlags.None));
    }

    private void Load(params ReadOnlySpan<Expression> key)
    {
        var slot = 0;
        foreach (var part in key)
        {
            if (part is Payload { Base: NftPayloadBases.NFT_PAYLOAD_NETWORK_HEADER } address)
                Require(address.Length == 4 ? NfFamily.NFPROTO_IPV4 : NfFamily.NFPROTO_IPV6);
            Add(part switch
            {
                Payload payload => payload with { Destination = Register.AtSlot(slot) },
                Meta meta => meta with { Destination = Register.AtSlot(slot) },
                _ => throw new UnreachableException($"{part} is no part of a key."),
            });
            slot += part is Payload { Length: var length } ? ((int)length + 3) / 4 : 1;
        }
    }

    private void Require(NfFamily protocol)
    {
        if (_networkProtocol != protocol)
            Test(protocol);
    }

    private void Require(byte protocol)
    {
        if (_transportProtocol != protocol)
            Test(protocol);
    }

    private void Test(NfFamily protocol, bool negated = false)
    {
        Add(Load(NftMetaKeys.NFT_META_NFPROTO), Compare([(byte)protocol], negated));
        _networkProtocol = negated ? null : protocol;
    }

    private void Test(byte protocol)
    {
        Add(Load(NftMetaKeys.NFT_META_L4PROTO), Compare([protocol]));
        _transportProtocol = protocol;
    }

    private void CompareRange(EquatableArray<byte> first, EquatableArray<byte> last)
    {
        if (first == last)
            Add(Compare(first));
        else
            Add(new Cmp(NftCmpOps.NFT_CMP_GTE, NFT_REG_1, first), new Cmp(NftCmpOps.NFT_CMP_LTE, NFT_REG_1, last));
    }

    private void Add(params ReadOnlySpan<Expression> expressions) => _expressions.AddRange(expressions);

    private static Cmp Compare(EquatableArray<byte> data, bool negated = false) =>
        new(negated ? NftCmpOps.NFT_CMP_NEQ : NftCmpOps.NFT_CMP_EQ, NFT_REG_1, data);

    private static Meta Load(NftMetaKeys key) => new(key, NFT_REG_1);

    private static Payload DestinationPort => new(NftPayloadBases.NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, NFT_REG_1);

    // struct iphdr: saddr at 12, daddr at 16; struct ipv6hdr: saddr at 8, daddr at 24.
    private static Payload Address(Family family, Side side) => family == Family.IPv4
        ? new(NftPayloadBases.NFT_PAYLOAD_NETWORK_HEADER, side == Side.Saddr ? 12u : 16u, 4, NFT_REG_1)
        : new(NftPayloadBases.NFT_PAYLOAD_NETWORK_HEADER, side == Side.Saddr ? 8u : 24u, 16, NFT_REG_1);

    private static NfFamily NetworkProtocol(Family family) => family == Family.IPv4 ? NfFamily.NFPROTO_IPV4 : NfFamily.NFPROTO_IPV6;

    // A wildcard compares only the bytes before it; a whole name compares the zeros behind it too.
    private static EquatableArray<byte> InterfaceName(string name)
    {
        if (name.EndsWith('*'))
            return new(Encoding.UTF8.GetBytes(name[..^1]));
        var bytes = new byte[IFNAMSIZ];
        Encoding.UTF8.GetBytes(name, bytes);
        return new(bytes);
    }
}
