using System.Globalization;
using System.Text.Json.Nodes;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Cli.Demo;

/// <summary>
/// The running demo: namespaces, agents, pods, and a folder that holds everything on disk. Disposing of it leaves nothing, at whatever point;
/// what a killed demo left is removed by the next one (<see cref="Sweep"/>).
/// </summary>
internal sealed class DemoCluster : IDisposable
{
    private const string FolderPrefix = "/run/overlay-demo-";
    private static readonly TimeSpan AgentStart = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(5);

    private readonly string _folder = FolderPrefix + Environment.ProcessId.ToString(CultureInfo.InvariantCulture);
    private readonly Family _underlay;
    private readonly Dictionary<DemoNode, DemoProcess> _agents = [];
    private readonly List<DemoListener> _listeners = [];
    private readonly Dictionary<string, EquatableArray<InetAddress>> _addresses = [];
    private DemoNetwork? _network;

    /// <summary>Nothing yet but a folder.</summary>
    /// <param name="underlay">Family of the tunnels.</param>
    public DemoCluster(Family underlay)
    {
        _underlay = underlay;
        Sweep();
        Directory.CreateDirectory(Manifests);
    }

    /// <summary>The addresses that the plugin gave to a pod.</summary>
    public EquatableArray<InetAddress> Addresses(DemoPod pod) => _addresses[pod.Name];

    /// <summary>The folder of manifests that the agents watch.</summary>
    private string Manifests => Path.Combine(_folder, "manifests");

    private DemoNetwork Network => _network ?? throw new InvalidOperationException("There is no network yet.");

    /// <summary>Makes the underlay, and a namespace for every node and pod.</summary>
    public void MakeNetwork() => _network = new DemoNetwork();

    /// <summary>Writes the manifests of nodes and pods, starts an agent on each node and waits until it takes pods.</summary>
    /// <exception cref="DemoException">An agent ended, or did not get ready in time.</exception>
    public async Task StartAgentsAsync(CancellationToken cancellation)
    {
        await File.WriteAllTextAsync(Path.Combine(Manifests, "cluster.yaml"), DemoManifests.Cluster(_underlay), cancellation);
        foreach (var node in DemoScenario.Nodes)
        {
            Directory.CreateDirectory(FolderOf(node));
            await File.WriteAllTextAsync(Path.Combine(FolderOf(node), "overlay.yaml"), Configuration(node), cancellation);
            _agents[node] = DemoProcess.Start(Network.Nodes[node], ["agent", "--config", Path.Combine(FolderOf(node), "overlay.yaml")], Path.Combine(FolderOf(node), "agent.log"));
        }

        // The conflist is the last thing an agent writes when it can serve.
        var deadline = DateTime.UtcNow + AgentStart;
        foreach (var (node, agent) in _agents)
        {
            while (!File.Exists(ConflistOf(node)))
            {
                if (agent.HasExited || DateTime.UtcNow > deadline)
                    throw new DemoException($"The agent of {node.Name} {(agent.HasExited ? "ended" : "was not ready in time")}. Its last lines:{Environment.NewLine}{agent.LastLines}");
                await Task.Delay(Poll, cancellation);
            }
        }
    }

    /// <summary>Calls the plugin for every pod and starts what listens in it.</summary>
    /// <exception cref="DemoException">The plugin failed.</exception>
    public async Task AddPodsAsync(CancellationToken cancellation)
    {
        foreach (var pod in DemoScenario.Pods)
        {
            var result = JsonNode.Parse(await CallPluginAsync("ADD", pod, cancellation))!;
            _addresses[pod.Name] = result["ips"]!.AsArray().Select(ip => Cidr.Parse((string)ip!["address"]!).Address).ToEquatableArray();
            _listeners.Add(DemoListener.Start(Network.Pods[pod], pod.Name));
        }

        _addresses[DemoScenario.Outside] = DemoScenario.OutsideAddresses.Select(prefix => prefix.Address).ToEquatableArray();
        _listeners.Add(DemoListener.Start(Network.Outside, DemoScenario.Outside));
    }

    /// <summary>Writes the NetworkPolicies into the folder that the agents watch.</summary>
    public Task ApplyPoliciesAsync(CancellationToken cancellation) =>
        File.WriteAllTextAsync(Path.Combine(Manifests, "policies.yaml"), DemoManifests.Policies, cancellation);

    /// <summary>Calls the plugin once more for every pod.</summary>
    /// <exception cref="DemoException">The plugin failed.</exception>
    public async Task DeletePodsAsync(CancellationToken cancellation)
    {
        foreach (var pod in DemoScenario.Pods)
            await CallPluginAsync("DEL", pod, cancellation);
    }

    /// <summary>Sends what a matrix asks for.</summary>
    public Prober Prober() => new(DemoScenario.Pods.ToDictionary(pod => pod.Name, pod => Network.Pods[pod]), _addresses);

    /// <summary>Ends the agents and removes everything.</summary>
    public void Dispose()
    {
        _listeners.ForEach(listener => listener.Dispose());
        foreach (var agent in _agents.Values)
            agent.Dispose();
        _network?.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    /// <summary>Removes what killed demos left: their agents, which keep their namespaces alive, and their folders. Those that still run are left alone.</summary>
    private static void Sweep()
    {
        foreach (var folder in Directory.GetDirectories(Path.GetDirectoryName(FolderPrefix)!, Path.GetFileName(FolderPrefix) + "*"))
        {
            var owner = folder[FolderPrefix.Length..];
            if (Directory.Exists($"/proc/{owner}") && owner != Environment.ProcessId.ToString(CultureInfo.InvariantCulture))
                continue;
            DemoProcess.KillThoseNaming(folder);
            Directory.Delete(folder, recursive: true);
        }
    }

    // What containerd does with a conflist of one plugin: the plugin's object with the list's name and version.
    private async Task<string> CallPluginAsync(string command, DemoPod pod, CancellationToken cancellation)
    {
        var list = JsonNode.Parse(await File.ReadAllTextAsync(ConflistOf(pod.Node), cancellation))!;
        var configuration = list["plugins"]![0]!.DeepClone();
        configuration["name"] = (string)list["name"]!;
        configuration["cniVersion"] = (string)list["cniVersion"]!;
        return await DemoProcess.CallPluginAsync(Network.Nodes[pod.Node], new Dictionary<string, string>
        {
            ["CNI_COMMAND"] = command,
            ["CNI_CONTAINERID"] = $"demo-{pod.Name}",
            ["CNI_NETNS"] = Network.Pods[pod].Path,
            ["CNI_IFNAME"] = "eth0",
            ["CNI_PATH"] = Path.GetDirectoryName(DemoProcess.OverlayCni)!,
            ["CNI_ARGS"] = $"IgnoreUnknown=1;K8S_POD_NAMESPACE={pod.Namespace};K8S_POD_NAME={pod.Name};K8S_POD_INFRA_CONTAINER_ID=demo-{pod.Name}",
        }, configuration.ToJsonString(), cancellation);
    }

    private string FolderOf(DemoNode node) => Path.Combine(_folder, node.Name);

    private string ConflistOf(DemoNode node) => Path.Combine(FolderOf(node), "net.d", "05-overlay.conflist");

    private string Configuration(DemoNode node) => $"""
        nodeName: {node.Name}
        datastore: directory:{Manifests}
        socket: {FolderOf(node)}/agent.sock
        stateDir: {FolderOf(node)}/state
        cni:
          confDir: {FolderOf(node)}/net.d
          ipamDir: {FolderOf(node)}/networks
          binDir: {FolderOf(node)}/bin

        """;
}
