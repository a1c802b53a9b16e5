using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Model;

namespace Overlay.PolicyEngine.Explain;

/// <summary>
/// Judges the first packet of a flow from the policies alone, never looking at a compiled ruleset: what the ruleset is held against, and what names the policy,
/// direction and rule. Per direction: the Admin tier; then the NetworkPolicies, final for pods that they isolate; for others the Baseline tier; then the default.
/// </summary>
/// <param name="state">The cluster; it must not change meanwhile.</param>
/// <param name="node">The node whose local pods those of <paramref name="state"/> are: a pod that no datastore has yet does not name its node itself.</param>
public sealed class PolicyJudge(ClusterState state, string node)
{
    private readonly ILookup<InetAddress, Pod> _pods = state.Pods
        .Where(pod => !pod.HostNetwork)
        .SelectMany(pod => pod.Addresses.Distinct().Select(address => (Address: address, Pod: pod)))
        .ToLookup(pair => pair.Address, pair => pair.Pod);

    private readonly ILookup<InetAddress, ClusterNode> _nodes = state.Nodes
        .SelectMany(item => item.Addresses.Concat(item.TunnelAddresses).Distinct().Select(address => (Address: address, Node: item)))
        .ToLookup(pair => pair.Address, pair => pair.Node);

    private readonly Dictionary<InetAddress, Pod> _subjects = [];
    private readonly Dictionary<string, Labels> _namespaces = state.Namespaces.ToDictionary(space => space.Name, space => space.WithNameLabel().Labels);
    private readonly List<Policy> _policies = [.. state.Policies.Order(Policy.AsEvaluated)];
    private readonly Dictionary<(NamespacedName Pod, Direction Direction), List<Policy>> _selecting = [];

    /// <summary>Both directions of a flow.</summary>
    /// <param name="packet">Its first packet; addresses, protocol, port and ICMP type count.</param>
    public FlowDecision Judge(Packet packet) => new(Judge(packet, Direction.Egress), Judge(packet, Direction.Ingress));

    /// <summary>One direction of a flow.</summary>
    public Decision Judge(Packet packet, Direction direction)
    {
        var (own, other) = direction == Direction.Ingress ? (packet.Destination, packet.Source) : (packet.Source, packet.Destination);
        if (Subject(own) is not { } pod)
            return new(direction, true, Ground.NoPod);
        if (IsContested(own))
            return new(direction, false, Ground.AddressConflict, pod);
        var isItself = pod.Addresses.AsSpan().Contains(other);
        if (!isItself && direction == Direction.Egress && IsTunnelled(packet))
            return new(direction, false, Ground.Tunnel, pod);
        var ownNode = !isItself && IsOwnNode(pod, other);
        if (ownNode && (direction == Direction.Ingress || IsNeighbourDiscovery(packet)))
            return new(direction, true, Ground.OwnNode, pod);
        if (pod.IsRejected)
            return new(direction, false, Ground.Rejected, pod);
        return Judge(packet, direction, pod, isItself ? Ground.Itself : ownNode ? Ground.OwnNode : null);
    }

    /// <summary>The pod, not of the host network, that policies are about at an address: one of this node before others. Null when there is none.</summary>
    public Pod? Subject(InetAddress address)
    {
        if (_subjects.TryGetValue(address, out var known))
            return known;
        var pod = _pods[address].OrderBy(pod => !IsLocal(pod)).ThenBy(pod => pod.Name).FirstOrDefault();
        if (pod is not null)
            _subjects.Add(address, pod);
        return pod;
    }

    /// <summary>The namespace of a pod at the address whose labels are not known; null when there is none.</summary>
    public string? Stranger(InetAddress address)
    {
        foreach (var pod in _pods[address])
        {
            if (!IsKnown(pod))
                return pod.Name.Namespace;
        }

        return null;
    }

    /// <summary>Whether the labels of the pod's namespace would decide if some policy selects it, and are not known.</summary>
    public bool IsUndecided(Pod pod, Direction direction) =>
        !IsKnown(pod) && _policies.Exists(policy => policy.AsksForNamespaceLabels(direction) && policy.Subject.PodSelector.Matches(pod.Labels));

    /// <summary>Whether several pods of this node claim the address.</summary>
    public bool IsContested(InetAddress address)
    {
        var claims = 0;
        foreach (var pod in _pods[address])
            claims += IsLocal(pod) ? 1 : 0;
        return claims > 1;
    }

