using System.Net;
using System.Net.Sockets;
using System.Text.RegularExpressions;
using Overlay.PolicyEngine.Nftables;
using static Overlay.Tests.Dataplane.Netlink.NftablesShapes;

namespace Overlay.Tests.Kernel;

public partial class NftablesTableTests
{
    private static readonly Rule Accept = new([], [new Statement.Final(Verdict.Accept)]);

    [Test]
    public void Every_shape_goes_into_the_kernel_and_comes_back_equal()
    {
        using var kernel = NftablesFixture.Create();
        Assert.That(kernel.Table.Resync(Shapes), Is.EqualTo(new[] { "table inet overlay is missing" }));
        Assert.That(kernel.Table.Verify(Shapes), Is.Empty);
        Assert.That(kernel.Table.Resync(Shapes), Is.Empty);
    }

    [Test]
    public void Every_shape_is_listed_as_if_nft_had_loaded_its_text()
    {
        using var ours = NftablesFixture.Create();
        ours.Table.Resync(Shapes);
        using var theirs = NftablesFixture.Create();
        theirs.Net.Run("nft -f -", NftText.Print(Shapes));
        Assert.That(Sorted(ours.Net.Run("nft list ruleset")), Is.EqualTo(Sorted(theirs.Net.Run("nft list ruleset"))));
        Assert.That(theirs.Table.Verify(Shapes), Has.Count.EqualTo(1).And.One.Contains("byteorder"), "all that nft 1.0.6 makes otherwise");
    }

    [Test]
    public void A_table_that_is_as_wanted_is_not_written_again()
    {
        using var kernel = NftablesFixture.Create();
        kernel.Table.Resync(Shapes);
        var before = kernel.Table.Dump().Generation;
        kernel.Table.Resync(Shapes);
        kernel.Table.Apply(RulesetDelta.Empty);
        Assert.That(kernel.Table.Dump().Generation, Is.EqualTo(before));
    }

    [Test]
    public void Changes_applied_one_after_the_other_end_in_the_wanted_ruleset()
    {
        using var kernel = NftablesFixture.Create();
        var random = new Random(7);
        var current = Rulesets.Empty;
        kernel.Table.Resync(current);
        for (var step = 0; step < 40; step++)
        {
            var next = Rulesets.Part(Shapes, random);
            kernel.Table.Apply(Rulesets.Delta(current, next));
            Assert.That(kernel.Table.Verify(next), Is.Empty, $"step {step}");
            current = next;
        }
    }

    [Test]
    public void Any_ruleset_is_repaired_to_any_other()
    {
        using var kernel = NftablesFixture.Create();
        var random = new Random(8);
        for (var step = 0; step < 40; step++)
        {
            var wanted = Rulesets.Part(Shapes, random);
            kernel.Table.Resync(wanted);
            Assert.That(kernel.Table.Verify(wanted), Is.Empty, $"step {step}");
        }
    }

    [Test]
    public void A_change_before_the_first_resync_is_a_mistake_of_the_caller()
    {
        using var kernel = NftablesFixture.Create();
        Assert.That(() => kernel.Table.Apply(RulesetDelta.Empty), Throws.InvalidOperationException);
    }

    [Test]
    public void A_map_element_gets_another_verdict_without_a_packet_seeing_none()
    {
        using var kernel = NftablesFixture.Create();
        kernel.Table.Resync(Rulesets.Of([new("a", null, [])], [new("m", [DataType.Ipv4Addr], IsVerdictMap: true)], ("m", V4("10.0.0.1", Verdict.Accept))));
        kernel.Table.Apply(RulesetDelta.Empty with { Elements = [new("m", V4("10.0.0.1", Verdict.Goto("a")))] });
        kernel.Table.Apply(RulesetDelta.Empty with { Elements = [new("m", V4("10.0.0.1", Verdict.Drop))] });
        Assert.That(kernel.Net.Run("nft list map inet overlay m"), Does.Contain("elements = { 10.0.0.1 : drop }"));
    }

    [Test]
    public void A_chain_goes_together_with_the_last_map_element_that_points_at_it()
    {
        using var kernel = NftablesFixture.Create();
        kernel.Table.Resync(Rulesets.Of([new("a", null, [Accept])], [new("m", [DataType.Ipv4Addr], IsVerdictMap: true)], ("m", V4("10.0.0.1", Verdict.Goto("a")))));
        kernel.Table.Apply(RulesetDelta.Empty with { DeletedChains = ["a"], DeletedElements = [new("m", V4("10.0.0.1", Verdict.Goto("a")))] });
        Assert.That(kernel.Table.Dump().Chains, Is.Empty);
    }

