using Overlay.PolicyEngine.Explain;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Tests.PolicyEngine.Explain;

/// <summary>The tracer walks as the kernel does, and refuses what the kernel would refuse. A tracer that is too kind proves nothing.</summary>
public class PacketTracerTests
{
    private static readonly Statement Accept = new Statement.Final(Verdict.Accept);
    private static readonly Statement Drop = new Statement.Final(Verdict.Drop);
    private static readonly Packet Forwarded = new(InetAddress.Parse("10.0.0.1"), InetAddress.Parse("10.0.0.2"), 6, 80, "ovla", "ovlb");

    [Test]
    public void A_base_chain_that_ends_accepts() => Assert.That(Walk(Forwarded, Base()).Accepted, Is.True);

    [Test]
    public void After_a_jump_the_walk_goes_on_in_the_caller() =>
        Assert.That(Walk(Forwarded, Base(To(Verdict.Jump("empty")), Always(Drop)), Plain("empty")).Accepted, Is.False);

    [Test]
    public void After_a_goto_it_does_not() =>
        Assert.That(Walk(Forwarded, Base(To(Verdict.Goto("empty")), Always(Drop)), Plain("empty")).Accepted, Is.True);

    [Test]
    public void A_goto_in_a_chain_that_was_jumped_to_ends_after_that_jump() =>
        Assert.That(Walk(Forwarded, Base(To(Verdict.Jump("one")), Always(Drop)), Plain("one", To(Verdict.Goto("two")), Always(Accept)), Plain("two")).Accepted, Is.False);

    [Test]
    public void Return_leaves_the_chain() =>
        Assert.That(Walk(Forwarded, Base(To(Verdict.Jump("one")), Always(Drop)), Plain("one", To(Verdict.Return), Always(Accept))).Accepted, Is.False);

    [Test]
    public void Return_in_a_base_chain_is_its_policy() => Assert.That(Walk(Forwarded, Base(To(Verdict.Return), Always(Drop))).Accepted, Is.True);

    [Test]
    public void Every_base_chain_of_a_hook_must_accept()
    {
        var later = new Chain("later", new(ChainType.Filter, Hook.Forward, 10), [Always(Drop)]);
        Assert.That(Walk(Forwarded, Base(Always(Accept)), later).Accepted, Is.False);
    }

    [Test]
    public void A_rule_matches_only_when_every_match_holds()
    {
        var rule = new Rule([new Match.DestinationPort(IpProtocol.Tcp, 80, 80), new Match.InputInterface("eth*")], [Drop]);
        Assert.That(Walk(Forwarded, Base(rule)).Accepted, Is.True);
        Assert.That(Walk(Forwarded with { InputInterface = "eth0" }, Base(rule)).Accepted, Is.False);
    }

    [Test]
    public void An_address_not_in_a_set_of_the_other_family_does_not_match()
    {
        var rule = new Rule([new Match.AddressInSet(Side.Saddr, Family.IPv6, "six", Negated: true)], [Drop]);
        Assert.That(Walk(Forwarded, [new("six", [DataType.Ipv6Addr])], [], Base(rule)).Accepted, Is.True);
    }

    [Test]
    public void A_verdict_map_without_the_address_goes_on()
    {
        var rule = new Rule([], [new Statement.AddressVerdictMap(Side.Saddr, Family.IPv4, "map")]);
        var map = new Set("map", [DataType.Ipv4Addr], IsVerdictMap: true);
        Assert.That(Walk(Forwarded, [map], [], Base(rule, Always(Drop))).Accepted, Is.False);
        Assert.That(Walk(Forwarded, [map], [new("map", Element.Of(ElementKey.Of(Forwarded.Source), Verdict.Accept))], Base(rule, Always(Drop))).Accepted, Is.True);
    }

    [Test]
    public void A_translation_ends_its_chain_and_judges_nothing()
    {
        var map = new Set("map", [DataType.InetProto, DataType.InetService]) { EndpointFamily = Family.IPv4 };
        var entry = Element.Of(ElementKey.Of(IpProtocol.Tcp).And(80)) with { Endpoint = new(InetAddress.Parse("10.42.0.5"), 8080) };
        var translation = Always(new Statement.DestinationNat(Family.IPv4, false, "map"));
        var nat = new Chain("nat", new(ChainType.Nat, Hook.Prerouting, -100), [translation, Always(Drop)]);
        Assert.Multiple(() =>
        {
            Assert.That(Walk(Forwarded, [map], [new("map", entry)], nat).Accepted, Is.True);
            Assert.That(Walk(Forwarded, [map], [], nat).Accepted, Is.False, "without an entry the next rule");
            Assert.That(Walk(Forwarded with { State = CtState.Established }, [map], [], nat).Accepted, Is.True, "only the first packet of a connection");
            Assert.That(() => Walk(Forwarded, [map], [new("map", entry)], Base(translation)), Throws.InvalidOperationException, "outside a nat chain");
            Assert.That(() => Walk(Forwarded, [map with { EndpointFamily = Family.IPv6 }], [], nat), Throws.InvalidOperationException, "endpoints of another family");
            Assert.That(() => Walk(Forwarded, [map], [new("map", Element.Of(entry.Key))], nat), Throws.InvalidOperationException, "an element without an endpoint");
        });
    }

