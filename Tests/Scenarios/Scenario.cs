using System.Net;
using System.Net.Sockets;
using System.Text.RegularExpressions;
using k8s.Models;
using Overlay.Dataplane.Desired;
using Overlay.Tests.Oracles;

namespace Overlay.Tests.Scenarios;

/// <summary>A folder beside this file; README.md here says what is in it.</summary>
public sealed partial class Scenario
{
    private readonly string _folder;

    private Scenario(string folder)
    {
        _folder = folder;
        Yaml = File.ReadAllText(Path.Combine(folder, "cluster.yaml"));
        Objects = ClusterObjects.Parse(Yaml);
    }

    /// <summary>All folders, by name.</summary>
    public static IEnumerable<string> Names { get; } =
        [.. Directory.EnumerateDirectories(Path.Combine(SourceTree.Root, "Tests", "Scenarios")).Select(Path.GetFileName).OfType<string>().Order(StringComparer.Ordinal)];

    public string Yaml { get; }

    public ClusterObjects Objects { get; }

    /// <summary>Path of overlay.yaml, or null when there is none.</summary>
    public string? ConfigurationFile => Path.Combine(_folder, "overlay.yaml") is var path && File.Exists(path) ? path : null;

    /// <summary>The node whose ruleset and routes are written down.</summary>
    public string NodeUnderTest => Objects.Nodes.First().Name();

    /// <summary>What overlay.yaml says, if there is one.</summary>
    public OverlayConfiguration Configuration
    {
        get
        {
            var path = Path.Combine(_folder, "overlay.yaml");
            var text = File.Exists(path) ? File.ReadAllText(path) : "";
            var flags = new Dictionary<string, string> { ["nodeName"] = NodeUnderTest, ["datastore"] = $"directory:{_folder}" };
            var reading = ConfigurationReader.Read(path, text, new Dictionary<string, string>(), flags);
            return reading.Configuration ?? throw new FormatException(string.Join('\n', reading.Errors));
        }
    }

    public static Scenario Load(string name) => new(Path.Combine(SourceTree.Root, "Tests", "Scenarios", name));

    /// <summary>The lines of flows.txt, each for one or both families.</summary>
    public IEnumerable<ExpectedFlow> Flows() => File.ReadLines(Path.Combine(_folder, "flows.txt"))
        .Select((text, index) => (Text: text.Split('#')[0].Trim(), Line: index + 1))
        .Where(line => line.Text.Length > 0)
        .SelectMany(line => Parse(line.Text, line.Line));

    /// <summary>What a golden file of the folder says. With <c>OVERLAY_ACCEPT=1</c> the file is made to say <paramref name="actual"/> first.</summary>
    public string Golden(string file, string actual)
    {
        var path = Path.Combine(_folder, file);
        if (Environment.GetEnvironmentVariable("OVERLAY_ACCEPT") == "1")
            File.WriteAllText(path, actual);
        return File.Exists(path) ? File.ReadAllText(path) : $"{file} is missing: OVERLAY_ACCEPT=1 writes it.";
    }

    private List<ExpectedFlow> Parse(string text, int line)
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
        var flows = (from source in Addresses(match.Groups["from"].Value, line)
                     from destination in Addresses(match.Groups["to"].Value, line)
                     where source.AddressFamily == destination.AddressFamily && (family == AddressFamily.Unspecified || source.AddressFamily == family)
                     select new ExpectedFlow(line, text, new(source, destination, protocol, port), match.Groups["verdict"].Value == "allow")).ToList();
        return flows.Count > 0 ? flows : throw new FormatException($"flows.txt:{line}: '{text}': the two ends share no such family.");
    }

    private List<IPAddress> Addresses(string end, int line)
    {
        if (IPAddress.TryParse(end, out var address))
            return [address];
        if (Objects.Nodes.FirstOrDefault(node => $"node:{node.Name()}" == end) is { } node)
            return [.. ClusterObjects.Addresses(node)];
        return Objects.Pods.FirstOrDefault(pod => $"{pod.Namespace()}/{pod.Name()}" == end) is { } pod
            ? [.. ClusterObjects.Addresses(pod)]
            : throw new FormatException($"flows.txt:{line}: '{end}' is no address, no pod of cluster.yaml (NAMESPACE/NAME) and no node of it (node:NAME).");
    }

    [GeneratedRegex(@"^(?<from>\S+)\s+->\s+(?<to>\S+)\s+(?<protocol>tcp|udp|sctp|icmp)(\s+(?<port>\d+))?\s+(?<verdict>allow|deny)(\s+(?<family>v4|v6))?$")]
    private static partial Regex FlowLine();
}

/// <summary>A line of flows.txt in one family.</summary>
public sealed record ExpectedFlow(int Line, string Text, Flow Flow, bool Allowed);
