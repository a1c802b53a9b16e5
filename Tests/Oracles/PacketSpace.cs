using k8s.Models;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Oracles;

/// <summary>
/// The flows of a cluster, one for each class that nothing in the cluster can tell apart: addresses and ports are cut at every boundary that a policy, pod or
/// node names. What holds for one of each class holds for every packet.
/// </summary>
public sealed class PacketSpace
{
    private readonly ILookup<Family, InetAddress> _addresses;
    private readonly List<(string Protocol, int Port)> _targets;

    public PacketSpace(ClusterObjects cluster)
    {
        // Somebody outside of everything named, in each family.
        var addresses = new SortedSet<InetAddress> { InetAddress.Parse("198.51.100.1"), InetAddress.Parse("2001:db8:5::1") };
        foreach (var address in cluster.Pods.SelectMany(ClusterObjects.Addresses).Concat(cluster.Nodes.SelectMany(ClusterObjects.AllAddresses)).Concat(cluster.Nodes.SelectMany(ClusterObjects.TunnelAddresses)))
            addresses.Add(InetAddress.FromBytes(address.GetAddressBytes()));
        var ports = new SortedSet<int> { 9 };
        foreach (var (peers, rulePorts) in cluster.Policies.SelectMany(Rules))
        {
            foreach (var cidr in peers.Select(peer => peer.IpBlock).OfType<V1IPBlock>().SelectMany(block => (block.Except ?? []).Prepend(block.Cidr)))
                Cut(addresses, Cidr.Parse(cidr));
            foreach (var port in rulePorts)
                Cut(ports, port);
        }

        foreach (var spec in cluster.ClusterPolicies.Select(policy => policy.Spec).OfType<ClusterNetworkPolicySpec>())
        {
            foreach (var network in (spec.Egress ?? []).SelectMany(rule => rule.To ?? []).SelectMany(peer => peer.Networks ?? []))
            {
                if (Cidr.TryParse(network, out var parsed))
                    Cut(addresses, parsed.Network);
            }

            foreach (var port in Rules(spec).SelectMany(rule => rule.Protocols ?? []).Select(protocol => (protocol.Tcp ?? protocol.Udp ?? protocol.Sctp)?.DestinationPort).OfType<ClusterNetworkPolicyPort>())
                Cut(ports, port.Number ?? port.Range?.Start, port.Number ?? port.Range?.End);
        }

        foreach (var port in cluster.Pods.SelectMany(ClusterObjects.ContainerPorts))
            ports.Add(port.ContainerPort);
        _addresses = addresses.ToLookup(address => address.Family);
        _targets = [("ICMP", 0), .. from protocol in new[] { "TCP", "UDP", "SCTP" } from port in ports select (protocol, port)];
    }

    /// <summary>Number of flows.</summary>
    public int Count => _addresses.Sum(family => family.Count() * family.Count()) * _targets.Count;

    /// <summary>Every class.</summary>
    public IEnumerable<Flow> All() =>
        from family in _addresses
        from source in family
        from destination in family
        from target in _targets
        select new Flow(source.ToIPAddress(), destination.ToIPAddress(), target.Protocol, target.Port);

    /// <summary>Some classes, families alternating, the same for the same seed.</summary>
    public IEnumerable<Flow> Some(int count, int seed)
    {
        var random = new Random(seed);
        var families = _addresses.Select(family => family.ToArray()).ToArray();
        for (var i = 0; i < count; i++)
        {
            var family = families[i % families.Length];
            var (protocol, port) = _targets[random.Next(_targets.Count)];
            yield return new(family[random.Next(family.Length)].ToIPAddress(), family[random.Next(family.Length)].ToIPAddress(), protocol, port);
        }
    }

    private static IEnumerable<(IList<V1NetworkPolicyPeer> Peers, IList<V1NetworkPolicyPort> Ports)> Rules(V1NetworkPolicy policy) =>
        (policy.Spec.Ingress ?? []).Select(rule => (rule.FromProperty ?? [], rule.Ports ?? []))
        .Concat((policy.Spec.Egress ?? []).Select(rule => (rule.To ?? [], rule.Ports ?? [])));

    private static IEnumerable<ClusterNetworkPolicyRule> Rules(ClusterNetworkPolicySpec spec) => [.. spec.Ingress ?? [], .. spec.Egress ?? []];

    private static void Cut(SortedSet<InetAddress> addresses, Cidr cidr)
    {
        var (first, last) = (cidr.First, cidr.Last);
        addresses.Add(first);
        addresses.Add(last);
        if (first.Value > 0)
            addresses.Add(first with { Value = first.Value - 1 });
        if (last != new Cidr(last, 0).Last)
            addresses.Add(last with { Value = last.Value + 1 });
    }

    private static void Cut(SortedSet<int> ports, V1NetworkPolicyPort port)
    {
        if (int.TryParse(port.Port?.Value, out var first))
            Cut(ports, first, port.EndPort ?? first);
    }

    private static void Cut(SortedSet<int> ports, int? first, int? last) =>
        ports.UnionWith(new[] { first - 1, first, last, last + 1 }.OfType<int>().Where(number => number is >= 1 and <= 65535));
}
