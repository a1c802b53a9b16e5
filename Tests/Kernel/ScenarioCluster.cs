using System.Net;
using k8s.Models;
using Overlay.Dataplane.Netlink;
using Overlay.Tests.Oracles;
using Overlay.Tests.Scenarios;

namespace Overlay.Tests.Kernel;

/// <summary>
/// A scenario built: nodes with agents, pods wired by the plugin with the addresses that cluster.yaml says, and all other addresses of flows.txt outside
/// the cluster. Host-network pods are their node.
/// </summary>
internal sealed class ScenarioCluster : IDisposable
{
    private readonly TestCluster _cluster;
    private readonly Dictionary<IPAddress, Netns> _places = [];

    private ScenarioCluster(TestCluster cluster) => _cluster = cluster;

    /// <summary>What all agents have logged.</summary>
    public string Log => string.Join('\n', _cluster.Nodes.Select(node => $"{node.Name}:\n{node.Log}"));

    /// <summary>Builds it.</summary>
    /// <param name="scenario">What.</param>
    /// <param name="flags">More flags for every agent.</param>
    public static ScenarioCluster Create(Scenario scenario, params string[] flags)
    {
        var cluster = TestCluster.Create(scenario.Yaml, scenario.Objects, [.. scenario.ConfigurationFile is { } file ? (string[])["--config", file] : [], .. flags]);
        var built = new ScenarioCluster(cluster);
        try
        {
            built.Fill(scenario);
            return built;
        }
        catch
        {
            built.Dispose();
            throw;
        }
    }

    /// <summary>The namespace of an address.</summary>
    public Netns At(IPAddress address) => _places[address];

    public void Dispose() => _cluster.Dispose();

    private void Fill(Scenario scenario)
    {
        foreach (var node in scenario.Objects.Nodes)
        {
            foreach (var address in ClusterObjects.Addresses(node).Concat(ClusterObjects.TunnelAddresses(node)))
                _places.Add(address, Node(node.Name()).Net.Netns);
            foreach (var cidr in node.Spec.PodCIDRs)
                _cluster.Switch.Run($"ip route add {cidr} via {ClusterObjects.Addresses(node).First(address => address.AddressFamily == IPNetwork.Parse(cidr).BaseAddress.AddressFamily)} dev {TestCluster.Bridge}");
        }

        var pods = scenario.Objects.Pods.Where(pod => pod.Spec.HostNetwork != true && ClusterObjects.Addresses(pod).Any(address => scenario.Objects.PodAt(address) == pod))
            .Select(pod => (Name: $"{pod.Namespace()}/{pod.Name()}", Node: pod.Spec.NodeName, Addresses: ClusterObjects.Addresses(pod).ToArray())).ToList();
        foreach (var address in scenario.Flows().SelectMany(flow => (IPAddress[])[flow.Flow.Source, flow.Flow.Destination]).Distinct())
        {
            if (_places.ContainsKey(address) || pods.Any(pod => pod.Addresses.Contains(address)))
                continue;
            // Somebody whom no manifest knows: a pod when a node has such addresses, else the world outside.
            if (scenario.Objects.Nodes.FirstOrDefault(node => node.Spec.PodCIDRs.Any(cidr => IPNetwork.Parse(cidr).Contains(address))) is { } home)
                pods.Add(($"unknown/pod-{pods.Count}", home.Name(), [address]));
            else
                AddOutside(address);
        }

        Parallel.ForEach(pods, pod =>
        {
            var added = Node(pod.Node).AddPod(pod.Name, [.. pod.Addresses.Select(address => address.ToString())]);
            lock (_places)
                foreach (var address in pod.Addresses)
                    _places.Add(address, added.Net.Netns);
        });
    }

    private void AddOutside(IPAddress address)
    {
        _cluster.AddOutside(address);
        _places.Add(address, _cluster.Switch.Netns);
    }

    private TestNode Node(string name) => _cluster.Nodes.First(node => node.Name == name);
}
