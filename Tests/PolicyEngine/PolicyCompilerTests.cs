using System.Text.RegularExpressions;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Tests.PolicyEngine;

/// <summary>One policy rule in, rules of nft out, with every hash written as <c>#</c>.</summary>
public partial class PolicyCompilerTests
{
    private static readonly Peer Web = new Peer.Pods(null, Where("app", "web"));
    private static readonly Peer Ops = new Peer.Pods(Where("team", "ops"), LabelSelector.Everything);
    private static readonly PortMatch Http = new PortMatch.Named(IpProtocol.Tcp, "http");

    [Test]
    public void Rule_for_everything_is_one_rule_for_both_families() =>
        AssertIngress([new Peer.Any()], [new PortMatch.Any()], ["accept"]);

    [Test]
    public void Rule_without_peers_or_without_ports_matches_nothing()
    {
        AssertIngress([], [new PortMatch.Any()], []);
        AssertIngress([new Peer.Any()], [], []);
    }

    [Test]
    public void Selected_peers_of_a_rule_are_one_set_per_family() =>
        AssertIngress([Web, Ops], [Port(80)], ["ip saddr @peer-#-v4 tcp dport 80 accept", "ip6 saddr @peer-#-v6 tcp dport 80 accept"]);

    [Test]
    public void Peer_set_does_not_depend_on_the_order_of_peers()
    {
        var one = Compile([Web, Ops], [Port(80)], Direction.Ingress);
        var other = Compile([Ops, Web, Ops], [Port(80)], Direction.Ingress);
        Assert.That((one.Ingress, one.Sources), Is.EqualTo((other.Ingress, other.Sources)));
    }

    [Test]
    public void Peer_without_namespaceSelector_is_of_the_policys_own_namespace()
    {
        var shop = Compile([Web], [Port(80)], Direction.Ingress);
        var ops = PolicyCompiler.Compile(shop.Policy with { Name = new("ops", "allow") });
        Assert.That(shop.Sources.Select(source => source.Set.Name), Is.Not.SubsetOf(ops.Sources.Select(source => source.Set.Name)));
    }

    [Test]
    public void Any_peer_absorbs_the_others_and_any_port_too() =>
        AssertIngress([Web, new Peer.Any()], [Port(80), new PortMatch.Any()], ["accept"]);

    [Test]
    public void Egress_looks_at_the_destination() =>
        AssertEgress([Web], [Port(80)], ["ip daddr @peer-#-v4 tcp dport 80 accept", "ip6 daddr @peer-#-v6 tcp dport 80 accept"]);

    [Test]
    public void Several_ports_are_one_set_and_one_port_is_none()
    {
        AssertIngress([new Peer.Any()], [Port(80), Port(80)], ["tcp dport 80 accept"]);
        AssertIngress([new Peer.Any()], [Port(80), Port(443), Port(53, IpProtocol.Udp)], ["meta l4proto . th dport @ports-# accept"]);
    }

    [Test]
    public void Touching_ports_become_a_range_and_a_range_needs_no_set() =>
        AssertIngress([new Peer.Any()], [Port(80), Port(81), new PortMatch.Numeric(IpProtocol.Tcp, 82, 90)], ["tcp dport 80-90 accept"]);

    [Test]
    public void Port_set_is_an_interval_set_only_when_it_holds_a_range()
    {
        var plain = Compile([new Peer.Any()], [Port(80), Port(443)], Direction.Ingress).Sources.Single();
        var ranges = Compile([new Peer.Any()], [Port(80), new PortMatch.Numeric(IpProtocol.Sctp, 1, 9)], Direction.Ingress).Sources.Single();
        Assert.That(plain.Set.IsInterval, Is.False);
        Assert.That(ranges.Set.IsInterval);
        Assert.That(((SetSource.Fixed)ranges).Elements.Select(element => NftText.Print(ranges.Set, element)), Is.EqualTo(["tcp . 80", "sctp . 1-9"]));
    }