    /// <summary>The policies that have a say in one direction of a pod, in the order in which they are asked.</summary>
    public IReadOnlyList<Policy> Selecting(Pod pod, Direction direction)
    {
        if (_selecting.TryGetValue((pod.Name, direction), out var known))
            return known;
        return _selecting[(pod.Name, direction)] =
            [.. _policies.Where(policy => policy.Rules(direction) is not null && policy.Subject.Matches(pod.Name.Namespace, _namespaces.GetValueOrDefault(pod.Name.Namespace), pod.Labels))];
    }

    /// <summary>For each rule of the policies that isolate the pod of <paramref name="decision"/>, why it does not match; empty when another ground decided.</summary>
    public IReadOnlyList<RuleMiss> Misses(Packet packet, Decision decision)
    {
        var other = decision.Direction == Direction.Ingress ? packet.Source : packet.Destination;
        return
        [
            .. from policy in decision.Isolating
               from index in Enumerable.Range(0, policy.Rules(decision.Direction)!.Value.Count)
               let rule = new RuleReference(policy, decision.Direction, index)
               select new RuleMiss(rule, !MatchesPeer(rule, other), !MatchesPort(rule.Rule, packet)),
        ];
    }

    /// <summary>Whether one of the peers of a rule is the address.</summary>
    public bool MatchesPeer(RuleReference rule, InetAddress address)
    {
        foreach (var peer in rule.Rule.Peers)
        {
            var matches = peer switch
            {
                Peer.Any => true,
                Peer.Pods pods => Selects(Selector.Of(pods, rule.Policy.Name.Namespace), address),
                Peer.IPBlock => false,
                Peer.Nodes nodes => _nodes[address].Any(candidate => nodes.Selector.Matches(candidate.Labels)),
                _ => throw new NotSupportedException($"The judge does not know the peer {peer}."),
            };
            if (matches)
                return true;
        }

        return MatchesBlocks(rule.Rule, address);
    }

    /// <summary>The numbers that a port name has, with its protocol, at an address: of the pods that have it.</summary>
    public IEnumerable<ushort> Resolve(PortMatch.Named name, InetAddress destination) =>
        from pod in _pods[destination]
        from port in pod.Ports
        where port.Name == name.Name && port.Protocol == name.Protocol
        select port.Port;

    /// <summary>Whether an address is a node's.</summary>
    public bool IsNode(InetAddress address) => _nodes.Contains(address);

    /// <summary>Whether an address is the pod's own node's.</summary>
    public bool IsOwnNode(Pod pod, InetAddress address)
    {
        var name = IsLocal(pod) ? node : pod.NodeName;
        foreach (var candidate in _nodes[address])
        {
            if (candidate.Name == name && candidate.IsItself(address))
                return true;
        }

        return false;
    }

    // `near`: the other end is the pod's own node, or the pod itself, so that NetworkPolicies and the default have nothing against it.
    private Decision Judge(Packet packet, Direction direction, Pod pod, Ground? near)
    {
        var policies = Selecting(pod, direction);
        if (IsUndecided(pod, direction))
            return new(direction, false, Ground.UnknownNamespace, pod, Unknown: pod.Name.Namespace);
        var stranger = direction == Direction.Ingress ? Stranger(packet.Source) : Stranger(packet.Destination);
        if (stranger is not null && AsksForNamespaceLabels(policies, Tier.Admin, direction))
            return new(direction, false, Ground.UnknownNamespace, pod, Unknown: stranger);
        if (FirstMatch(policies, Tier.Admin, packet, direction) is { } admin)
            return Decided(admin, pod);
        var isolating = policies.Where(policy => policy.Tier == Tier.NetworkPolicy).ToEquatableArray();
        if (isolating.Count > 0 && near is null)
            return FirstMatch(policies, Tier.NetworkPolicy, packet, direction) is { } allowing ? Decided(allowing, pod) : new(direction, false, Ground.Isolated, pod, null, isolating);
        if (isolating.Count == 0 && stranger is not null && AsksForNamespaceLabels(policies, Tier.Baseline, direction))
            return new(direction, false, Ground.UnknownNamespace, pod, Unknown: stranger);
        if (isolating.Count == 0 && FirstMatch(policies, Tier.Baseline, packet, direction) is { } baseline)
            return Decided(baseline, pod);
        return near is { } ground ? new(direction, true, ground, pod) : new(direction, !state.Options.IsolateByDefault, Ground.Default, pod);
    }

