using System.Text.RegularExpressions;
using Overlay.Dataplane;
using Overlay.Dataplane.Metrics;
using Overlay.Dataplane.Probing;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Dataplane.Metrics;

/// <summary>A node's status as Prometheus reads it.</summary>
public partial class PrometheusTextTests
{
    private static readonly NodeStatus Busy = new()
    {
        NodeName = "node-1",
        IsServing = true,
        Nodes = 3,
        KnownPods = 120,
        LocalPods = 40,
        Policies = new Dictionary<Tier, int> { [Tier.Admin] = 2, [Tier.NetworkPolicy] = 31 },
        Rejections =
        [
            new("a \"b\"\\c.yaml", 3, "NetworkPolicy", new("shop", "db"), "spec.ingress[0]", "one."),
            new("a \"b\"\\c.yaml", 5, "NetworkPolicy", new("shop", "db"), "spec.ingress[1]", "two."),
            new("broken.yaml", 1, "", default, "", "not YAML."),
        ],
        Quarantined = [new("shop", "web")],
        Degradations = [new("Node n2", "has no address.")],
        RulesetsCommitted = 17,
        DriftRepaired = 4,
        Resyncs = 2,
        ResyncDuration = TimeSpan.FromMilliseconds(30),
        Ways = new Dictionary<Reachability, int> { [Reachability.Reached] = 4, [Reachability.Closed] = 1 },
        Reaped = new Dictionary<string, long> { ["address"] = 3 },
        Flows = new(9, 1500, TimeSpan.FromMilliseconds(10), TimeSpan.FromMilliseconds(90), 12, 5, "ENOMEM"),
    };

    private static string Text => PrometheusText.Print(Busy, "1.2.3", TimeSpan.FromSeconds(1.5), 12_000_000);

    [Test]
    public void Every_number_of_the_status_is_there() => Assert.That(Text.Split('\n').Where(line => !line.StartsWith('#') && line.Length > 0), Is.EqualTo(new[]
    {
        """overlay_build_info{version="1.2.3",node="node-1"} 1""",
        "overlay_serving 1",
        "overlay_nodes 3",
        "overlay_pods_known 120",
        "overlay_pods_local 40",
        """overlay_policies{tier="Admin"} 2""",
        """overlay_policies{tier="NetworkPolicy"} 31""",
        """overlay_policies{tier="Baseline"} 0""",
        "overlay_rejected_objects 2",
        """overlay_rejected_object{kind="NetworkPolicy",namespace="shop",name="db",source="a \"b\"\\c.yaml"} 1""",
        """overlay_rejected_object{kind="",namespace="",name="",source="broken.yaml"} 1""",
        "overlay_quarantined_policies 1",
        """overlay_quarantined_policy{namespace="shop",name="web"} 1""",
        "overlay_degraded 2",
        """overlay_ways{reachability="unknown"} 0""",
        """overlay_ways{reachability="reached"} 4""",
        """overlay_ways{reachability="toobig"} 0""",
        """overlay_ways{reachability="closed"} 1""",
        """overlay_ways{reachability="silent"} 0""",
        "overlay_rulesets_committed_total 17",
        "overlay_drift_repaired_total 4",
        """overlay_reaped_total{kind="attachment"} 0""",
        """overlay_reaped_total{kind="interface"} 0""",
        """overlay_reaped_total{kind="address"} 3""",
        """overlay_reaped_total{kind="file"} 0""",
        "overlay_resync_duration_seconds_sum 0.03",
        "overlay_resync_duration_seconds_count 2",
        "overlay_connections 1500",
        "overlay_flows_revoked_total 12",
        "overlay_flows_restored_total 5",
        "overlay_conntrack_look_duration_seconds_sum 0.09",
        "overlay_conntrack_look_duration_seconds_count 9",
        "process_cpu_seconds_total 1.5",
        "process_resident_memory_bytes 12000000",
    }));

    // The text format of Prometheus: HELP and TYPE once for each family, before its samples; no series twice.
    [Test]
    public void It_is_well_formed()
    {
        Assert.That(Text, Does.EndWith("\n"));
        var (family, series) = ("", new HashSet<string>());
        foreach (var line in Text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            if (Help().Match(line) is { Success: true } help)
                family = help.Groups[1].Value;
            else if (line.StartsWith('#'))
                Assert.That(line, Does.Match($"^# TYPE {family} (gauge|counter|summary)$"));
            else
                Assert.That(Sample().Match(line) is { Success: true } sample && sample.Groups[1].Value.StartsWith(family, StringComparison.Ordinal) && series.Add(line[..line.LastIndexOf(' ')]), line);
        }
    }

    [Test]
    public void The_README_lists_every_metric()
    {
        var readme = File.ReadAllText(Path.Combine(SourceTree.Root, "README.md"));
        var families = Text.Split('\n').Select(line => Help().Match(line)).Where(help => help.Success).Select(help => help.Groups[1].Value).ToList();
        Assert.That(families, Has.Count.GreaterThan(15));
        Assert.That(families.Where(family => !readme.Contains($"`{family}`", StringComparison.Ordinal) && !readme.Contains($"`{family}{{", StringComparison.Ordinal)), Is.Empty);
    }

    [GeneratedRegex("^# HELP ([a-z_]+) [A-Z1].*\\.$")]
    private static partial Regex Help();

    [GeneratedRegex("^([a-z_]+)(\\{([a-z]+=\"([^\"\\\\]|\\\\.)*\",?)+\\})? [0-9.E+-]+$")]
    private static partial Regex Sample();
}
