using System.Globalization;
using System.Text;
using Overlay.Dataplane.Cni;
using Overlay.Dataplane.Probing;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Metrics;

/// <summary>Prints a <see cref="NodeStatus"/> in Prometheus' text format, version 0.0.4. The order is fixed.</summary>
internal sealed class PrometheusText
{
    /// <summary>For Content-Type.</summary>
    public const string MediaType = "text/plain; version=0.0.4; charset=utf-8";

    private readonly StringBuilder _text = new(8192);
    private string _name = "";

    private PrometheusText()
    {
    }

    /// <summary>Every metric of the agent.</summary>
    /// <param name="status">Of the node.</param>
    /// <param name="version">The program's.</param>
    /// <param name="processorTime">That this process has used.</param>
    /// <param name="residentBytes">Memory of this process.</param>
    public static string Print(NodeStatus status, string version, TimeSpan processorTime, long residentBytes)
    {
        var metrics = new PrometheusText();
        metrics.Family("overlay_build_info", "gauge", "Version of the agent and name of its node; always 1.").Sample(1, ("version", version), ("node", status.NodeName));
        metrics.Family("overlay_serving", "gauge", "1 once the datastore has delivered everything and the kernel has it.").Sample(status.IsServing ? 1 : 0);
        metrics.Objects(status);
        metrics.Problems(status);
        metrics.Work(status);
        metrics.Family("process_cpu_seconds_total", "counter", "CPU time of the agent.").Sample(processorTime.TotalSeconds);
        metrics.Family("process_resident_memory_bytes", "gauge", "Resident memory of the agent.").Sample(residentBytes);
        return metrics._text.ToString();
    }

    private void Objects(NodeStatus status)
    {
        Family("overlay_nodes", "gauge", "Nodes known.").Sample(status.Nodes);
        Family("overlay_pods_known", "gauge", "Pods known, of all nodes.").Sample(status.KnownPods);
        Family("overlay_pods_local", "gauge", "Interfaces of pods wired on this node.").Sample(status.LocalPods);
        Family("overlay_policies", "gauge", "Policies known, by tier.");
        foreach (var tier in Enum.GetValues<Tier>())
            Sample(status.Policies.GetValueOrDefault(tier), ("tier", tier.ToString()));
    }

    private void Problems(NodeStatus status)
    {
        // One object may be rejected for several of its fields.
        var rejected = status.Rejections.Select(rejection => (rejection.Kind, rejection.Name, rejection.Source)).Distinct().ToList();
        Family("overlay_rejected_objects", "gauge", "Objects that could not be understood.").Sample(rejected.Count);
        Family("overlay_rejected_object", "gauge", "Each of them; always 1. A rejected policy isolates the pods it selects.");
        foreach (var (kind, name, source) in rejected)
            Sample(1, ("kind", kind), ("namespace", name.Namespace ?? ""), ("name", name.Name ?? ""), ("source", source));
        Family("overlay_quarantined_policies", "gauge", "Policies of which the kernel refused a part: their pods are isolated.").Sample(status.Quarantined.Count);
        Family("overlay_quarantined_policy", "gauge", "Each of them; always 1.");
        foreach (var name in status.Quarantined)
            Sample(1, ("namespace", name.Namespace), ("name", name.Name));
        Family("overlay_degraded", "gauge", "Things that work less than they could; the log names them.").Sample(status.Degradations.Count + status.Flows.Degradations.Count);
    }

    private void Work(NodeStatus status)
    {
        Family("overlay_ways", "gauge", "Ways to other nodes, by how far packets come: one for each node and family of its pods.");
        foreach (var reachability in Enum.GetValues<Reachability>())
            Sample(status.Ways.GetValueOrDefault(reachability), ("reachability", reachability.ToString().ToLowerInvariant()));
        Family("overlay_rulesets_committed_total", "counter", "Changes of the nftables ruleset that the kernel has taken.").Sample(status.RulesetsCommitted);
        Family("overlay_drift_repaired_total", "counter", "Rows, rules and sysctls repaired that somebody else had changed.").Sample(status.DriftRepaired);
        Family("overlay_reaped_total", "counter", "Things freed that were left of pods which no runtime deleted, by kind.");
        foreach (var kind in Leftover.Kinds)
            Sample(status.Reaped.GetValueOrDefault(kind), ("kind", kind));
        Summary("overlay_resync_duration_seconds", "Comparisons of everything with the kernel.", status.ResyncDuration, status.Resyncs);
        Family("overlay_connections", "gauge", "Established connections of this node's pods at the last look.").Sample(status.Flows.Connections);
        Family("overlay_flows_revoked_total", "counter", "Established connections cut because policy had come to forbid them.").Sample(status.Flows.Revoked);
        Family("overlay_flows_restored_total", "counter", "Connections that were cut and may go on.").Sample(status.Flows.Restored);
        Summary("overlay_conntrack_look_duration_seconds", "Looks at the kernel's connections, from request to last mark.", status.Flows.TotalDuration, status.Flows.Looks);
    }

    private void Summary(string name, string help, TimeSpan sum, long count)
    {
        Family(name, "summary", help);
        Line($"{name}_sum", sum.TotalSeconds);
        Line($"{name}_count", count);
    }

    private PrometheusText Family(string name, string type, string help)
    {
        _name = name;
        _text.Append("# HELP ").Append(name).Append(' ').Append(help).Append("\n# TYPE ").Append(name).Append(' ').Append(type).Append('\n');
        return this;
    }

    private void Sample(double value, params ReadOnlySpan<(string Name, string Value)> labels) => Line(_name, value, labels);

    private void Line(string name, double value, params ReadOnlySpan<(string Name, string Value)> labels)
    {
        _text.Append(name);
        for (var i = 0; i < labels.Length; i++)
        {
            _text.Append(i == 0 ? '{' : ',').Append(labels[i].Name).Append("=\"");
            _text.Append(labels[i].Value.Replace("\\", @"\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal)).Append('"');
        }

        _text.Append(labels.IsEmpty ? " " : "} ").Append(value.ToString("R", CultureInfo.InvariantCulture)).Append('\n');
    }
}
