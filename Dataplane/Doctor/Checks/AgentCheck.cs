using System.Globalization;
using Overlay.Dataplane.Operator;

namespace Overlay.Dataplane.Doctor.Checks;

/// <summary>What the agent says of itself and of the other nodes.</summary>
internal static class AgentCheck
{
    /// <summary>Name of the check of the agent.</summary>
    public const string Name = "agent";

    /// <summary>Name of the check of the other nodes.</summary>
    public const string Peers = "peers";

    private static Finding[] Others(StatusReport status)
    {
        if (status.Peers.Count == 0)
            return [Finding.Pass(Peers, "there are no other nodes")];
        var without = status.Peers.Count(peer => peer.Ways.Count == 0);
        if (without > 0)
            return [Finding.Fail(Peers, string.Create(CultureInfo.InvariantCulture, $"there is no way to {without} of {status.Peers.Count} other nodes"), "overlay status says why, under degraded.")];
        var unknown = status.Peers.Count(peer => peer.Ways.Any(way => way.Reachability == "unknown"));
        return unknown > 0
            ? [Finding.Warn(Peers, string.Create(CultureInfo.InvariantCulture, $"{unknown} of {status.Peers.Count} other nodes have not been tried often enough yet"), "Run this again in a minute.")]
            : [Finding.Pass(Peers, string.Create(CultureInfo.InvariantCulture, $"{status.Peers.Count} other {(status.Peers.Count == 1 ? "node sends" : "nodes send")} full-size packets back"))];
    }

    /// <summary>Judges. Pure.</summary>
    /// <param name="status">What it answers; null when none does.</param>
    /// <param name="silence">Why none does.</param>
    public static IEnumerable<Finding> Judge(StatusReport? status, string silence)
    {
        if (status is null)
            return [Finding.Warn(Peers, $"not asked: {char.ToLowerInvariant(silence[0])}{silence[1..].TrimEnd('.')}", "Run this once more when an agent runs here: it knows whether the other nodes answer.")];
        var silent = status.Degraded.Where(IsOfPeer).ToList();
        return
        [
            .. OfAgent(status),
            .. silent.Select(line => Finding.Fail(Peers, line.TrimEnd('.'), "Look at that node (overlay doctor), and at what is between it and this one: firewalls, security groups, routes.")),
            .. silent.Count == 0 ? Others(status) : Array.Empty<Finding>(),
        ];

        bool IsOfPeer(string line) => line.StartsWith("Node ", StringComparison.Ordinal) && !line.StartsWith($"Node {status.Node}:", StringComparison.Ordinal);

        IEnumerable<Finding> OfAgent(StatusReport report)
        {
            yield return report.Synced
                ? Finding.Pass(Name, $"version {report.Version} runs here as {report.Node}, {report.Encapsulation}")
                : Finding.Warn(Name, $"version {report.Version} runs here as {report.Node} and has not read the datastore yet: nothing is in force before that", "See what is said of the datastore, and the agent's log.");
            foreach (var line in report.Degraded.Where(line => !IsOfPeer(line) && !ChecksumCheck.IsAbout(line)))
                yield return Finding.Warn(Name, $"says that it is degraded: {line.TrimEnd('.')}", "overlay status has all of it.");
        }
    }
}
