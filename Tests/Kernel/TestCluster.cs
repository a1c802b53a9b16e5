using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using k8s.Models;
using Overlay.Dataplane.Cni;
using Overlay.Dataplane.Datastore.Directory;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Kernel;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Store;
using Overlay.Tests.Oracles;

namespace Overlay.Tests.Kernel;

/// <summary>
/// Nodes on a common underlay, each a network namespace with a real <c>overlay agent</c> process, and a folder of manifests as their datastore.
/// Pods are namespaces that the real <c>overlay-cni</c> process wires.
/// </summary>
internal sealed class TestCluster : IDisposable
{
    /// <summary>The device in <see cref="Switch"/> that sees every frame between nodes, and to and from outside.</summary>
    public const string Bridge = "bridge0";

    private readonly List<IDisposable> _parts = [];
    private readonly NetnsFixture _switch;

    private TestCluster()
    {
        Folder = Directory.CreateTempSubdirectory("overlay-test-").FullName;
        Directory.CreateDirectory(Manifests);
        Datastore = ["--datastore", $"directory:{Manifests}"];
        _switch = NetnsFixture.Create();
        // An address of its own: a bridge without one changes it with its ports, and neighbours would have a wrong one for a while.
        _switch.Run($"ip link add {Bridge} address 02:00:00:00:07:07 type bridge");
        _switch.Run($"ip link set {Bridge} up");
        foreach (var family in (string[])["-4", "-6"])
            _switch.Run($"ip {family} route add default dev {Bridge}");
    }

    /// <summary>Where everything of this cluster is.</summary>
    public string Folder { get; }

    /// <summary>The datastore.</summary>
    public string Manifests => Path.Combine(Folder, "manifests");

    /// <summary>By order of making: node-1, node-2 ….</summary>
    public List<TestNode> Nodes { get; } = [];

    /// <summary>The namespace of the underlay's bridge, through which everything between nodes passes. It is also all the world outside: nodes have their default route here.</summary>
    public NetnsFixture Switch => _switch;

    /// <summary>Flags that say where agents find the cluster; by default the folder.</summary>
    public IReadOnlyList<string> Datastore { get; set; } = [];

    /// <summary>What the nodes run.</summary>
    public Programs Programs { get; init; } = Programs.Usual;

    /// <summary>What the agents are configured with, as far as it shows in rulesets: the flags are for the caller to give.</summary>
    public OverlayConfiguration Configuration { get; set; } = new();

    /// <summary>A cluster without nodes.</summary>
    public static TestCluster CreateEmpty() => new();

    /// <summary>A cluster without nodes, whose agents and plugins die where they are told to.</summary>
    public static TestCluster CreateWithFaultPoints() => new() { Programs = Programs.WithFaultPoints };

    /// <summary>Makes nodes <c>node-1</c> …, with pod prefixes <c>10.42.N.0/24</c> and <c>fd00:42:N::/64</c>, and starts their agents.</summary>
    public static TestCluster Create(int nodes, bool ipv6Underlay = false) => Make(cluster =>
    {
        for (var i = 1; i <= nodes; i++)
            cluster.AddNode($"node-{i}", [ipv6Underlay ? $"fd07::{i}" : $"192.168.7.{i}"], [$"10.42.{i}.0/24", $"fd00:42:{i}::/64"]);
    });

    /// <summary>Makes the nodes of manifests and starts their agents; pods are for the caller to add.</summary>
    /// <param name="yaml">The manifests, as the agents get them.</param>
    /// <param name="objects">The same, to know the nodes.</param>
    /// <param name="flags">More flags for every agent.</param>
    public static TestCluster Create(string yaml, ClusterObjects objects, params string[] flags) => Make(cluster =>
    {
        cluster.Apply("cluster.yaml", yaml);
        foreach (var node in objects.Nodes)
            cluster.Join(node.Name(), [.. ClusterObjects.Addresses(node).Select(address => address.ToString())]);
        Parallel.ForEach(cluster.Nodes, node => node.StartAgent(flags));
    });

    /// <summary>Makes one more node, tells the datastore, and starts its agent.</summary>
    public TestNode AddNode(string name, string[] addresses, string[] podCidrs)
    {
        ApplyNode(name, addresses, podCidrs);
        var node = Join(name, addresses);
        node.StartAgent();
        return node;
    }

