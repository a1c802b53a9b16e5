using System.Net;
using System.Net.Sockets;
using System.Text.RegularExpressions;
using k8s.Models;

namespace Overlay.Tests.Oracles;

/// <summary>A line of flows.txt in one family; Scenarios/README.md has its form.</summary>
public sealed partial record ExpectedFlow(int Line, string Text, Flow Flow, bool Allowed)
{
    /// <summary>The flows of a line: one for each family that it is about.</summary>
    /// <param name="cluster">Whose pods and nodes are meant.</param>
    /// <param name="text">Without comment.</param>
    /// <param name="line">1-based.</param>
    /// <exception cref="FormatException">It is no such line, or names what is not there.</exception>
    public static IReadOnlyList<ExpectedFlow> Parse(ClusterObjects cluster, string text, int line)
    {
        var match = FlowLine().Match(text);
        if (!match.Success)
            throw new FormatException($"flows.txt:{line}: '{text}' is not 'FROM -> TO PROTOCOL [PORT] allow|deny [v4|v6]'.");
        var family = match.Groups["family"].Value switch
        {
            "v4" => AddressFamily.InterNetwork,
            "v6" => AddressFamily.InterNetworkV6,
            _ => AddressFamily.Unspecified,
        };
        var protocol = match.Groups["protocol"].Value.ToUpperInvariant();
        var port = match.Groups["port"].Success ? int.Parse(match.Groups["port"].Value) : 0;
        if (port == 0 != (protocol == "ICMP"))
            throw new FormatException($"flows.txt:{line}: tcp, udp and sctp need a port, icmp has none.");
        var flows = (from source in Addresses(cluster, match.Groups["from"].Value, line)
                     from destination in Addresses(cluster, match.Groups["to"].Value, line)
                     where source.AddressFamily == destination.AddressFamily && (family == AddressFamily.Unspecified || source.AddressFamily == family)
                     select new ExpectedFlow(line, text, new(source, destination, protocol, port), match.Groups["verdict"].Value == "allow")).ToList();
        return flows.Count > 0 ? flows : throw new FormatException($"flows.txt:{line}: '{text}': the two ends share no such family.");
    }

    private static List<IPAddress> Addresses(ClusterObjects cluster, string end, int line)
    {
        if (IPAddress.TryParse(end, out var address))
            return [address];
        if (cluster.Nodes.FirstOrDefault(node => $"node:{node.Name()}" == end) is { } node)
            return [.. ClusterObjects.Addresses(node)];
        return cluster.Pods.FirstOrDefault(pod => $"{pod.Namespace()}/{pod.Name()}" == end) is { } pod
            ? [.. ClusterObjects.Addresses(pod)]
            : throw new FormatException($"flows.txt:{line}: '{end}' is no address, no pod of cluster.yaml (NAMESPACE/NAME) and no node of it (node:NAME).");
    }

    [GeneratedRegex(@"^(?<from>\S+)\s+->\s+(?<to>\S+)\s+(?<protocol>tcp|udp|sctp|icmp)(\s+(?<port>\d+))?\s+(?<verdict>allow|deny)(\s+(?<family>v4|v6))?$")]
    private static partial Regex FlowLine();
}
