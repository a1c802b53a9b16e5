using System.Globalization;
using System.Text;

namespace Overlay.PolicyEngine.Nftables;

/// <summary>
/// Prints a ruleset, or a part of it, as nft(8) text: what <c>nft -f</c> loads and, but for counter values and line breaks between elements,
/// what <c>nft list table inet overlay</c> prints. The order is fixed, so equal rulesets print equal texts.
/// </summary>
public static partial class NftText
{
    /// <summary>The whole table: sets and maps by name, base chains in the order a packet meets them, other chains by name.</summary>
    public static string Print(Ruleset ruleset)
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"table inet {Ruleset.Table} {{\n");
        var first = true;
        foreach (var set in ruleset.Sets.Values.OrderBy(set => set.Name, StringComparer.Ordinal))
        {
            Separate(text, ref first);
            AppendSet(text, set, ruleset.Elements.GetValueOrDefault(set.Name) ?? []);
        }

        foreach (var chain in ruleset.Chains.Values.OrderBy(Position).ThenBy(chain => chain.Name, StringComparer.Ordinal))
        {
            Separate(text, ref first);
            AppendChain(text, chain);
        }

        return text.Append("}\n").ToString();
    }

    /// <summary>One set or map with its elements, in key order, indented as inside a table.</summary>
    public static string Print(Set set, IEnumerable<Element> elements)
    {
        var text = new StringBuilder();
        AppendSet(text, set, elements);
        return text.ToString();
    }

    /// <summary>One chain, indented as inside a table.</summary>
    public static string Print(Chain chain)
    {
        var text = new StringBuilder();
        AppendChain(text, chain);
        return text.ToString();
    }

    /// <summary>One rule on one line: <c>ip saddr @peer-v4 tcp dport 80 accept comment "shop/web ingress[0]"</c>.</summary>
    public static string Print(Rule rule)
    {
        var parts = rule.Matches.Select(Print).Concat(rule.Statements.Select(Print));
        return string.Join(' ', rule.Comment is null ? parts : parts.Append($"comment \"{rule.Comment}\""));
    }

    // A packet meets the hooks in this order; chains that are only jumped to come last.
    private static int Position(Chain chain) => chain.Base is { } attached ? ((int)attached.Hook << 16) + attached.Priority : int.MaxValue;

    private static void Separate(StringBuilder text, ref bool first)
    {
        if (!first)
            text.Append('\n');
        first = false;
    }

    private static void AppendSet(StringBuilder text, Set set, IEnumerable<Element> elements)
    {
        text.Append(CultureInfo.InvariantCulture, $"\t{(set.IsMap ? "map" : "set")} {set.Name} {{\n");
        text.Append(CultureInfo.InvariantCulture, $"\t\ttype {string.Join(" . ", set.Key.Select(part => part.NftName()))}{Mapped(set)}\n");
        if (set.IsInterval)
            text.Append("\t\tflags interval\n");
        var lines = string.Join(",\n\t\t\t     ", elements.OrderBy(element => element.Key).Select(element => Print(set, element)));
        if (lines.Length > 0)
            text.Append(CultureInfo.InvariantCulture, $"\t\telements = {{ {lines} }}\n");
        text.Append("\t}\n");
    }

    private static string Mapped(Set set) => set switch
    {
        { IsVerdictMap: true } => " : verdict",
        { EndpointFamily: { } family } => $" : {family.AddressType().NftName()} . {DataType.InetService.NftName()}",
        _ => "",
    };

    private static void AppendChain(StringBuilder text, Chain chain)
    {
        text.Append(CultureInfo.InvariantCulture, $"\tchain {chain.Name} {{\n");
        if (chain.Base is { } attached)
            text.Append(CultureInfo.InvariantCulture, $"\t\ttype {Lower(attached.Type)} hook {Lower(attached.Hook)} priority {Priority(attached)}; policy accept;\n");
        foreach (var rule in chain.Rules)
            text.Append(CultureInfo.InvariantCulture, $"\t\t{Print(rule)}\n");
        text.Append("\t}\n");
    }

    private static string Priority(BaseChain attached) => (attached.Priority, attached.Hook) switch
    {
        (-300, _) => "raw",
        (-150, _) => "mangle",
        (-100, Hook.Prerouting) => "dstnat",
        (0, _) => "filter",
        (-1, _) => "filter - 1",
        (50, _) => "security",
        (100, Hook.Postrouting) => "srcnat",
        (99, Hook.Postrouting) => "srcnat - 1",
        var (priority, _) => priority.ToString(CultureInfo.InvariantCulture),
    };

    private static string Lower<T>(T word) where T : struct, Enum => word.ToString().ToLowerInvariant();
}
