using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;
using static Overlay.PolicyEngine.Nftables.Match;
using static Overlay.PolicyEngine.Nftables.Statement;

namespace Overlay.Tests.Dataplane.Netlink;

/// <summary>At least one of every match, statement and kind of set, with the edges of their ranges.</summary>
public static class NftablesShapes
{
    public static readonly Match[] Matches =
    [
        new ConnectionState(CtState.Established | CtState.Related),
        new ConnectionState(CtState.New),
        new ConnectionState(CtState.Invalid | CtState.New),
        new InputInterface("ovl*"),
        new InputInterface("ovl*", true),
        new InputInterface("abcdefghijklmno"),
        new InputInterface("abcdefghijklmn*"),
        new OutputInterface("eth0"),
        new OutputInterface("eth0", true),
        new OutputInterface("a*"),
        new AddressInSet(Side.Saddr, Family.IPv4, "hash-v4"),
        new AddressInSet(Side.Daddr, Family.IPv4, "interval-v4", true),
        new AddressInSet(Side.Saddr, Family.IPv6, "hash-v6", true),
        new AddressInSet(Side.Daddr, Family.IPv6, "interval-v6"),
        new AddressInPrefix(Side.Saddr, Cidr.Parse("10.42.0.0/16")),
        new AddressInPrefix(Side.Saddr, Cidr.Parse("10.42.1.2/17")),
        new AddressInPrefix(Side.Daddr, Cidr.Parse("10.0.0.0/8"), true),
        new AddressInPrefix(Side.Daddr, Cidr.Parse("10.42.0.1/32")),
        new AddressInPrefix(Side.Saddr, Cidr.Parse("0.0.0.0/0")),
        new AddressInPrefix(Side.Saddr, Cidr.Parse("128.0.0.0/1"), true),
        new AddressInPrefix(Side.Saddr, Cidr.Parse("fd00:42::/64")),
        new AddressInPrefix(Side.Daddr, Cidr.Parse("fd00:42:8000::/33")),
        new AddressInPrefix(Side.Daddr, Cidr.Parse("fd00:42::1/128"), true),
        new AddressInPrefix(Side.Saddr, Cidr.Parse("::/0"), true),
        new AddressPairInSet(Family.IPv4, "pair-v4"),
        new AddressPairInSet(Family.IPv6, "pair-v6"),
        new AddressPortInSet(Side.Daddr, Family.IPv4, "endpoint-v4"),
        new AddressPortInSet(Side.Saddr, Family.IPv6, "endpoint-v6"),
        new DestinationPort(IpProtocol.Tcp, 80, 80),
        new DestinationPort(IpProtocol.Udp, 1000, 2000),
        new DestinationPort(IpProtocol.Sctp, 1, 65535),
        new DestinationPort(IpProtocol.Tcp, 0, 0),
        new DestinationPort(IpProtocol.Tcp, 0, 65535),
        new PortInSet("ports"),
        new PortInSet("port-ranges"),
        new L4Protocol(47),
        new Icmpv6Type(133, 137),
        new Icmpv6Type(135, 135),
        new Mark(0xff, 0x10),
        new Mark(0x80000000, 0x80000000),
        new ConnectionMark(0x20000000, 0x20000000),
        new ConnectionMark(0xff, 0x10),
        new SourceNotRoutedBack(),
        new AddressIsLocal(Side.Daddr),
        new AddressIsLocal(Side.Saddr),
    ];

    public static readonly Statement[] Statements =
    [
        new Final(Verdict.Accept),
        new Final(Verdict.Drop),
        new Final(Verdict.Return),
        new Final(new(VerdictKind.Continue)),
        new Final(Verdict.Jump("policy-0123abcd-shop/web-in")),
        new Final(Verdict.Goto("policy-0123abcd-shop/web-in")),
        new AddressVerdictMap(Side.Saddr, Family.IPv4, "map-v4"),
        new AddressVerdictMap(Side.Daddr, Family.IPv6, "map-v6"),
        new Counter(),
        new DestinationNat(Family.IPv4, false, "nat-v4"),
        new DestinationNat(Family.IPv6, false, "nat-v6"),
        new DestinationNat(Family.IPv4, true, "nat-address-v4"),
        new DestinationNat(Family.IPv6, true, "nat-address-v6"),
    ];

