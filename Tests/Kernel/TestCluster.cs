using System.Diagnostics;
using System.Globalization;
using System.Text;

namespace Overlay.Tests.Kernel;

/// <summary>
/// Nodes on a common underlay, each a network namespace with a real <c>overlay agent</c> process, and a folder of manifests as their datastore.
/// Pods are namespaces that the real <c>overlay-cni</c> process wires.
/// </summary>
internal sealed class TestCluster : IDisposable
{
    private readonly List<IDisposable> _parts = [];
    private readonly NetnsFixture _switch;

    private TestCluster(bool ipv6Underlay)
    {
        IsIPv6Underlay = ipv6Underlay;
        Folder = Directory.CreateTempSubdirectory("overlay-test-").FullName;
        Directory.CreateDirectory(Manifests);
        _switch = NetnsFixture.Create();
        _switch.Run("ip link add bridge0 type bridge");
        _switch.Run("ip link set bridge0 up");
    }

    /// <summary>Where everything of this cluster is.</summary>
    public string Folder { get; }

    /// <summary>The datastore.</summary>
    public string Manifests => Path.Combine(Folder, "manifests");

    /// <summary>Whether nodes reach each other by IPv6 instead of IPv4.</summary>
    public bool IsIPv6Underlay { get; }

    /// <summary>By order of making: node-1, node-2 ….</summary>
    public List<TestNode> Nodes { get; } = [];

    /// <summary>The namespace of the underlay's bridge, through which everything between nodes passes.</summary>
    public NetnsFixture Switch => _switch;

    /// <summary>Makes nodes <c>node-1</c> …, with pod prefixes <c>10.42.N.0/24</c> and <c>fd00:42:N::/64</c>, and starts their agents.</summary>
    public static TestCluster Create(int nodes, bool ipv6Underlay = false)
    {
        var cluster = new TestCluster(ipv6Underlay);
        try
        {
            for (var i = 1; i <= nodes; i++)
                cluster.AddNode($"node-{i}", ipv6Underlay ? $"fd07::{i}" : $"192.168.7.{i}", [$"10.42.{i}.0/24", $"fd00:42:{i}::/64"]);
            return cluster;
        }
        catch
        {
            cluster.Dispose();
            throw;
        }
    }

    /// <summary>Makes one more node, tells the datastore, and starts its agent.</summary>
    public TestNode AddNode(string name, string address, string[] podCidrs)
    {
        Apply($"node-{name}.yaml", $$"""
            apiVersion: v1
            kind: Node
            metadata: { name: {{name}} }
            spec: { podCIDRs: [{{string.Join(", ", podCidrs.Select(cidr => $"\"{cidr}\""))}}] }
            status: { addresses: [{ type: InternalIP, address: "{{address}}" }] }
            """);
        var node = new TestNode(this, name, Nodes.Count + 1, address);
        _parts.Add(node);
        Nodes.Add(node);
        node.StartAgent();
        return node;
    }

    /// <summary>Puts a manifest into the datastore.</summary>
    public void Apply(string file, string yaml)
    {
        // As kubectl's users' editors do: whole or not at all.
        var temporary = Path.Combine(Folder, file);
        File.WriteAllText(temporary, yaml);
        File.Move(temporary, Path.Combine(Manifests, file), overwrite: true);
    }

    /// <summary>Takes a manifest away.</summary>
    public void Delete(string file) => File.Delete(Path.Combine(Manifests, file));

    /// <summary>Waits until <paramref name="condition"/> holds, looking again and again for at most 30 s.</summary>
    public static void Eventually(Func<bool> condition, string what, Func<string>? explain = null)
    {
        var clock = Stopwatch.StartNew();
        while (!condition())
        {
            if (clock.Elapsed > TimeSpan.FromSeconds(30))
                Assert.Fail($"Not within 30 s: {what}. {explain?.Invoke()}");
            Thread.Sleep(20);
        }
    }

    public void Dispose()
    {
        foreach (var part in Enumerable.Reverse(_parts))
            part.Dispose();
        _switch.Dispose();
        Directory.Delete(Folder, recursive: true);
    }

    internal void Plug(NetnsFixture node, string address, int number)
    {
        var port = string.Create(CultureInfo.InvariantCulture, $"port{number}");
        node.Run($"ip link add uplink type veth peer name {port}");
        node.Run($"ip link set {port} netns {_switch.Name}");
        _switch.Run($"ip link set {port} master bridge0 up");
        node.Run("ip link set lo up");
        node.Run($"ip address add {address}/{(IsIPv6Underlay ? 64 : 24)} dev uplink{(IsIPv6Underlay ? " nodad" : "")}");
        node.Run("ip link set uplink up");
    }
}

/// <summary>What a program printed, line by line as it comes.</summary>
internal sealed class ProgramOutput
{
    private readonly StringBuilder _text = new();

    public ProgramOutput(Process process)
    {
        process.OutputDataReceived += (_, line) => Add(line.Data);
        process.ErrorDataReceived += (_, line) => Add(line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
    }

    public override string ToString()
    {
        lock (_text)
            return _text.ToString();
    }

    private void Add(string? line)
    {
        lock (_text)
            _text.AppendLine(line);
    }
}