    private bool IsKnown(Pod pod) => _namespaces.ContainsKey(pod.Name.Namespace);

    // Whether a rule means such a pod nobody can tell, and any answer might open what another rule was to forbid.
    private static bool AsksForNamespaceLabels(IReadOnlyList<Policy> policies, Tier tier, Direction direction) => policies.Any(policy => policy.Tier == tier
        && policy.Rules(direction)!.Value.Any(rule => rule.Peers.OfType<Peer.Pods>().Any(peer => Selector.Of(peer, policy.Name.Namespace).AsksForNamespaceLabels)));

    // What arrives at a node as its tunnel's is taken for another node's, and what is in it is not judged where it was sent.
    private bool IsTunnelled(Packet packet) =>
        state.Options.Tunnels.Any(outer => outer.Protocol == packet.Protocol && (outer.Port ?? packet.DestinationPort) == packet.DestinationPort) && IsNode(packet.Destination);

    // Solicitations and advertisements of neighbours: without them a pod and its node do not find each other (RFC 4861). Of routers: a pod could make itself the node's.
    private static bool IsNeighbourDiscovery(Packet packet) =>
        packet.Family == Family.IPv6 && packet.Protocol == Packet.Icmpv6 && packet.IcmpType is 135 or 136;

    private static Decision Decided(RuleReference rule, Pod pod) => new(rule.Direction, rule.Rule.Action == RuleAction.Accept, Ground.Rule, pod, rule);

    // The first rule of a tier that matches and decides; a rule that passes ends the tier.
    private RuleReference? FirstMatch(IReadOnlyList<Policy> policies, Tier tier, Packet packet, Direction direction)
    {
        var other = direction == Direction.Ingress ? packet.Source : packet.Destination;
        foreach (var policy in policies)
        {
            if (policy.Tier != tier)
                continue;
            var rules = policy.Rules(direction)!.Value;
            for (var i = 0; i < rules.Count; i++)
            {
                if (!MatchesPort(rules[i], packet))
                    continue;
                var rule = new RuleReference(policy, direction, i);
                if (MatchesPeer(rule, other))
                    return rules[i].Action == RuleAction.Pass ? null : rule;
            }
        }

        return null;
    }

    // A node's tunnel address is what other nodes' pods know its processes by. So it is in when another address of the node is, and out when one of these is excepted and
    // not let back in by another block.
    private bool MatchesBlocks(PolicyRule rule, InetAddress address)
    {
        var isIn = Contains(rule, address);
        foreach (var sender in _nodes[address])
        {
            if (!sender.TunnelAddresses.AsSpan().Contains(address))
                continue;
            foreach (var other in sender.Addresses)
            {
                if (other.Family != address.Family)
                    continue;
                if (Contains(rule, other))
                    isIn = true;
                else if (rule.Peers.OfType<Peer.IPBlock>().Any(block => block.Except.Any(except => except.Contains(other))))
                    return false;
            }
        }

        return isIn;
    }

    private static bool Contains(PolicyRule rule, InetAddress address)
    {
        foreach (var peer in rule.Peers)
        {
            if (peer is Peer.IPBlock block && block.Cidr.Contains(address) && !block.Except.Any(except => except.Contains(address)))
                return true;
        }

        return false;
    }

    private bool MatchesPort(PolicyRule rule, Packet packet)
    {
        foreach (var port in rule.Ports)
        {
            var matches = port switch
            {
                PortMatch.Any => true,
                PortMatch.Numeric numbers => (byte)numbers.Protocol == packet.Protocol && packet.DestinationPort >= numbers.First && packet.DestinationPort <= numbers.Last,
                PortMatch.Named name => (byte)name.Protocol == packet.Protocol && Resolve(name, packet.Destination).Contains(packet.DestinationPort),
                _ => throw new NotSupportedException($"The judge does not know the port {port}."),
            };
            if (matches)
                return true;
        }

        return false;
    }

    private bool Selects(Selector selector, InetAddress address)
    {
        foreach (var pod in _pods[address])
        {
            if (selector.Matches(pod.Name.Namespace, _namespaces.GetValueOrDefault(pod.Name.Namespace), pod.Labels))
                return true;
        }

        return false;
    }

    private bool IsLocal(Pod pod) => state.LocalPods.Contains(pod.Name);
}
