using System.Net;
using k8s.Models;

namespace Overlay.Tests.Oracles;

/// <summary>The typed objects of a cluster, read from manifests without the product.</summary>
public sealed class ClusterObjects(
    IReadOnlyCollection<V1Node> nodes,
    IReadOnlyCollection<V1Namespace> namespaces,
    IReadOnlyCollection<V1Pod> pods,
    IReadOnlyCollection<V1NetworkPolicy> policies,
    IReadOnlyCollection<ClusterNetworkPolicy>? clusterPolicies = null)
{
    // Host-network pods have the addresses of their node: on the wire they cannot be told from it, so they are no pods to a policy.
    // A pod that has ended has given its address back.
    private readonly Dictionary<IPAddress, V1Pod> _byAddress = pods
        .Where(pod => pod.Spec.HostNetwork != true && pod.Status?.Phase is not ("Succeeded" or "Failed"))
        .SelectMany(pod => Addresses(pod).Select(address => (address, pod)))
        .ToDictionary(pair => pair.address, pair => pair.pod);

    private readonly Dictionary<string, IDictionary<string, string>> _namespaceLabels = namespaces.ToDictionary(
        item => item.Name(),
        item => (IDictionary<string, string>)new Dictionary<string, string>(item.Labels() ?? new Dictionary<string, string>())
        {
            ["kubernetes.io/metadata.name"] = item.Name(),
        });

    public IReadOnlyCollection<V1Node> Nodes => nodes;

    public IReadOnlyCollection<V1Namespace> Namespaces => namespaces;

    public IReadOnlyCollection<V1Pod> Pods => pods;

    public IReadOnlyCollection<V1NetworkPolicy> Policies => policies;

    public IReadOnlyCollection<ClusterNetworkPolicy> ClusterPolicies { get; } = clusterPolicies ?? [];

    /// <summary>Reads manifests: several YAML documents.</summary>
    /// <exception cref="FormatException">They hold a kind that the oracle does not know.</exception>
    public static ClusterObjects Parse(string yaml)
    {
        var objects = ManifestYaml.Read(yaml).ToList();
        foreach (var metadata in objects.OfType<IMetadata<V1ObjectMeta>>().Where(item => item is V1Pod or V1NetworkPolicy))
            metadata.Metadata.NamespaceProperty ??= "default";
        return new(
            [.. objects.OfType<V1Node>()], [.. objects.OfType<V1Namespace>()], [.. objects.OfType<V1Pod>()], [.. objects.OfType<V1NetworkPolicy>()], [.. objects.OfType<ClusterNetworkPolicy>()]);
    }

    /// <summary>Writes manifests that <see cref="Parse"/> and the directory datastore read.</summary>
    public string ToYaml() => string.Join("---\n", ((IEnumerable<object>)[.. nodes, .. namespaces, .. pods, .. policies, .. ClusterPolicies]).Select(ManifestYaml.Write));

    /// <summary>The pod, not of the host network, that has the address.</summary>
    public V1Pod? PodAt(IPAddress address) => _byAddress.GetValueOrDefault(address);

    /// <summary>Labels of a namespace with the one that the API server adds, or null when it is not known.</summary>
    public IDictionary<string, string>? NamespaceLabels(string name) => _namespaceLabels.GetValueOrDefault(name);

    /// <summary>
    /// Whether the pod's namespace satisfies the requirements. Of a namespace without a Namespace object only the name is certain: requirements on other labels
    /// than that do not hold, not even negative ones.
    /// </summary>
    public bool IsInNamespace(IReadOnlyList<LabelRequirement> requirements, V1Pod pod)
    {
        var labels = NamespaceLabels(pod.Namespace());
        return requirements.All(requirement =>
            (labels is not null || requirement.Key == LabelRequirement.NamespaceName)
            && requirement.Holds(labels ?? new Dictionary<string, string> { [LabelRequirement.NamespaceName] = pod.Namespace() }));
    }

    /// <summary>Whether <paramref name="address"/> belongs to the node that <paramref name="pod"/> runs on.</summary>
    public bool IsOwnNode(V1Pod pod, IPAddress address) =>
        nodes.FirstOrDefault(node => node.Name() == pod.Spec.NodeName) is { } node && (Addresses(node).Contains(address) || TunnelAddresses(node).Contains(address));

    /// <summary>
    /// Where <paramref name="address"/> is a node's on the tunnel: the node's other addresses of that family. What a node's processes send to other nodes' pods comes
    /// from the tunnel's address; that is how we carry it, and nothing an author of policies knows of, so what is said of the node's addresses holds for it.
    /// </summary>
    public IEnumerable<IPAddress> BehindTunnel(IPAddress address) => nodes.Where(node => TunnelAddresses(node).Contains(address))
        .SelectMany(AllAddresses).Where(other => other.AddressFamily == address.AddressFamily);

    /// <summary>status.podIPs, or those of the node for a host-network pod.</summary>
    public static IEnumerable<IPAddress> Addresses(V1Pod pod) => (pod.Status?.PodIPs ?? []).Select(item => IPAddress.Parse(item.Ip));

    /// <summary>status.addresses of type InternalIP.</summary>
    public static IEnumerable<IPAddress> Addresses(V1Node node) =>
        (node.Status?.Addresses ?? []).Where(item => item.Type == "InternalIP").Select(item => IPAddress.Parse(item.Address));

    /// <summary>All addresses of status.addresses that are IP addresses: "the IPs present in the node.Status.Addresses field of the node".</summary>
    public static IEnumerable<IPAddress> AllAddresses(V1Node node) =>
        (node.Status?.Addresses ?? []).Select(item => IPAddress.TryParse(item.Address, out var address) ? address : null).OfType<IPAddress>();

    /// <summary>The first address of the first podCIDR of each family: no pod has it, it is the node's own on its tunnel.</summary>
    public static IEnumerable<IPAddress> TunnelAddresses(V1Node node) =>
        (node.Spec?.PodCIDRs ?? []).Select(Prefix.Parse).GroupBy(prefix => prefix.Address.AddressFamily).Select(family => family.First().First);

    /// <summary>Ports of all containers that run as long as the pod does.</summary>
    public static IEnumerable<V1ContainerPort> ContainerPorts(V1Pod pod) =>
        (pod.Spec.Containers ?? []).Concat((pod.Spec.InitContainers ?? []).Where(container => container.RestartPolicy == "Always")).SelectMany(container => container.Ports ?? []);
}