    [Test]
    public void A_chain_that_somebody_elses_rule_still_uses_stays_empty_and_goes_later()
    {
        using var kernel = NftablesFixture.Create();
        kernel.Table.Resync(Rulesets.Of([new("a", null, [Accept]), new("b", null, [Accept]), new("c", null, [])], []));
        kernel.Net.Run("nft add rule inet overlay c jump a");
        kernel.Table.Apply(RulesetDelta.Empty with { DeletedChains = ["a", "b"] });
        Assert.That(kernel.Table.Dump().Chains.Values.Select(chain => (chain.Chain.Name, chain.Rules.Count)), Is.EquivalentTo(new[] { ("a", 0), ("c", 1) }));
        kernel.Net.Run("nft flush chain inet overlay c");
        kernel.Table.Apply(RulesetDelta.Empty);
        Assert.That(kernel.Table.Dump().Chains.Keys, Is.EquivalentTo(new[] { "c" }));
    }

    [Test]
    public void A_base_chain_moves_to_another_hook()
    {
        using var kernel = NftablesFixture.Create();
        var chain = new Chain("b", new(ChainType.Filter, Hook.Forward, 0), [Accept]);
        kernel.Table.Resync(Rulesets.Of([chain], []));
        kernel.Table.Apply(RulesetDelta.Empty with { Chains = [chain with { Base = new(ChainType.Filter, Hook.Input, 5) }] });
        Assert.That(kernel.Net.Run("nft list chain inet overlay b"), Does.Contain("type filter hook input priority filter + 5; policy accept;").And.Contain("accept"));
        Assert.That(kernel.Table.Resync(Rulesets.Of([chain], [])), Has.Count.EqualTo(1).And.One.Contains("chain b is "));
        Assert.That(kernel.Net.Run("nft list chain inet overlay b"), Does.Contain("hook forward priority filter; policy accept;"));
    }

    [TestCase("nft add rule inet overlay forward accept", "chain forward has an unexpected rule 2 [ immediate reg 0 accept ]")]
    [TestCase("nft insert rule inet overlay forward reject", "chain forward has as rule 1 [ reject type 2 code 1 ] where \"jump matches\" is wanted")]
    [TestCase("nft insert rule inet overlay forward meta mark set 1", "chain forward has as rule 1 [ immediate reg 1 0x00000001 ] [ meta 0x")]
    [TestCase("nft flush chain inet overlay forward", "chain forward lacks its rule 1 \"jump matches\"")]
    [TestCase("nft chain inet overlay forward { policy drop ; }", "chain forward is \"type filter hook forward priority 0; policy drop;\" where \"type filter hook forward priority 0; policy accept;\" is wanted")]
    [TestCase("nft add chain inet overlay foreign", "chain foreign is not wanted")]
    [TestCase("nft delete chain inet overlay empty-chain", "chain empty-chain is missing")]
    [TestCase("nft delete element inet overlay hash-v4 { 10.42.0.1 }", "set hash-v4 lacks 1 element: 10.42.0.1")]
    [TestCase("nft add element inet overlay hash-v4 { 10.42.0.9, 10.42.0.8 }", "set hash-v4 has unexpected 2 elements: ")]
    [TestCase("nft delete element inet overlay interval-v4 { 10.0.0.0/8 }", "set interval-v4 lacks 1 element: 10.0.0.0/8")]
    [TestCase("nft add element inet overlay port-ranges { tcp . 81-90 }", "set port-ranges has unexpected 1 element: tcp . 81-90")]
    [TestCase("nft flush set inet overlay whole-v6", "set whole-v6 lacks 1 element: ::/0")]
    [TestCase("nft add element inet overlay map-v4 { 10.42.0.9 : accept }", "set map-v4 has unexpected 1 element: 10.42.0.9 : accept")]
    [TestCase("nft add element inet overlay empty { * }", "set empty has unexpected 1 element: *")]
    [TestCase("nft add set inet overlay foreign { type ether_addr ; }", "set foreign is not wanted")]
    [TestCase("nft delete set inet overlay empty", "set empty is missing")]
    [TestCase("nft add table inet overlay { flags dormant ; }", "table inet overlay is dormant: none of its chains is in force")]
    [TestCase("nft delete table inet overlay", "table inet overlay is missing")]
    public void What_somebody_changed_in_our_table_is_said_and_repaired(string command, string difference)
    {
        using var kernel = NftablesFixture.Create();
        kernel.Table.Resync(Shapes);
        kernel.Net.Run(command);
        var verified = kernel.Table.Verify(Shapes);
        Assert.That(verified, Has.Count.EqualTo(1));
        Assert.That(verified[0], Does.StartWith(difference));
        Assert.That(kernel.Table.Resync(Shapes), Is.EqualTo(verified));
        Assert.That(kernel.Table.Verify(Shapes), Is.Empty);
    }