    /// <summary>Makes a machine with these addresses on the underlay, of which the datastore knows nothing and where no agent runs yet.</summary>
    public TestNode Join(string name, params string[] addresses)
    {
        var node = new TestNode(this, name, addresses);
        _parts.Add(node);
        Nodes.Add(node);
        Plug(node, Nodes.Count);
        return node;
    }

    /// <summary>Gives the world outside an address; it answers from it what it is asked.</summary>
    public void AddOutside(IPAddress address) =>
        _switch.Run($"ip address add {address}/{(address.AddressFamily == AddressFamily.InterNetwork ? "32" : "128 nodad")} dev {Bridge}");

    /// <summary>Puts a Node into the datastore.</summary>
    public void ApplyNode(string name, string[] addresses, string[] podCidrs) => Apply($"node-{name}.yaml", $$"""
        apiVersion: v1
        kind: Node
        metadata: { name: {{name}} }
        spec: { podCIDRs: [{{string.Join(", ", podCidrs.Select(cidr => $"\"{cidr}\""))}}] }
        status: { addresses: [{{string.Join(", ", addresses.Select(address => $"{{ type: InternalIP, address: \"{address}\" }}"))}}] }
        """);

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

    /// <summary>
    /// Waits until what the datastore says is in force on every node that has an agent: until its agent knows as many policies (which its kernel need not have: they may select
    /// none of its pods yet), and the table in its kernel is the one that is computed anew from the datastore and the node's own pods.
    /// </summary>
    public void AwaitPolicies(TimeSpan? patience = null)
    {
        foreach (var node in Nodes.Where(node => node.HasAgent))
        {
            var scan = new DirectoryScan(Manifests);
            scan.LookAtAll();
            var store = new ClusterStore();
            foreach (var change in scan.TakeChanges())
                store.Apply(change);
            Assert.That(store.Rejections, Is.Empty);
            foreach (var attachment in new AttachmentFolder(Path.GetDirectoryName(node.Attachments)!).ReadAll(out _))
                store.Attach(attachment);
            var policies = store.Policies.Count;
            Eventually(() => node.Status.Policies is var (admin, network, baseline) && admin + network + baseline == policies, $"{node.Name} knows {policies} policies", () => node.Log, patience);
            var wanted = CompiledNode.Compile(node.Name, store, Configuration).Ruleset;
            using var socket = node.Net.Open(NetlinkProtocol.NETLINK_NETFILTER);
            var table = new NftablesTable(socket);
            IReadOnlyList<string> differences = [];
            Eventually(() => (differences = table.Verify(wanted)).Count == 0, $"{node.Name} enforces what the datastore says", () => $"{string.Join('\n', differences)}\n{node.Log}", patience);
        }
    }

    // In the guest everything takes several times as long.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(Guest.Guest.IsHere ? 180 : 30);

    /// <summary>Waits until <paramref name="condition"/> holds, looking again and again for at most 30 s, unless the caller has another <paramref name="patience"/>.</summary>
    public static void Eventually(Func<bool> condition, string what, Func<string>? explain = null, TimeSpan? patience = null)
    {
        var clock = Stopwatch.StartNew();
        while (!condition())
        {
            if (clock.Elapsed > (patience ?? Patience))
                Assert.Fail($"Not within {(patience ?? Patience).TotalSeconds} s: {what}. {explain?.Invoke()}");
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

    private static TestCluster Make(Action<TestCluster> fill)
    {
        var cluster = new TestCluster();
        try
        {
            fill(cluster);
            return cluster;
        }
        catch
        {
            cluster.Dispose();
            throw;
        }
    }

    private void Plug(TestNode node, int number)
    {
        var port = string.Create(CultureInfo.InvariantCulture, $"port{number}");
        node.Net.Run("ip link add uplink type veth peer name " + port);
        node.Net.Run($"ip link set {port} netns {_switch.Name}");
        _switch.Run($"ip link set {port} master {Bridge} up");
        node.Net.Run("ip link set lo up");
        node.Net.Run("ip link set uplink up");
        foreach (var address in node.Addresses)
        {
            var isIPv6 = address.Contains(':');
            node.Net.Run($"ip address add {address}/{(isIPv6 ? "64 nodad" : "24")} dev uplink");
            node.Net.Run($"ip -{(isIPv6 ? 6 : 4)} route replace default dev uplink");
        }
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
