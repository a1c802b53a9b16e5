using System.Text;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Netfilter;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;
using static Overlay.Dataplane.Netlink.Netfilter.Expressions.NftaBitwise;
using static Overlay.Dataplane.Netlink.Netfilter.Expressions.NftaLookup;
using static Overlay.PolicyEngine.Nftables.Match;
using static Overlay.PolicyEngine.Nftables.Statement;
using static Overlay.Tests.Dataplane.Netlink.NftablesShapes;

namespace Overlay.Tests.Dataplane.Netlink;

/// <summary>What our writers send is what <c>nft</c> sends, and is read back as what it was written from (Tests/Golden/README.md).</summary>
public class NftablesMessageTests
{
    private const string Target = "policy-0123abcd-shop/web-in";
    private static readonly Final Accepted = new(Verdict.Accept);

    private static readonly Dictionary<string, Chain> AddedChains = new()
    {
        ["chain-add"] = new(Target, null, []),
        ["chain-add-filter"] = new("forward", new(ChainType.Filter, Hook.Forward, 0), []),
        ["chain-add-nat"] = new("postrouting", new(ChainType.Nat, Hook.Postrouting, 100), []),
    };

    private static readonly Dictionary<string, (string Chain, Rule Rule)> AddedRules = new()
    {
        ["rule-add-state"] = ("forward", new([new ConnectionState(CtState.Established | CtState.Related)], [Accepted])),
        ["rule-add-interface"] = ("forward", new([new InputInterface("ovl*"), new OutputInterface("eth0", true)], [new Counter(), new Final(Verdict.Drop)])),
        ["rule-add-set"] = ("forward", new([new AddressInSet(Side.Saddr, Family.IPv4, "hash-v4"), new AddressInSet(Side.Daddr, Family.IPv4, "interval-v4", true)], [Accepted])),
        ["rule-add-map"] = ("forward", new([], [new AddressVerdictMap(Side.Saddr, Family.IPv4, "map-v4")])),
        ["rule-add-endpoint"] = ("forward", new([new AddressPortInSet(Side.Daddr, Family.IPv4, "endpoint-v4")], [Accepted])),
        ["rule-add-prefix"] = ("forward", new([new AddressInPrefix(Side.Daddr, Cidr.Parse("fd00:42:8000::/33"))], [new Final(Verdict.Goto(Target))])),
        ["rule-add-ports"] = ("forward", new([new DestinationPort(IpProtocol.Udp, 1000, 2000)], [new Final(Verdict.Jump(Target))], "shop/web")),
        ["rule-add-icmpv6"] = ("forward", new([new Icmpv6Type(133, 137)], [new Final(Verdict.Return)])),
        ["rule-add-mark"] = ("forward", new([new Mark(0xff, 0x10)], [new Final(new(VerdictKind.Continue))])),
        ["rule-add-connection-mark"] = ("egress", new([new ConnectionMark(0x20000000, 0x20000000)], [new Counter(), new Final(Verdict.Drop)])),
        ["rule-add-spoofed"] = ("prerouting", new([new InputInterface("ovl*"), new SourceNotRoutedBack()], [new Counter(), new Final(Verdict.Drop)])),
        ["rule-add-local"] = ("prerouting-nat", new([new AddressIsLocal(Side.Daddr)], [new Final(Verdict.Goto(Target))])),
        ["rule-add-nat"] = ("prerouting-nat", new([], [new DestinationNat(Family.IPv4, false, "nat-v4")])),
        ["rule-add-nat-address"] = ("prerouting-nat", new([], [new DestinationNat(Family.IPv6, true, "nat-address-v6")])),
        ["rule-add-masquerade"] = ("postrouting", new([new AddressInSet(Side.Saddr, Family.IPv4, "hash-v4")], [new Masquerade()])),
    };

