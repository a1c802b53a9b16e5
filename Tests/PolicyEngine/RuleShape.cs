using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Tests.PolicyEngine;

/// <summary>What of a ruleset the kernel and its messages see as different kinds: names, addresses and numbers taken away.</summary>
internal static class RuleShape
{
    /// <summary>The shapes of a ruleset's rules, chains, sets and elements, as one line each.</summary>
    public static IEnumerable<string> Of(Ruleset ruleset) =>
    [
        .. ruleset.Chains.Values.Select(chain => $"chain {chain.Base?.ToString() ?? "regular"}"),
        .. ruleset.Chains.Values.SelectMany(chain => chain.Rules).Select(Of),
        .. ruleset.Sets.Values.Select(Of),
        .. ruleset.Elements.SelectMany(set => set.Value.Select(element => $"element of {Of(ruleset.Sets[set.Key])}{(element.Last == element.Key ? "" : ": range")}{(element.Verdict is { } verdict ? $": {verdict.Kind}" : "")}")),
    ];

    private static string Of(Rule rule) => $"rule {string.Join(' ', rule.Matches.Select(Of))} => {string.Join(' ', rule.Statements.Select(Of))}{(rule.Comment is null ? "" : " comment")}";

    private static string Of(Set set) => $"set {string.Join(" . ", set.Key)}{(set.IsInterval ? " interval" : "")}{(set.IsVerdictMap ? " map" : "")}{(set.EndpointFamily is { } family ? $" map to {family}" : "")}";

    private static string Of(Match match) => match switch
    {
        Match.ConnectionState m => $"ct-state({m.States})",
        Match.InputInterface m => $"iifname({Not(m.Negated)}{(m.Name.EndsWith('*') ? "wildcard" : "exact")})",
        Match.OutputInterface m => $"oifname({Not(m.Negated)}{(m.Name.EndsWith('*') ? "wildcard" : "exact")})",
        Match.AddressInSet m => $"{m.Side}-{m.Family}({Not(m.Negated)}set)",
        Match.AddressInPrefix m => $"{m.Side}-{m.Prefix.Family}({Not(m.Negated)}{Length(m.Prefix)})",
        Match.AddressPairInSet m => $"pair-{m.Family}",
        Match.AddressPortInSet m => $"endpoint-{m.Side}-{m.Family}",
        Match.DestinationPort m => $"dport({m.Protocol} {(m.First == m.Last ? "one" : "range")})",
        Match.PortInSet => "dport(set)",
        Match.L4Protocol => "l4proto",
        Match.Icmpv6Type m => $"icmpv6({(m.First == m.Last ? "one" : "range")})",
        Match.Mark => "mark",
        Match.ConnectionMark => "ct-mark",
        Match.SourceNotRoutedBack => "fib",
        Match.AddressIsLocal m => $"fib-{m.Side}",
        _ => throw new NotSupportedException($"{match.GetType().Name} has no shape here yet: add it."),
    };

    private static string Of(Statement statement) => statement switch
    {
        Statement.Final s => s.Verdict.Kind.ToString(),
        Statement.AddressVerdictMap s => $"vmap({s.Side}-{s.Family})",
        Statement.Counter => "counter",
        Statement.Notrack => "notrack",
        Statement.Masquerade => "masquerade",
        Statement.DestinationNat s => $"dnat({(s.ByAddress ? "address-" : "")}{s.Family})",
        _ => throw new NotSupportedException($"{statement.GetType().Name} has no shape here yet: add it."),
    };

    private static string Not(bool negated) => negated ? "not " : "";

    // Whole addresses, nothing, whole bytes, and bits in the middle of one are lowered in different ways.
    private static string Length(Cidr prefix) => prefix.PrefixLength switch
    {
        0 => "any",
        var length when length == (prefix.Family == Family.IPv4 ? 32 : 128) => "address",
        var length => length % 8 == 0 ? "bytes" : "bits",
    };
}