    [Test]
    public void Protocol_without_port_matches_that_protocol_only() =>
        AssertIngress([new Peer.Any()], [new PortMatch.Numeric(IpProtocol.Sctp, 0, 65535)], ["meta l4proto sctp accept"]);

    [Test]
    public void Named_port_on_ingress_is_looked_up_at_the_local_pod() =>
        AssertIngress([Web], [Http],
        [
            "ip saddr @peer-#-v4 ip daddr . meta l4proto . th dport @pod-port-#-v4 accept",
            "ip6 saddr @peer-#-v6 ip6 daddr . meta l4proto . th dport @pod-port-#-v6 accept",
        ]);

    [Test]
    public void Named_port_on_egress_is_one_look_up_of_peer_and_port() =>
        AssertEgress([Web], [Http],
        [
            "ip daddr . meta l4proto . th dport @peer-port-#-v4 accept",
            "ip6 daddr . meta l4proto . th dport @peer-port-#-v6 accept",
        ]);

    [Test]
    public void Named_port_with_any_peer_is_the_port_of_every_pod_of_the_cluster()
    {
        var sources = Compile([new Peer.Any()], [Http], Direction.Egress).Sources;
        Assert.That(sources.OfType<SetSource.Pods>().SelectMany(source => source.Selectors).Distinct().Single().ToString(), Does.Contain("Namespace = , "));
        Assert.That(sources.OfType<SetSource.Pods>().Select(source => source.Within), Is.All.Null);
    }

    [Test]
    public void One_prefix_needs_no_set() =>
        AssertIngress([Block("10.0.0.0/8"), Block("0.0.0.0/0"), Block("fd00::/8")], [Port(80)],
            ["meta nfproto ipv4 tcp dport 80 accept", "ip6 saddr fd00::/8 tcp dport 80 accept", "ip6 saddr @node-#-v6 tcp dport 80 accept"]);

    [Test]
    public void Blocks_of_a_rule_are_one_set_per_family_with_what_is_excepted_cut_out()
    {
        var compiled = AssertIngress([Block("10.0.0.0/8", "10.1.0.0/16"), Block("fd00::/16", "fd00::/17")], [new PortMatch.Any()],
            [
                "ip saddr @cidr-#-v4 ip saddr != @node-#-v4 accept", "ip saddr @node-#-v4 ip saddr != @node-#-v4 accept",
                "ip6 saddr fd00:8000::/17 ip6 saddr != @node-#-v6 accept", "ip6 saddr @node-#-v6 ip6 saddr != @node-#-v6 accept",
            ]);
        var set = compiled.Sources.OfType<SetSource.Fixed>().Single();
        Assert.That(set.Elements.Select(element => NftText.Print(set.Set, element)), Is.EqualTo(["10.0.0.0/16", "10.2.0.0-10.255.255.255"]));
    }

    [Test]
    public void What_another_block_lets_back_in_is_not_excepted() =>
        AssertIngress([Block("10.0.0.0/8", "10.1.0.0/16"), Block("10.1.0.0/16")], [new PortMatch.Any()], ["ip saddr 10.0.0.0/8 accept", "ip saddr @node-#-v4 accept"]);

    [Test]
    public void Block_whose_exceptions_leave_nothing_has_no_rule() =>
        AssertIngress([Block("10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9")], [new PortMatch.Any()], []);

    [Test]
    public void Numbers_of_rules_do_not_depend_on_the_length_of_lists()
    {
        Peer[] peers = [Web, Ops, .. Enumerable.Range(0, 100).Select(i => Block($"10.{i}.0.0/24")), .. Enumerable.Range(0, 100).Select(i => Block($"fd00:{i}::/64"))];
        PortMatch[] ports = [.. Enumerable.Range(0, 100).Select(i => Port((ushort)(2 * i))), Http, new PortMatch.Named(IpProtocol.Udp, "dns")];
        Assert.That(Compile(peers, ports, Direction.Ingress).Ingress!.Rules, Has.Count.EqualTo(12), "selectors, ipBlocks, tunnels of nodes in them; numbers and names; two families");
        Assert.That(Compile(peers, ports, Direction.Egress).Egress!.Rules, Has.Count.EqualTo(10), "nodes have no named ports");
    }

