using k8s.Models;
using Overlay.Dataplane.Desired;
using Overlay.Tests.Oracles;

namespace Overlay.Tests.Scenarios;

/// <summary>A folder beside this file; README.md here says what is in it.</summary>
public sealed class Scenario
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
        .SelectMany(line => ExpectedFlow.Parse(Objects, line.Text, line.Line));

    /// <summary>What a golden file of the folder says. With <c>OVERLAY_ACCEPT=1</c> the file is made to say <paramref name="actual"/> first.</summary>
    public string Golden(string file, string actual)
    {
        var path = Path.Combine(_folder, file);
        if (Environment.GetEnvironmentVariable("OVERLAY_ACCEPT") == "1")
            File.WriteAllText(path, actual);
        return File.Exists(path) ? File.ReadAllText(path) : $"{file} is missing: OVERLAY_ACCEPT=1 writes it.";
    }
}