    [Test]
    public void A_set_of_another_type_is_replaced_with_the_rules_that_use_it()
    {
        using var kernel = NftablesFixture.Create();
        kernel.Net.Run("nft -f -", "table inet overlay {\n set hash-v4 { type inet_service; elements = { 80 } }\n chain matches { tcp dport @hash-v4 accept\n tcp dport @hash-v4 drop\n }\n }");
        kernel.Table.Resync(Shapes);
        Assert.That(kernel.Table.Verify(Shapes), Is.Empty);
        var other = Shapes with { Sets = Shapes.Sets.Values.Select(set => set.Name == "empty" ? set with { Key = [DataType.Ipv6Addr] } : set).ToDictionary(set => set.Name) };
        Assert.That(kernel.Table.Resync(other), Has.Count.EqualTo(1).And.One.StartsWith("set empty is of another type"));
        Assert.That(kernel.Table.Verify(other), Is.Empty);
    }

    [Test]
    public void Tables_of_others_are_never_touched()
    {
        using var kernel = NftablesFixture.Create();
        const string Foreign = "table ip overlay {\n chain c { type filter hook input priority 0; policy accept;\n tcp dport 22 accept\n }\n}\ntable inet other {\n set s { type ipv4_addr; elements = { 10.0.0.1 } }\n chain forward { ip saddr @s drop\n }\n}\n";
        kernel.Net.Run("nft -f -", Foreign);
        var before = kernel.Net.Run("nft list ruleset");
        kernel.Table.Resync(Shapes);
        Assert.That(kernel.Table.Verify(Shapes), Is.Empty);
        kernel.Table.Resync(Rulesets.Empty);
        Assert.That(kernel.Table.Delete(), Is.True);
        Assert.That(kernel.Table.Delete(), Is.False);
        Assert.That(kernel.Net.Run("nft list ruleset"), Is.EqualTo(before));
    }

    [Test]
    public void The_table_is_read_and_repaired_while_others_change_theirs()
    {
        using var kernel = NftablesFixture.Create();
        using var others = kernel.Net.Start("sh", "-c", "while read line; do nft add table ip others && nft delete table ip others && echo done; done");
        for (var step = 0; step < 10; step++)
        {
            others.StandardInput.WriteLine();
            kernel.Table.Resync(step % 2 == 0 ? Shapes : Rulesets.Empty);
            others.StandardInput.WriteLine();
            Assert.That(kernel.Table.Verify(step % 2 == 0 ? Shapes : Rulesets.Empty), Is.Empty);
        }
        others.StandardInput.Close();
        Assert.That(others.StandardOutput.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries), Has.Length.EqualTo(20).And.All.EqualTo("done"));
    }

    [Test]
    public void Counters_keep_counting_while_nothing_changes()
    {
        using var kernel = NftablesFixture.Create();
        var wanted = Rulesets.Of([new("output", new(ChainType.Filter, Hook.Output, 0), [new([], [new Statement.Counter(), new Statement.Final(Verdict.Accept)])])], []);
        kernel.Table.Resync(wanted);
        kernel.Net.Run("ip link set lo up");
        kernel.Net.Netns.Run(() =>
        {
            using var sender = new UdpClient();
            sender.Send([1], new IPEndPoint(IPAddress.Loopback, 9));
        });
        Assert.That(kernel.Table.Resync(wanted), Is.Empty);
        Assert.That(kernel.Net.Run("nft list chain inet overlay output"), Does.Not.Contain("packets 0"));
    }

    // Objects and elements come in the order in which they were made, or hashed.
    internal static IEnumerable<string> Sorted(string listing) => Elements()
        .Replace(listing.Trim().TrimEnd('}'), list => string.Join(", ", list.Groups[1].Value.Split(',').Select(element => element.Trim()).Order(StringComparer.Ordinal)))
        .Replace("table inet overlay {", "", StringComparison.Ordinal).Split("\n\n").Select(item => item.Trim()).Order(StringComparer.Ordinal);

    [GeneratedRegex(@"(?<=elements = \{)([^}]*)(?=\})")]
    private static partial Regex Elements();
}
