using System.Buffers.Binary;
using System.Diagnostics;
using System.Globalization;
using Overlay.PolicyEngine.Model;

namespace Overlay.PolicyEngine.Nftables;

public static partial class NftText
{
    /// <summary>One match: <c>ip saddr @peer-v4</c>.</summary>
    public static string Print(Match match) => match switch
    {
        Match.ConnectionState m => $"ct state {States(m.States)}",
        Match.InputInterface m => $"iifname {Not(m.Negated)}\"{m.Name}\"",
        Match.OutputInterface m => $"oifname {Not(m.Negated)}\"{m.Name}\"",
        Match.AddressInSet m => $"{Address(m.Family, m.Side)} {Not(m.Negated)}@{m.Set}",
        Match.AddressInPrefix { Prefix.PrefixLength: 0 } m => $"meta nfproto {Not(m.Negated)}{Lower(m.Prefix.Family)}",
        Match.AddressInPrefix m => $"{Address(m.Prefix.Family, m.Side)} {Not(m.Negated)}{Range(m.Prefix.First, m.Prefix.Last)}",
        Match.AddressPairInSet m => $"{Address(m.Family, Side.Saddr)} . {Address(m.Family, Side.Daddr)} @{m.Set}",
        Match.AddressPortInSet m => $"{Address(m.Family, m.Side)} . meta l4proto . th dport @{m.Set}",
        Match.DestinationPort { First: 0, Last: ushort.MaxValue } m => $"meta l4proto {Protocol((byte)m.Protocol)}",
        Match.DestinationPort m => $"{Protocol((byte)m.Protocol)} dport {Range(m.First, m.Last)}",
        Match.PortInSet m => $"meta l4proto . th dport @{m.Set}",
        Match.L4Protocol m => $"meta l4proto {Protocol(m.Protocol)}",
        Match.Icmpv6Type m => $"icmpv6 type {Range(m.First, m.Last)}",
        Match.Mark m => $"meta mark & 0x{m.Mask:x8} == 0x{m.Value:x8}",
        Match.ConnectionMark m => $"ct mark & 0x{m.Mask:x8} == 0x{m.Value:x8}",
        Match.SourceNotRoutedBack => "fib saddr . iif oif 0",
        Match.AddressIsLocal m => $"fib {(m.Side == Side.Saddr ? "saddr" : "daddr")} type local",
        _ => throw new UnreachableException($"{match.GetType()} has no nft text."),
    };

    /// <summary>One statement: <c>accept</c>, <c>ip daddr vmap @ingress-v4</c>.</summary>
    public static string Print(Statement statement) => statement switch
    {
        Statement.Final s => s.Verdict.ToString(),
        Statement.AddressVerdictMap s => $"{Address(s.Family, s.Side)} vmap @{s.Map}",
        Statement.Counter => "counter",
        Statement.Notrack => "notrack",
        Statement.Masquerade => "masquerade fully-random",
        Statement.DestinationNat s => $"dnat {(s.Family == Family.IPv4 ? "ip" : "ip6")} to {(s.ByAddress ? $"{Address(s.Family, Side.Daddr)} . " : "")}meta l4proto . th dport map @{s.Map}",
        _ => throw new UnreachableException($"{statement.GetType()} has no nft text."),
    };

    /// <summary>One element of <paramref name="set"/>: <c>10.42.0.5</c>, <c>tcp . 8000-8099</c>, <c>10.42.0.5 : accept</c>, <c>tcp . 8080 : 10.42.0.5 . 80</c>.</summary>
    public static string Print(Set set, Element element)
    {
        Span<byte> first = stackalloc byte[32], last = stackalloc byte[32];
        element.Key.WriteTo(first);
        element.Last.WriteTo(last);
        var parts = new string[set.Key.Count];
        var offset = 0;
        for (var i = 0; i < parts.Length; i++)
        {
            var type = set.Key[i];
            parts[i] = Part(type, first.Slice(offset, type.Length()), last.Slice(offset, type.Length()));
            offset += type.RegisterLength();
        }

        var key = string.Join(" . ", parts);
        return element switch
        {
            { Verdict: { } verdict } => $"{key} : {verdict}",
            { Endpoint: { } endpoint } => $"{key} : {endpoint}",
            _ => key,
        };
    }

    private static string Part(DataType type, ReadOnlySpan<byte> first, ReadOnlySpan<byte> last) => type switch
    {
        DataType.Ipv4Addr or DataType.Ipv6Addr => Range(InetAddress.FromBytes(first), InetAddress.FromBytes(last)),
        DataType.InetProto => first[0] == last[0] ? Protocol(first[0]) : $"{first[0]}-{last[0]}",
        _ => Range(BinaryPrimitives.ReadUInt16BigEndian(first), BinaryPrimitives.ReadUInt16BigEndian(last)),
    };

    private static string Range(int first, int last) => first == last ? Number(first) : $"{first}-{last}";

    private static string Range(InetAddress first, InetAddress last)
    {
        if (first == last)
            return first.ToString();
        var length = first.Family.Bits() - (int)UInt128.Log2((first.Value ^ last.Value)) - 1;
        var prefix = new Cidr(first, length);
        return prefix.First == first && prefix.Last == last ? prefix.ToString() : $"{first}-{last}";
    }

    private static string Address(Family family, Side side) => $"{(family == Family.IPv4 ? "ip" : "ip6")} {Lower(side)}";

    private static string Not(bool negated) => negated ? "!= " : "";

    private static string States(CtState states) =>
        string.Join(',', Enum.GetValues<CtState>().Where(state => states.HasFlag(state)).Select(Lower));

    // The names that nft prints without consulting /etc/protocols; it reads numbers as well.
    private static string Protocol(byte protocol) => protocol switch
    {
        1 => "icmp",
        6 => "tcp",
        17 => "udp",
        132 => "sctp",
        _ => Number(protocol),
    };

    private static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);
}