    private static readonly Dictionary<string, Element> AddedElements = new()
    {
        ["hash-v4"] = V4("10.42.0.1"),
        ["interval-v4"] = Range("10.0.0.0", "10.255.255.255"),
        ["endpoint-v4"] = Element.Of(Key("10.42.0.1").And(IpProtocol.Tcp).And(80)),
        ["endpoint-ranges-v4"] = new(Key("10.0.0.0").And(IpProtocol.Tcp).And(8000), Key("10.255.255.255").And(IpProtocol.Tcp).And(8099), null),
        ["port-ranges"] = Element.Of(ElementKey.Of(IpProtocol.Tcp).And(80)),
        ["protocols"] = Element.Of(ElementKey.Of(IpProtocol.Tcp)),
        ["pair-v6"] = Element.Of(Key("fd00:42::1").And(InetAddress.Parse("fd00:42::1"))),
        ["whole-v6"] = Range("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ["map-v4"] = V4("10.42.0.3", Verdict.Goto(Target)),
        ["nat-v4"] = Nat(ElementKey.Of(IpProtocol.Tcp).And(8080), "10.42.0.1", 80),
        ["nat-address-v6"] = Nat(Key("fd07::1").And(IpProtocol.Udp).And(53), "fd00:42::1", 5353),
        ["interval-map-v4"] = Range("10.0.0.0", "10.255.255.255") with { Verdict = Verdict.Accept },
        ["interval-map-v6"] = new(Key("fd00::").And(80), Key("fd00::ffff").And(80), Verdict.Goto(Target)),
    };

    private static IEnumerable<string> Requests => Golden.Names("nftables", "*").Where(name => !name.Contains("/reply-", StringComparison.Ordinal) && !name.EndsWith("/expressions", StringComparison.Ordinal));

    private static IEnumerable<string> AddedSets => Golden.Names("nftables", "set-add-*").Concat(Golden.Names("nftables", "map-add-*"));

    [TestCaseSource(nameof(Requests))]
    public void A_request_has_the_bytes_of_nft(string name)
    {
        var sequence = 0u;
        using var batch = new Batch(() => sequence++);
        Write(batch, name["nftables/".Length..]);
        batch.End();
        Assert.That(Tree(Messages(batch.Writer.Written)[1]), Is.EqualTo(Tree(Messages(Golden.Read(name).Bytes)[0])));
    }

    [TestCaseSource(nameof(AddedChains))]
    public void A_chain_is_read_back(KeyValuePair<string, Chain> added) =>
        Assert.That(Read<ChainMessage>($"nftables/{added.Key}", ChainMessage.Read), Is.EqualTo(new[] { ChainMessage.Of(added.Value) }));

    [TestCaseSource(nameof(AddedRules))]
    public void A_rule_is_read_back(KeyValuePair<string, (string Chain, Rule Rule)> added) =>
        Assert.That(Read<RuleMessage>($"nftables/{added.Key}", RuleMessage.Read), Is.EqualTo(new[] { RuleMessage.Of(added.Value.Chain, added.Value.Rule) }));

    [Test]
    public void Every_set_is_read_back()
    {
        foreach (var name in AddedSets)
        {
            var set = SetOf(name["nftables/set-add-".Length..]);
            Assert.That(Read<SetMessage>(name, SetMessage.Read).Select(message => message.ToSet()), Is.EqualTo(new[] { set }));
        }
    }

    [Test]
    public void What_the_kernel_answers_is_read()
    {
        Assert.That(Read<TableMessage>("nftables/reply-tables", TableMessage.Read), Is.EqualTo(new[] { new TableMessage(NftTableFlags.None) }));
        Assert.That(Read<ChainMessage>("nftables/reply-chains", ChainMessage.Read),
            Is.EquivalentTo(AddedChains.Values.Append(new("prerouting", new(ChainType.Filter, Hook.Prerouting, -300), [])).Select(ChainMessage.Of)));
        Assert.That(Read<RuleMessage>("nftables/reply-rules", RuleMessage.Read),
            Is.EqualTo(AddedRules.Values.Where(added => added.Chain == "forward").Select(added => RuleMessage.Of(added.Chain, added.Rule))));
        Assert.That(Read<SetMessage>("nftables/reply-sets", SetMessage.Read).Select(set => set.ToSet()),
            Is.EquivalentTo(AddedSets.Select(name => SetOf(name["nftables/set-add-".Length..]))));
    }

    [Test]
    public void Elements_that_the_kernel_answers_are_read()
    {
        Assert.That(Interval.Ranges(4, Read<KernelElement>("nftables/reply-elements-interval-v4", SetElementMessage.Read)), Is.EqualTo(new[] { AddedElements["interval-v4"] }));
        foreach (var name in new[] { "endpoint-ranges-v4", "map-v4", "nat-v4", "nat-address-v6" })
            Assert.That(Read<KernelElement>($"nftables/reply-elements-{name}", SetElementMessage.Read).Select(element => element.ToElement()), Is.EqualTo(new[] { AddedElements[name] }));
    }

    private static void Write(Batch batch, string name)
    {
        var verb = string.Join('-', name.Split('-').Take(2));
        var rest = name[Math.Min(name.Length, verb.Length + 1)..];
        switch (verb)
        {
            case "table-add": new TableMessage(NftTableFlags.None).WriteNew(batch); break;
            case "table-delete": TableMessage.WriteDelete(batch); break;
            case "chain-add": ChainMessage.Of(AddedChains[name]).WriteNew(batch); break;
            case "chain-delete": ChainMessage.WriteDelete(batch, "forward"); break;
            case "chain-flush": RuleMessage.WriteFlush(batch, "forward"); break;
            case "rule-add": RuleMessage.Of(AddedRules[name].Chain, AddedRules[name].Rule).WriteNew(batch, AddedRules[name].Rule); break;
            case "set-add" or "map-add": SetMessage.Of(SetOf(rest)).WriteNew(batch, SetOf(rest), 1); break;
            case "set-delete": SetMessage.WriteDelete(batch, "protocols"); break;
            case "element-add": SetElementMessage.WriteNew(batch, SetOf(rest), [AddedElements[rest]]); break;
            case "element-delete": SetElementMessage.WriteDelete(batch, SetOf(rest), [AddedElements[rest]]); break;
            default: Assert.Fail($"There is no request for {name}."); break;
        }
    }

    private static Set SetOf(string name) => Sets.Single(set => set.Name == name);

    private static List<T> Read<T>(string name, NetlinkCollector<T> collect)
    {
        var rows = new List<T>();
        foreach (var message in new NetlinkMessages(Golden.Read(name).Bytes))
            collect(message, rows);
        return rows;
    }

    private static List<byte[]> Messages(ReadOnlySpan<byte> datagram)
    {
        var messages = new List<byte[]>();
        foreach (var message in new NetlinkMessages(datagram))
            messages.Add([.. BitConverter.GetBytes(message.Type), .. BitConverter.GetBytes((ushort)(message.Flags & ~(ushort)NlmF.NLM_F_ACK)), .. message.Payload]);
        return messages;
    }

    // The message as text, without what means nothing: numbers of list elements, numbers that tie objects of one transaction together where their names
    // do as well, the operation of a bitwise that has only the default one, and the empty range that nft puts before the first.
    private static string Tree(byte[] message)
    {
        var text = new StringBuilder(Convert.ToHexString(message.AsSpan(0, 8)));
        Append(text, message.AsSpan(8), (NftMsgType)message[0] switch
        {
            NftMsgType.NFT_MSG_NEWRULE => "rule",
            NftMsgType.NFT_MSG_NEWSET => "set",
            NftMsgType.NFT_MSG_NEWSETELEM or NftMsgType.NFT_MSG_DELSETELEM => "elements",
            _ => "",
        }, 1);
        return text.ToString();
    }

    private static void Append(StringBuilder text, ReadOnlySpan<byte> attributes, string context, int depth)
    {
        var isList = attributes.Length > 3 && depth > 1 && IsList(context);
        var name = "";
        foreach (var attribute in new NetlinkAttributes(attributes))
        {
            if (attribute.Type == NftaExpr.NFTA_EXPR_NAME && context == "expression")
                name = attribute.String;
            if (IsNothing(context, attribute))
                continue;
            text.Append('\n').Append(' ', depth).Append(isList ? 1 : attribute.Type).Append(' ');
            var inner = Inner(context, attribute.Type, name);
            if (inner is null)
                text.Append(Convert.ToHexString(attribute.Value));
            else
                Append(text, attribute.Value, inner, depth + 1);
        }
    }

    private static bool IsList(string context) => context is "element list" or "expression list";

    private static bool IsNothing(string context, NetlinkAttribute attribute) => (context, attribute.Type) switch
    {
        ("set", NftaSet.NFTA_SET_ID) => true,
        ("elements", NftaSetElemList.NFTA_SET_ELEM_LIST_SET_ID) => true,
        ("lookup", NFTA_LOOKUP_SET_ID) => true,
        ("bitwise", NFTA_BITWISE_OP) => attribute.UInt32BigEndian == 0,
        ("element list", _) => KernelElement.Read(attribute.Nested) is { IsIntervalEnd: true } element && element.Key == ElementKey.FromBytes([0, 0, 0, 0]),
        _ => false,
    };

    // What is inside a nest; null for a value.
    private static string? Inner(string context, ushort type, string expression) => (context, type) switch
    {
        ("elements", NftaSetElemList.NFTA_SET_ELEM_LIST_ELEMENTS) => "element list",
        ("rule", NftaRule.NFTA_RULE_EXPRESSIONS) => "expression list",
        ("expression list", _) => "expression",
        ("expression", NftaExpr.NFTA_EXPR_DATA) => expression,
        ("element list", _) => "element",
        _ => null,
    };
}