    [Test]
    public void A_packet_that_leaves_by_no_device_is_for_an_address_of_this_node()
    {
        var chain = new Chain("prerouting", new(ChainType.Filter, Hook.Prerouting, 0), [new([new Match.AddressIsLocal(Side.Daddr)], [Drop])]);
        Assert.That(Walk(Forwarded, chain).Accepted, Is.True);
        Assert.That(Walk(Forwarded with { OutputInterface = null }, chain).Accepted, Is.False);
    }

    // A range of two parts is a rectangle: (tcp, 20) is between (tcp, 10) and (udp, 15) as one number, and yet outside.
    [Test]
    public void Ranges_of_concatenations_are_compared_part_by_part()
    {
        var set = new Set("ports", [DataType.InetProto, DataType.InetService], IsInterval: true);
        var range = new Element(ElementKey.Of(IpProtocol.Tcp).And(10), ElementKey.Of(IpProtocol.Udp).And(15), null);
        var rule = new Rule([new Match.PortInSet("ports")], [Drop]);
        Assert.That(Walk(Forwarded with { DestinationPort = 20 }, [set], [new("ports", range)], Base(rule)).Accepted, Is.True);
        Assert.That(Walk(Forwarded with { DestinationPort = 12 }, [set], [new("ports", range)], Base(rule)).Accepted, Is.False);
    }

    [Test]
    public void What_the_kernel_would_not_load_throws()
    {
        var overlapping = new Set("set", [DataType.Ipv4Addr], IsInterval: true);
        SetElement Range(string first, string last) => new("set", Element.Range(InetAddress.Parse(first), InetAddress.Parse(last)));
        Assert.Multiple(() =>
        {
            Assert.That(() => Walk(Forwarded, Base(To(Verdict.Jump("nowhere")))), Throws.InvalidOperationException);
            Assert.That(() => Walk(Forwarded, Base(new Rule([new Match.PortInSet("nowhere")], [Drop]))), Throws.InvalidOperationException);
            Assert.That(() => Walk(Forwarded, Base(Always(new Statement.Masquerade()))), Throws.InvalidOperationException);
            Assert.That(() => Walk(Forwarded, Base(new Rule([new Match.SourceNotRoutedBack()], [Drop]))), Throws.InvalidOperationException);
            Assert.That(() => Walk(Forwarded, Base(To(Verdict.Jump("loop"))), Plain("loop", To(Verdict.Jump("loop")))), Throws.InvalidOperationException);
            Assert.That(() => Walk(Forwarded, Base(To(Verdict.Goto("loop"))), Plain("loop", To(Verdict.Goto("loop")))), Throws.InvalidOperationException);
            Assert.That(() => Walk(Forwarded, [overlapping], [Range("10.0.0.1", "10.0.0.9"), Range("10.0.0.9", "10.0.0.20")], Base()), Throws.InvalidOperationException);
            Assert.That(() => Walk(Forwarded, [new("set", [DataType.Ipv6Addr])], [], Base(new Rule([new Match.AddressInSet(Side.Saddr, Family.IPv4, "set")], [Drop]))), Throws.InvalidOperationException);
        });
    }

    private static Rule Always(Statement statement) => new([], [statement]);

    private static Rule To(Verdict verdict) => Always(new Statement.Final(verdict));

    private static Chain Base(params Rule[] rules) => new("forward", new(ChainType.Filter, Hook.Forward, 0), new(rules));

    private static Chain Plain(string name, params Rule[] rules) => new(name, null, new(rules));

    private static Trace Walk(Packet packet, params Chain[] chains) => Walk(packet, [], [], chains);

    private static Trace Walk(Packet packet, Set[] sets, SetElement[] elements, params Chain[] chains) => new PacketTracer(new RulesetView(new(
        chains.ToDictionary(chain => chain.Name),
        sets.ToDictionary(set => set.Name),
        elements.GroupBy(element => element.Set).ToDictionary(group => group.Key, group => (IReadOnlyCollection<Element>)[.. group.Select(item => item.Element)])))).Walk(packet);
}
