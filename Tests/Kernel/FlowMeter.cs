using System.Globalization;
using System.Text.RegularExpressions;

namespace Overlay.Tests.Kernel;

/// <summary>Counts what is forwarded on a node to and from ports, before our chains and behind them: a table of the test's own.</summary>
/// <param name="node">Where.</param>
internal sealed partial class FlowMeter(TestNode node)
{
    /// <summary>Begins to count packets to and from these ports.</summary>
    public void Install(IEnumerable<int> ports)
    {
        var rules = string.Concat(ports.Select(port => $"meta l4proto {{ tcp, udp }} th dport {port} counter\nmeta l4proto {{ tcp, udp }} th sport {port} counter\n"));
        node.Net.Run("nft -f -", $$"""
            table inet counted {
            chain before { type filter hook forward priority -10; policy accept;
            {{rules}}}
            chain behind { type filter hook forward priority 10; policy accept;
            {{rules}}}
            }
            """);
    }

    /// <summary>Packets so far: of each port those to it and those from it, before our chains and behind them.</summary>
    public Dictionary<(int Port, bool ToServer), (long Before, long Behind)> Read()
    {
        var counts = new Dictionary<(int, bool), (long, long)>();
        foreach (var chain in node.Net.Run("nft list table inet counted").Split("chain ").Skip(1))
            foreach (Match line in Counter().Matches(chain))
            {
                var key = (int.Parse(line.Groups[2].Value, CultureInfo.InvariantCulture), line.Groups[1].Value == "dport");
                var packets = long.Parse(line.Groups[3].Value, CultureInfo.InvariantCulture);
                var (before, behind) = counts.GetValueOrDefault(key);
                counts[key] = chain.StartsWith("before", StringComparison.Ordinal) ? (packets, behind) : (before, packets);
            }

        return counts;
    }

    [GeneratedRegex(@"th (dport|sport) (\d+) counter packets (\d+)")]
    private static partial Regex Counter();
}
