using System.Net;
using System.Text.Json;
using System.Text.Json.Serialization;
using k8s;
using k8s.Models;
using Overlay.Tests.Oracles;

namespace Overlay.Tests.Cases;

/// <summary>A case of the public truth tables (the folder that <c>OVERLAY_CASES</c> names); its README there gives the format.</summary>
public sealed record PolicyCase(string Id, string Title, IReadOnlyList<string>? Tags, IReadOnlyList<CaseStep> Steps);

/// <summary>The cluster after some actions (which <see cref="World"/> and <see cref="Policies"/> already contain), and what is reachable in it.</summary>
public sealed record CaseStep(CaseWorld World, JsonElement Policies, IReadOnlyList<CaseMatrix> Expect)
{
    /// <summary>The objects of this step: every pod with the address given (or a free one) and the IPv6 address made from it, on a node of its own, so that
    /// what it may send and what it may receive show apart.</summary>
    public ClusterObjects ToCluster()
    {
        var policies = Policies.EnumerateArray().Select(item => KubernetesJson.Deserialize<V1NetworkPolicy>(item.GetRawText())).ToList();
        foreach (var peer in policies.SelectMany(PeerLists))
            AddMapped(peer);
        return new([.. World.Pods.Select((_, index) => ToNode(index))], [.. World.Namespaces.Select(ToNamespace)], ToPods(), policies);
    }

    // An IPv6 prefix whose last 32 bits are the IPv4 address: the tables are about IPv4, we expect the same of both.
    private const string MappedPrefix = "fd00:6464::";

    private static IPAddress Map(IPAddress v4) => IPAddress.Parse(MappedPrefix + v4);

    private static V1Node ToNode(int index) => new()
    {
        ApiVersion = "v1",
        Kind = "Node",
        Metadata = new() { Name = $"node-{index}" },
        Spec = new() { PodCIDRs = [$"10.42.{index}.0/24", $"fd00:42:{index}::/64"] },
        Status = new() { Addresses = [new() { Type = "InternalIP", Address = $"172.31.0.{index + 1}" }, new() { Type = "InternalIP", Address = $"fd31::{index + 1}" }] },
    };

    private static V1Namespace ToNamespace(KeyValuePair<string, Dictionary<string, string>> item) =>
        new() { ApiVersion = "v1", Kind = "Namespace", Metadata = new() { Name = item.Key, Labels = item.Value } };

    private List<V1Pod> ToPods()
    {
        var taken = new HashSet<string>();
        var free = 1;
        return World.Pods.Select((pod, index) =>
        {
            var address = pod.Ip;
            while (address.Length == 0 || !taken.Add(address))
                address = $"192.168.{97 + (free % 3)}.{10 + free++}";
            return new V1Pod
            {
                ApiVersion = "v1",
                Kind = "Pod",
                Metadata = new() { NamespaceProperty = pod.Namespace, Name = pod.Name, Labels = pod.Labels },
                Spec = new()
                {
                    NodeName = $"node-{index}",
                    Containers =
                    [
                        new()
                        {
                            Name = "serve",
                            Ports = [.. pod.Ports.Select(port => new V1ContainerPort { Name = port.Name is "" ? null : port.Name, ContainerPort = port.Port, Protocol = port.Protocol })],
                        },
                    ],
                },
                Status = new() { PodIPs = [new() { Ip = address }, new() { Ip = Map(IPAddress.Parse(address)).ToString() }] },
            };
        }).ToList();
    }

    private static IEnumerable<IList<V1NetworkPolicyPeer>> PeerLists(V1NetworkPolicy policy) =>
        (policy.Spec.Ingress ?? []).Select(rule => rule.FromProperty).Concat((policy.Spec.Egress ?? []).Select(rule => rule.To)).OfType<IList<V1NetworkPolicyPeer>>();

    private static void AddMapped(IList<V1NetworkPolicyPeer> peers)
    {
        foreach (var block in peers.Select(peer => peer.IpBlock).OfType<V1IPBlock>().ToList())
            peers.Add(new() { IpBlock = new() { Cidr = MapPrefix(block.Cidr), Except = block.Except?.Select(MapPrefix).ToList() } });
    }

    /// <summary>The IPv6 prefix whose addresses are those of an IPv4 prefix.</summary>
    public static string MapPrefix(string prefix) => $"{Map(Prefix.Parse(prefix).Address)}/{Prefix.Parse(prefix).Length + 96}";
}

/// <summary>Labels of each namespace, and the pods.</summary>
public sealed record CaseWorld(Dictionary<string, Dictionary<string, string>> Namespaces, IReadOnlyList<CasePod> Pods);

/// <summary>A pod; an empty address may be any.</summary>
public sealed record CasePod(string Namespace, string Name, Dictionary<string, string> Labels, string Ip, IReadOnlyList<CasePort> Ports);

/// <summary>A container port; an empty name is none.</summary>
public sealed record CasePort(string Name, int Port, string Protocol);

/// <summary>Reachability of every pod (column) from every pod (row) on one port; absent where the table does not say.</summary>
public sealed record CaseMatrix(
    string Protocol,
    int Port,
    IReadOnlyList<string> Pods,
    IReadOnlyList<string>? Ingress,
    IReadOnlyList<string>? Egress,
    IReadOnlyList<string> Combined,
    [property: JsonPropertyName("ingressDerived")] IReadOnlyList<string>? IngressDerived,
    [property: JsonPropertyName("egressDerived")] IReadOnlyList<string>? EgressDerived);
