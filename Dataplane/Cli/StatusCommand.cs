using System.CommandLine;
using System.Globalization;
using Overlay.Dataplane.Operator;

namespace Overlay.Dataplane.Cli;

/// <summary><c>overlay status</c>: how this node is.</summary>
internal static class StatusCommand
{
    private const int Label = 15;

    /// <summary>The verb.</summary>
    public static Command Create()
    {
        var command = new Command("status", "Show this node: peers, pods, policies, what was rejected and why, what works less than it could. Exits with 0 when the agent answers, whatever it says.");
        var question = AgentQuestion.AddTo(command);
        command.SetAction((result, cancellation) => question.AskAsync(
            result,
            new OperatorRequest { Command = OperatorRequest.Status },
            answer => answer.Status,
            json => json.StatusReport,
            (status, text) => Print(status, text, DateTime.UtcNow),
            _ => ExitCode.Success,
            cancellation));
        return command;
    }

    /// <summary>Prints for people.</summary>
    internal static void Print(StatusReport status, OperatorText text, DateTime now)
    {
        void Field(string label, string value) => text.Line(value, 0, label.PadRight(Label));
        Field("node", $"{status.Node}, pods in {Or(string.Join(", ", status.PodCidrs), "no prefix")}");
        Field("agent", string.Create(CultureInfo.InvariantCulture, $"{status.Version}, up {Ago(now - status.Started)}, {status.MemoryBytes / 1048576.0:0.0} MB"));
        Field("datastore", status.Synced ? "read" : "not read completely yet: nothing is in force before that");
        Field("encapsulation", string.Create(CultureInfo.InvariantCulture, $"{status.Encapsulation}, MTU of pods {status.Mtu}{(status.MtuSource.Length > 0 ? $" ({status.MtuSource})" : "")}"));
        Field("underlay", Or(string.Join("; ", status.Underlay), "no address"));
        Field("connections", status.FlowOffload);
        Field("checksums", status.SoftwareChecksums.Count == 0 ? "left to the network card where it can" : $"made by the kernel for {string.Join(", ", status.SoftwareChecksums)}");
        Field("policies", string.Create(CultureInfo.InvariantCulture, $"{status.Policies.Admin} admin, {status.Policies.NetworkPolicy} network, {status.Policies.Baseline} baseline"));
        Field("last commit", When(status.LastCommit, now));
        Field("last resync", When(status.LastResync, now));
        Field("repaired", string.Create(CultureInfo.InvariantCulture, $"{status.DriftRepaired} changes of others since the start"));
        Listing("peers", status.Peers.Select(peer => $"{peer.Node} {string.Join(", ", peer.Addresses)} for {Or(string.Join(", ", peer.PodCidrs), "no prefix")}{Ways(peer.Ways, now)}"), text);
        Listing("pods", status.Pods.Select(pod => $"{pod.Pod} {string.Join(", ", pod.Addresses)} on {pod.Interface}"), text);
        Listing("rejected", status.Rejected.Select(rejected => rejected.ToString()), text);
        Listing("quarantined", status.Quarantined.Select(policy => $"{policy}: the kernel refused a part of it, its pods are isolated; see the log"), text);
        Listing("degraded", status.Degraded, text);
    }

    private static void Listing(string title, IEnumerable<string> items, OperatorText text)
    {
        var lines = items.ToList();
        text.Line(lines.Count == 0 ? "none" : lines.Count.ToString(CultureInfo.InvariantCulture), 0, title.PadRight(Label));
        foreach (var line in lines)
            text.Line(line, 2);
    }

    // Both families fare alike, as a rule.
    private static string Ways(IReadOnlyList<WayStatus> ways, DateTime now) =>
        string.Concat(ways.GroupBy(way => way.Reachability).Select(alike => string.Create(CultureInfo.InvariantCulture, $"; {Spoken(alike.Key)}{(alike.Key == "unknown" ? "" : Last(alike.First(), now))}{(alike.Count() < ways.Count ? $" ({string.Join(", ", alike.Select(way => way.Address))})" : "")}")));

    private static string Spoken(string reachability) => reachability switch
    {
        "unknown" => "unknown: not tried often enough yet",
        "toobig" => "toobig: full-size packets LOST",
        "closed" => "closed: NOT REACHED through the tunnel",
        "silent" => "silent: NOT REACHED",
        var other => other,
    };

    private static string Last(WayStatus way, DateTime now) => way.LastAnswer is { } then ? string.Create(CultureInfo.InvariantCulture, $" {Ago(now - then)} ago in {way.RoundTripMilliseconds:0.0} ms") : ", never was";

    private static string Or(string text, string otherwise) => text.Length > 0 ? text : otherwise;

    private static string When(DateTime? then, DateTime now) => then is { } known ? $"{known.ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture)} ({Ago(now - known)} ago)" : "never";

    private static string Ago(TimeSpan time) => time.TotalSeconds switch
    {
        < 120 => string.Create(CultureInfo.InvariantCulture, $"{Math.Max(0, time.TotalSeconds):0} s"),
        < 7200 => string.Create(CultureInfo.InvariantCulture, $"{time.TotalMinutes:0} min"),
        < 172800 => string.Create(CultureInfo.InvariantCulture, $"{time.TotalHours:0} h"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{time.TotalDays:0} d"),
    };
}
