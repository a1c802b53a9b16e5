using System.Globalization;
using System.Net;
using k8s;
using k8s.Models;
using Overlay.Tests.Cases;
using Overlay.Tests.Oracles;

namespace Overlay.Tests.Kernel;

/// <summary>
/// A cluster that runs on from case to case: what differs between two steps is created, changed and deleted under running agents, pods through the plugin and
/// everything else in the datastore, one file for each object.
/// </summary>
internal sealed class CaseCluster : IDisposable
{
    private readonly TestCluster _cluster = TestCluster.Create(0);
    private readonly ProbeServers _servers = new();
    private readonly SourcePorts _sourcePorts = new();
    private readonly Dictionary<TestNode, IPNetwork[]> _prefixes = [];
    private readonly Dictionary<string, TestPod> _pods = [];
    private Dictionary<string, string> _manifests = [];

    /// <summary>One node for each IPv4 prefix, with the IPv6 prefix that <see cref="CaseStep.MapPrefix"/> makes of it.</summary>
    public static CaseCluster Create(params string[] podCidrs)
    {
        var made = new CaseCluster();
        try
        {
            foreach (var cidr in podCidrs)
                made.AddNode([cidr, CaseStep.MapPrefix(cidr)]);
            return made;
        }
        catch
        {
            made.Dispose();
            throw;
        }
    }

    /// <summary>How many answers, and how many failures to answer, were judged.</summary>
    public int Probed { get; private set; }

    /// <summary>Makes the cluster what the objects say, and waits until every node's kernel holds exactly the ruleset that follows from them.</summary>
    /// <param name="objects">Nodes are not looked at: pods are on the node that has their prefix.</param>
    public void Become(ClusterObjects objects)
    {
        var wanted = objects.Pods.ToDictionary(pod => $"{pod.Namespace()}/{pod.Name()}");
        foreach (var gone in _pods.Where(pod => !wanted.TryGetValue(pod.Key, out var same) || !ClusterObjects.Addresses(same).Contains(pod.Value.IPv4)).ToList())
        {
            Assert.That(gone.Value.Remove().ExitCode, Is.Zero, gone.Value.Node.Log);
            _pods.Remove(gone.Key);
        }

        Write(objects);
        Parallel.ForEach(wanted.Where(pod => !_pods.ContainsKey(pod.Key)).ToList(), pod =>
        {
            var addresses = ClusterObjects.Addresses(pod.Value).ToList();
            var added = NodeOf(addresses[0]).AddPod(pod.Key, [.. addresses.Select(address => address.ToString())]);
            lock (_pods)
                _pods.Add(pod.Key, added);
        });
        _cluster.AwaitPolicies();
    }

    /// <summary>Sends packets of every flow and says which did not fare as expected.</summary>
    public IReadOnlyList<string> Wrong(IReadOnlyCollection<(Flow Flow, bool Allowed)> flows)
    {
        var places = _pods.Values.SelectMany(pod => (IEnumerable<(IPAddress, TestPod)>)[(pod.IPv4, pod), (pod.IPv6, pod)]).ToDictionary(pair => pair.Item1, pair => pair.Item2.Net.Netns);
        var probes = new List<(Probe Probe, bool Allowed)>();
        try
        {
            foreach (var (flow, allowed) in flows)
            {
                _servers.Serve(flow, places[flow.Destination]);
                probes.Add((Probe.Open(flow, places[flow.Source], sourcePorts: _sourcePorts), allowed));
            }

            Probed += probes.Count;
            var expected = probes.ToDictionary(probe => probe.Probe, probe => probe.Allowed);
            return [.. ProbeBatch.Wrong(probes).Select(probe => $"{probe.Flow}: {(expected[probe] ? "no answer" : "answered")}")];
        }
        finally
        {
            foreach (var (probe, _) in probes)
                probe.Dispose();
        }
    }

    public void Dispose()
    {
        _servers.Dispose();
        _cluster.Dispose();
    }

    private void AddNode(string[] podCidrs)
    {
        var number = _cluster.Nodes.Count + 1;
        var node = _cluster.AddNode(string.Create(CultureInfo.InvariantCulture, $"node-{number}"), [string.Create(CultureInfo.InvariantCulture, $"192.168.7.{number}")], podCidrs);
        _prefixes.Add(node, [.. podCidrs.Select(IPNetwork.Parse)]);
    }

    private TestNode NodeOf(IPAddress address) => _prefixes.Single(node => node.Value.Any(prefix => prefix.Contains(address))).Key;

    private void Write(ClusterObjects objects)
    {
        var manifests = new Dictionary<string, string>();
        foreach (var policy in objects.Policies)
            manifests.Add($"policy.{policy.Namespace()}.{policy.Name()}.yaml", KubernetesYaml.Serialize(policy));
        foreach (var ns in objects.Namespaces)
            manifests.Add($"namespace.{ns.Name()}.yaml", KubernetesYaml.Serialize(ns));
        foreach (var pod in objects.Pods)
        {
            // Where a pod is and which addresses it has, the agents tell each other once it is wired.
            var asked = new V1Pod { ApiVersion = "v1", Kind = "Pod", Metadata = pod.Metadata, Spec = new() { Containers = pod.Spec.Containers } };
            manifests.Add($"pod.{pod.Namespace()}.{pod.Name()}.yaml", KubernetesYaml.Serialize(asked));
        }

        foreach (var gone in _manifests.Keys.Except(manifests.Keys))
            _cluster.Delete(gone);
        foreach (var (file, yaml) in manifests.Where(manifest => _manifests.GetValueOrDefault(manifest.Key) != manifest.Value))
            _cluster.Apply(file, yaml);
        _manifests = manifests;
    }
}