    public static readonly Set[] Sets =
    [
        new("hash-v4", [DataType.Ipv4Addr]),
        new("hash-v6", [DataType.Ipv6Addr]),
        new("interval-v4", [DataType.Ipv4Addr], IsInterval: true),
        new("interval-v6", [DataType.Ipv6Addr], IsInterval: true),
        new("whole-v4", [DataType.Ipv4Addr], IsInterval: true),
        new("whole-v6", [DataType.Ipv6Addr], IsInterval: true),
        new("pair-v4", [DataType.Ipv4Addr, DataType.Ipv4Addr]),
        new("pair-v6", [DataType.Ipv6Addr, DataType.Ipv6Addr]),
        new("endpoint-v4", [DataType.Ipv4Addr, DataType.InetProto, DataType.InetService]),
        new("endpoint-v6", [DataType.Ipv6Addr, DataType.InetProto, DataType.InetService]),
        new("endpoint-ranges-v4", [DataType.Ipv4Addr, DataType.InetProto, DataType.InetService], IsInterval: true),
        new("endpoint-ranges-v6", [DataType.Ipv6Addr, DataType.InetProto, DataType.InetService], IsInterval: true),
        new("ports", [DataType.InetProto, DataType.InetService]),
        new("port-ranges", [DataType.InetProto, DataType.InetService], IsInterval: true),
        new("protocols", [DataType.InetProto]),
        new("services", [DataType.InetService], IsInterval: true),
        new("map-v4", [DataType.Ipv4Addr], IsVerdictMap: true),
        new("map-v6", [DataType.Ipv6Addr], IsVerdictMap: true),
        new("interval-map-v4", [DataType.Ipv4Addr], IsInterval: true, IsVerdictMap: true),
        new("interval-map-v6", [DataType.Ipv6Addr, DataType.InetService], IsInterval: true, IsVerdictMap: true),
        new("endpoint-map-v4", [DataType.Ipv4Addr, DataType.InetService], IsVerdictMap: true),
        new("nat-v4", [DataType.InetProto, DataType.InetService]) { EndpointFamily = Family.IPv4 },
        new("nat-v6", [DataType.InetProto, DataType.InetService]) { EndpointFamily = Family.IPv6 },
        new("nat-address-v4", [DataType.Ipv4Addr, DataType.InetProto, DataType.InetService]) { EndpointFamily = Family.IPv4 },
        new("nat-address-v6", [DataType.Ipv6Addr, DataType.InetProto, DataType.InetService]) { EndpointFamily = Family.IPv6 },
        new("empty", [DataType.Ipv4Addr]),
    ];

