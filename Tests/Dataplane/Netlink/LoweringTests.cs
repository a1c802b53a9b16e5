using System.Reflection;
using Overlay.Dataplane.Netlink.Netfilter;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;
using Overlay.Tests.Kernel;
using static Overlay.PolicyEngine.Nftables.Match;

namespace Overlay.Tests.Dataplane.Netlink;

/// <summary>Rules against the expressions that nft(8) itself makes of their text, as <c>nft --debug=netlink</c> prints them.</summary>
public class LoweringTests
{
    private const string Chain = "c";
    private static readonly string GoldenFile = Path.Combine(TestContext.CurrentContext.TestDirectory, "Golden", "nftables", "expressions.txt");

    private static IEnumerable<Rule> Rules =>
        NftablesShapes.Chains.Where(chain => chain.Name is "matches" or "statements").SelectMany(chain => chain.Rules)
            .Append(new([], [new Statement.Final(Verdict.Accept)], "shop/allow-web ingress[0] ä"));

    [Test]
    public void Every_match_and_statement_there_is_has_a_shape_in_these_tests()
    {
        Assert.That(NftablesShapes.Matches.Select(match => match.GetType()).Distinct(), Is.EquivalentTo(Cases<Match>()));
        Assert.That(NftablesShapes.Statements.Select(statement => statement.GetType()).Concat([typeof(Statement.Masquerade), typeof(Statement.Notrack)]).Distinct(), Is.EquivalentTo(Cases<Statement>()));
    }

    [Test]
    public void Rules_lower_to_what_nft_was_seen_to_make_of_their_text()
    {
        var goldens = Blocks(File.ReadAllText(GoldenFile)).ToDictionary(block => block.Header, block => block.Expressions);
        Assert.Multiple(() =>
        {
            foreach (var rule in Rules)
                Assert.That(Lowered(rule), Is.EqualTo(goldens.GetValueOrDefault(NftText.Print(rule))), NftText.Print(rule));
        });
    }

    [Test]
    public void The_goldens_are_what_nft_says_today()
    {
        var seen = AskNft(Rules.ToList());
        var text = string.Concat(seen.Select(block => $"{block.Header}\n{string.Concat(block.Expressions.Select(expression => $"  {expression}\n"))}\n"));
        if (Environment.GetEnvironmentVariable("OVERLAY_WRITE_GOLDENS") is { } folder)
            File.WriteAllText(Path.Combine(folder, "nftables", "expressions.txt"), text);
        Assert.That(text, Is.EqualTo(File.ReadAllText(GoldenFile)));
    }

    [Test]
    public void Two_matches_in_a_row_lower_as_nft_does_it_with_each_protocol_tested_once()
    {
        var pairs = (
            from first in NftablesShapes.Matches
            from second in NftablesShapes.Matches
            where !Contradict(first, second)
            select new Rule([first, second], [new Statement.Final(Verdict.Accept)])).ToList();
        var seen = AskNft(pairs);
        Assert.That(seen, Has.Count.EqualTo(pairs.Count));
        Assert.Multiple(() =>
        {
            for (var i = 0; i < pairs.Count; i++)
                Assert.That(Lowered(pairs[i]), Is.EqualTo(seen[i].Expressions), NftText.Print(pairs[i]));
        });
    }

    [Test]
    public void A_masquerade_lowers_as_nft_does_it()
    {
        var rule = new Rule([new AddressInSet(Side.Saddr, Family.IPv4, "hash-v4")], [new Statement.Masquerade()]);
        Assert.That(Lowered(rule), Is.EqualTo(AskNft([rule], "{ type nat hook postrouting priority srcnat; }")[0].Expressions));
    }

    [Test]
    public void A_notrack_lowers_as_nft_does_it()
    {
        var rule = new Rule([new AddressInSet(Side.Saddr, Family.IPv4, "hash-v4")], [new Statement.Notrack(), new Statement.Final(Verdict.Accept)]);
        Assert.That(Lowered(rule), Is.EqualTo(AskNft([rule], "{ type filter hook prerouting priority raw; }")[0].Expressions));
    }

    private static string[] Lowered(Rule rule) => [.. Lowering.Lower(rule).Select(expression => expression.ToString())];

    private static IEnumerable<Type> Cases<T>() => typeof(T).GetNestedTypes(BindingFlags.Public | BindingFlags.NonPublic).Where(type => type.IsAssignableTo(typeof(T)));

    // nft refuses a rule that asks for two families or two protocols at once.
    private static bool Contradict(Match first, Match second) =>
        Differ(FamilyOf(first), FamilyOf(second)) || Differ(ProtocolOf(first), ProtocolOf(second));

    private static bool Differ<T>(T? first, T? second)
        where T : struct => first is { } one && second is { } other && !one.Equals(other);

    private static Family? FamilyOf(Match match) => match switch
    {
        AddressInSet m => m.Family,
        AddressInPrefix m => m.Prefix.Family,
        AddressPairInSet m => m.Family,
        AddressPortInSet m => m.Family,
        Icmpv6Type => Family.IPv6,
        _ => null,
    };

    private static byte? ProtocolOf(Match match) => match switch
    {
        DestinationPort m => (byte)m.Protocol,
        L4Protocol m => m.Protocol,
        Icmpv6Type => 58,
        _ => null,
    };

    private static List<(string Header, string[] Expressions)> AskNft(List<Rule> rules, string hook = "")
    {
        using var net = NetnsFixture.Create();
        if (!File.Exists("/usr/sbin/nft"))
            Assert.Ignore("nft is not installed, which is what this test asks.");
        var sets = string.Concat(NftablesShapes.Sets.Select(set => NftText.Print(set, [])));
        net.Run("nft -f -", $"table inet overlay {{\n{sets}chain policy-0123abcd-shop/web-in {{ }}\nchain {Chain} {{ }}\n}}".Replace($"chain {Chain} {{ }}", $"chain {Chain} {(hook.Length > 0 ? hook : "{ }")}"));
        var text = string.Concat(rules.Select(rule => $"add rule inet overlay {Chain} {NftText.Print(rule)}\n"));
        var blocks = Blocks(net.Run("nft --debug=netlink -f -", text));
        return [.. rules.Zip(blocks, (rule, block) => (NftText.Print(rule), block.Expressions))];
    }

    // A block is a header and the expressions below it, ended by an empty line or, after a comment, by its user data.
    private static List<(string Header, string[] Expressions)> Blocks(string text)
    {
        var blocks = new List<(string, string[])>();
        var expressions = new List<string>();
        var header = "";
        foreach (var line in text.Split('\n').Append(""))
            if (line.StartsWith("  [", StringComparison.Ordinal))
            {
                if (!IsNothing(line))
                    expressions.Add(line.Trim());
            }
            else
            {
                if (expressions.Count > 0)
                    blocks.Add((header, [.. expressions]));
                expressions.Clear();
                header = line;
            }
        return blocks;
    }

    // nft 1.0.6 swaps the bytes of a protocol number before it looks for it in a concatenation with ranges, which changes nothing: it is one byte.
    private static bool IsNothing(string line) => line.Contains("[ byteorder reg 1 = hton(reg 1, 2, 1) ]", StringComparison.Ordinal);
}