    [Test]
    public void Policy_that_isolates_and_allows_nothing_has_no_chain_and_no_sets()
    {
        var compiled = PolicyCompiler.Compile(Policy.Namespaced(new("shop", "deny"), LabelSelector.Everything, [], []));
        Assert.That(compiled.Ingress ?? compiled.Egress, Is.Null);
        Assert.That(compiled.Sources, Is.Empty);
    }

    [Test]
    public void Names_and_comments_stay_within_bounds_and_apart()
    {
        var name = new NamespacedName(new string('n', 63), new string('p', 252));
        Rule[] rules = [.. Compiled("a"), .. Compiled("b")];
        string[] chains = [.. new[] { "a", "b" }.SelectMany(end => Enum.GetValues<Direction>().Select(direction => ChainName.OfPolicy(name with { Name = name.Name + end }, direction)))];
        Assert.That(chains, Is.Unique);
        Assert.That(chains.Select(chain => chain.Length), Is.All.AtMost(ChainName.MaxLength));
        Assert.That(rules.Select(rule => rule.Comment!.Length), Is.All.AtMost(128));

        IEnumerable<Rule> Compiled(string end) =>
            PolicyCompiler.Compile(Policy.Namespaced(name with { Name = name.Name + end }, LabelSelector.Everything, [new([new Peer.Any()], [new PortMatch.Any()])], null)).Ingress!.Rules;
    }

    [Test]
    public void Parts_of_a_hashed_name_are_kept_apart() =>
        Assert.That(ChainName.OfPolicy(new("a", "bc"), Direction.Ingress)[..15], Is.Not.EqualTo(ChainName.OfPolicy(new("ab", "c"), Direction.Ingress)[..15]));

    private static LabelSelector Where(string key, params string[] values) => LabelSelector.Of(new LabelSelectorRequirement(key, LabelSelectorOperator.In, new(values)));

    private static PortMatch Port(ushort port, IpProtocol protocol = IpProtocol.Tcp) => new PortMatch.Numeric(protocol, port, port);

    private static Peer Block(string cidr, params string[] except) => new Peer.IPBlock(Cidr.Parse(cidr), new([.. except.Select(Cidr.Parse)]));

    private static CompiledPolicy Compile(Peer[] peers, PortMatch[] ports, Direction direction)
    {
        EquatableArray<PolicyRule> rules = [new(new(peers), new(ports))];
        return PolicyCompiler.Compile(Policy.Namespaced(new("shop", "allow"), LabelSelector.Everything,
            direction == Direction.Ingress ? rules : null, direction == Direction.Egress ? rules : null));
    }

    private static CompiledPolicy AssertIngress(Peer[] peers, PortMatch[] ports, string[] expected) => AssertRules(peers, ports, Direction.Ingress, expected);

    private static CompiledPolicy AssertEgress(Peer[] peers, PortMatch[] ports, string[] expected) => AssertRules(peers, ports, Direction.Egress, expected);

    private static CompiledPolicy AssertRules(Peer[] peers, PortMatch[] ports, Direction direction, string[] expected)
    {
        var compiled = Compile(peers, ports, direction);
        var rules = (compiled.Chain(direction)?.Rules ?? []).Select(rule => Hash().Replace(NftText.Print(rule with { Comment = null }), "-#"));
        Assert.That(rules, Is.EqualTo(expected));
        return compiled;
    }

    [GeneratedRegex("-[a-z2-7]{16}")]
    private static partial Regex Hash();
}