    public static readonly Dictionary<string, IReadOnlyCollection<Element>> Elements = new()
    {
        ["hash-v4"] = [V4("10.42.0.1"), V4("0.0.0.0"), V4("255.255.255.255")],
        ["hash-v6"] = [V6("fd00:42::1"), V6("::"), V6("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")],
        ["interval-v4"] =
        [
            Range("0.0.0.0", "0.255.255.255"), Range("10.0.0.0", "10.255.255.255"), Range("11.0.0.0", "11.255.255.255"), Range("12.0.0.0", "12.0.0.0"),
            Range("192.168.1.5", "192.168.1.5"), Range("192.168.1.7", "192.168.1.9"), Range("255.255.255.255", "255.255.255.255"),
        ],
        ["interval-v6"] =
        [
            Range("fd00::", "fd00:0:0:1:ffff:ffff:ffff:ffff"), Range("fd00:0:0:2::", "fd00:0:0:2:ffff:ffff:ffff:ffff"),
            Range("ffff::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ],
        ["whole-v4"] = [Range("0.0.0.0", "255.255.255.255")],
        ["whole-v6"] = [Range("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")],
        ["pair-v4"] = [Element.Of(Key("10.42.0.1").And(InetAddress.Parse("10.42.0.1")))],
        ["pair-v6"] = [Element.Of(Key("fd00:42::1").And(InetAddress.Parse("fd00:42::1")))],
        ["endpoint-v4"] = [Element.Of(Key("10.42.0.1").And(IpProtocol.Tcp).And(80)), Element.Of(Key("10.42.0.1").And(IpProtocol.Sctp).And(65535))],
        ["endpoint-v6"] = [Element.Of(Key("fd00:42::1").And(IpProtocol.Udp).And(53))],
        ["endpoint-ranges-v4"] =
        [
            new(Key("10.0.0.0").And(IpProtocol.Tcp).And(8000), Key("10.255.255.255").And(IpProtocol.Tcp).And(8099), null),
            new(Key("0.0.0.0").And(IpProtocol.Udp).And((ushort)0), Key("255.255.255.255").And(IpProtocol.Udp).And(65535), null),
        ],
        ["endpoint-ranges-v6"] = [new(Key("fd00::").And(IpProtocol.Tcp).And(1), Key("fd00::ffff").And(IpProtocol.Tcp).And(1), null)],
        ["ports"] = [Element.Of(ElementKey.Of(IpProtocol.Tcp).And(80)), Element.Of(ElementKey.Of(IpProtocol.Udp).And(80))],
        ["port-ranges"] =
        [
            new(ElementKey.Of(IpProtocol.Tcp).And(80), ElementKey.Of(IpProtocol.Tcp).And(80), null),
            new(ElementKey.Of(IpProtocol.Udp).And(1000), ElementKey.Of(IpProtocol.Udp).And(2000), null),
        ],
        ["protocols"] = [Element.Of(ElementKey.Of(IpProtocol.Tcp)), Element.Of(ElementKey.Of(IpProtocol.Sctp))],
        ["services"] = [new(default(ElementKey).And(80), default(ElementKey).And(90), null), new(default(ElementKey).And(91), default(ElementKey).And(65535), null)],
        ["map-v4"] = [V4("10.42.0.1", Verdict.Accept), V4("10.42.0.2", Verdict.Drop), V4("10.42.0.3", Verdict.Goto("policy-0123abcd-shop/web-in"))],
        ["map-v6"] = [V6("fd00:42::1", Verdict.Jump("policy-0123abcd-shop/web-in")), V6("fd00:42::2", Verdict.Return), V6("fd00:42::3", new(VerdictKind.Continue))],
        ["interval-map-v4"] = [Range("10.0.0.0", "10.255.255.255") with { Verdict = Verdict.Accept }, Range("11.0.0.0", "255.255.255.255") with { Verdict = Verdict.Drop }],
        ["interval-map-v6"] = [new(Key("fd00::").And(80), Key("fd00::ffff").And(80), Verdict.Goto("policy-0123abcd-shop/web-in"))],
        ["nat-v4"] = [Nat(ElementKey.Of(IpProtocol.Tcp).And(8080), "10.42.0.1", 80), Nat(ElementKey.Of(IpProtocol.Sctp).And(65535), "0.0.0.0", 1)],
        ["nat-v6"] = [Nat(ElementKey.Of(IpProtocol.Udp).And(53), "fd00:42::1", 65535)],
        ["nat-address-v4"] = [Nat(Key("192.0.2.1").And(IpProtocol.Tcp).And(8080), "10.42.0.1", 80)],
        ["nat-address-v6"] = [Nat(Key("fd07::1").And(IpProtocol.Udp).And(53), "fd00:42::1", 5353)],
        ["endpoint-map-v4"] = [Element.Of(Key("10.42.0.1").And(80), Verdict.Accept)],
    };

    public static readonly Chain[] Chains =
    [
        new("policy-0123abcd-shop/web-in", null, [new([], [new Counter(), new Final(Verdict.Drop)], "shop/web ingress[0]")]),
        new("matches", null, Matches.Select(match => new Rule([match], [new Counter(), new Final(Verdict.Accept)])).ToEquatableArray()),
        new("statements", null, Statements.Select(statement => new Rule([], [statement])).ToEquatableArray()),
        new("prerouting", new(ChainType.Filter, Hook.Prerouting, -300), [new([new InputInterface("ovl*"), new SourceNotRoutedBack()], [new Final(Verdict.Drop)]), new([new InputInterface("eth0")], [new Notrack(), new Final(Verdict.Accept)])]),
        new("forward", new(ChainType.Filter, Hook.Forward, 0), [new([], [new Final(Verdict.Jump("matches"))])]),
        new("output", new(ChainType.Filter, Hook.Output, 7), []),
        new("postrouting", new(ChainType.Nat, Hook.Postrouting, 100),
            [new([new AddressInSet(Side.Saddr, Family.IPv4, "interval-v4"), new AddressInSet(Side.Daddr, Family.IPv4, "interval-v4", true)], [new Masquerade()])]),
        new("prerouting-nat", new(ChainType.Nat, Hook.Prerouting, -100), [new([new AddressIsLocal(Side.Daddr)], [new Final(Verdict.Goto("translation"))])]),
        new("output-nat", new(ChainType.Nat, Hook.Output, -100), [new([new AddressIsLocal(Side.Daddr)], [new Final(Verdict.Goto("translation"))])]),
        new("before-postrouting", new(ChainType.Nat, Hook.Postrouting, 99), []),
        new("translation", null, Statements.OfType<DestinationNat>().Select(nat => new Rule([], [nat])).ToEquatableArray()),
        new("empty-chain", null, []),
    ];

    public static Ruleset Shapes => new(Chains.ToDictionary(chain => chain.Name), Sets.ToDictionary(set => set.Name), Elements);

    public static ElementKey Key(string address) => ElementKey.Of(InetAddress.Parse(address));

    public static Element V4(string address, Verdict? verdict = null) => Element.Of(Key(address), verdict);

    public static Element V6(string address, Verdict? verdict = null) => Element.Of(Key(address), verdict);

    public static Element Nat(ElementKey key, string address, ushort port) => Element.Of(key) with { Endpoint = new(InetAddress.Parse(address), port) };

    public static Element Range(string first, string last) => new(Key(first), Key(last), null);
}
