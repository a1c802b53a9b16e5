using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.PolicyEngine.Explain;

/// <summary>Where a node's packets come in and go out.</summary>
/// <param name="Pods">The host's end of each local pod's interface pair.</param>
/// <param name="Others">Devices to everywhere else: the tunnel, the underlay; at least one.</param>
public sealed record NodeDevices(IReadOnlyDictionary<NamespacedName, string> Pods, IReadOnlyList<string> Others);

/// <summary>A packet that stands for its class at one end of a flow.</summary>
/// <param name="End">The end that is judged: ingress, where it arrives at a local pod; egress, where one sends it.</param>
/// <param name="IsBetweenPods">Whether the other end is a pod of this node, too: then that one is judged by itself, in another class.</param>
/// <param name="Packet">The packet.</param>
public readonly record struct PacketClass(Direction End, bool IsBetweenPods, Packet Packet);

/// <summary>
/// Cuts the packets that a node judges into classes that neither its policies nor its ruleset can tell apart, and gives one packet of each.
/// <para>
/// Why one packet proves its class. What <see cref="PolicyJudge"/> says at one end of a flow is a function of: the policies that select the pod there, for each of their rules whether the other
/// address is one of its peers, whether protocol and port are among its ports (names resolved at the destination), whether the other end is the pod itself or its own node, whether the namespaces of the two are known. What a ruleset says is a
/// function of the outcomes of the matches that the packet can meet on its way, and of the elements it finds in maps. All of these are facts about the pod's address, about the other address, or about
/// (protocol, port) given the two; each is a column of <see cref="AddressSpace"/> or a cut of <see cref="PortSpace"/>. So two packets with equal facts get equal answers from both, and judge and
/// ruleset agree on all packets of a class if they agree on one. The classes cover everything: an address that nothing names lies between two boundaries, where one is picked, and a protocol that nothing
/// names is picked, too.
/// </para>
/// <para>
/// Why it stays small. The two ends are judged by different base chains of one hook, each of which must accept, and neither changes the packet; so between two pods of the node each end is taken for itself,
/// without the other's base chain. Classes are cut only by the policies that select pods of the class and by the chains that these reach, not by all policies. Local pods without a difference are one class.
/// </para>
/// <para>
/// Not in here, because no policy is about it: packets with no pod of this node at either end, sources that anti-spoofing drops, and such as IPVS would send on that have an address of this node's podCIDRs and
/// are no pod's, connections with the revoked mark, and what a pod with two addresses of one family sends to itself from one
/// to the other (it does not leave the pod).
/// </para>
/// </summary>
/// <param name="state">The cluster.</param>
/// <param name="node">Name of the node whose local pods these are.</param>
/// <param name="judge">Judges <paramref name="state"/>.</param>
/// <param name="ruleset">The node's ruleset; it must not change meanwhile.</param>
/// <param name="devices">The node's devices.</param>
/// <param name="stop">Ends the work early.</param>
public sealed class PacketClasses(ClusterState state, string node, PolicyJudge judge, IRulesetView ruleset, NodeDevices devices, CancellationToken stop = default)
{
    private const byte EchoRequest = 8;
    private const byte Icmpv6EchoRequest = 128;
    private static readonly byte[] NoType = [0];
    private static readonly CtState[] States = [CtState.New, CtState.Established];
    private static readonly Direction[] Ends = [Direction.Egress, Direction.Ingress];

    private readonly Dictionary<string, int> _numbers = [];
    private readonly List<Pod> _local = [.. state.Pods.Where(pod => !pod.HostNetwork && state.LocalPods.Contains(pod.Name)).OrderBy(pod => pod.Name)];

    private readonly HashSet<InetAddress> _own =
        [.. state.Nodes.Where(candidate => candidate.Name == node).SelectMany(candidate => candidate.InternalAddresses.Concat(candidate.TunnelAddresses))];

    /// <summary>One packet of each class.</summary>
    /// <exception cref="InvalidOperationException">The ruleset is none that the kernel would load.</exception>
    /// <exception cref="NotSupportedException">It holds what no ruleset of ours does.</exception>
    public IEnumerable<PacketClass> All() =>
        from end in Ends
        from family in FamilyFacts.Both
        from @class in Of(end, family)
        select @class;

    /// <summary>The part of a ruleset that judges one class.</summary>
    public static IRulesetView Part(IRulesetView ruleset, Direction end, bool isBetweenPods) =>
        !isBetweenPods ? ruleset :
        end == Direction.Ingress ? new RulesetHalf(ruleset, BaseChains.EgressChain, BaseChains.IpvsEgressChain) :
        new RulesetHalf(ruleset, BaseChains.IngressChain, BaseChains.IpvsIngressChain);

    private IEnumerable<PacketClass> Of(Direction end, Family family)
    {
        var side = end == Direction.Egress ? Side.Saddr : Side.Daddr;
        var ends = (from isBetweenPods in (bool[])[true, false]
                    let part = Part(ruleset, end, isBetweenPods)
                    from pod in _local
                    from address in pod.Addresses.Distinct()
                    where address.Family == family
                    select new End(pod, address, isBetweenPods, RulesetReach.Of(part, side, address, other => IsLocal(other) == isBetweenPods))).ToList();
        var space = new AddressSpace(family, state, ruleset, [.. ends.SelectMany(item => item.Reach.Matches).Distinct()], ends.SelectMany(item => judge.Selecting(item.Pod, end)).Distinct(), stop);
        var places = space.Addresses.Select((address, index) => (address, index)).ToDictionary(pair => pair.address, pair => pair.index);
        foreach (var same in ends.GroupBy(item => Fingerprint(item, space, places[item.Address], end)))
        {
            foreach (var packet in Towards(same.First(), space, end))
                yield return new(end, same.First().IsBetweenPods, packet);
            foreach (var packet in same.Where(item => item.IsBetweenPods).SelectMany(item => Packets(item, item.Address, space, end)))
                yield return new(end, true, packet);
        }
    }

    // A local pod's address, and what packets between it and other local pods, or everybody else, can meet.
    private sealed record End(Pod Pod, InetAddress Address, bool IsBetweenPods, RulesetReach Reach);

    // Everything that tells a local pod's address from another: equal texts, one class.
    private string Fingerprint(End item, AddressSpace space, int place, Direction end)
    {
        var (pod, address, isBetweenPods, reach) = item;
        var policies = judge.Selecting(pod, end);
        var names = policies.SelectMany(policy => policy.Rules(end)!.Value).SelectMany(rule => rule.Ports).OfType<PortMatch.Named>().Distinct().ToList();
        IEnumerable<string> parts =
        [
            .. policies.Select(policy => $"{policy.Tier} {policy.Name}"),
            isBetweenPods.ToString(),
            judge.IsContested(address).ToString(),
            pod.IsRejected.ToString(),
            judge.IsUndecided(pod, end).ToString(),
            (judge.Stranger(address) is null).ToString(),
            .. end == Direction.Egress ? [] : names.Select(name => $"{name} {string.Join(' ', judge.Resolve(name, address).Order())}"),
            .. space.Columns(reach, end == Direction.Egress ? Side.Saddr : Side.Daddr).Select(column => column[place].ToString(System.Globalization.CultureInfo.InvariantCulture)),
            .. Patterns(reach).Select(pattern => PacketTracer.IsInterface(pattern, DeviceOf(pod)).ToString()),
        ];
        return string.Join('\n', parts);
    }

    // One packet of each class between a local pod and everybody else.
    private IEnumerable<Packet> Towards(End item, AddressSpace space, Direction end)
    {
        var (pod, _, isBetweenPods, reach) = item;
        var policies = judge.Selecting(pod, end);
        List<int[]> columns =
        [
            space.Column("stranger", other => judge.Stranger(other) is null ? 0 : 1),
            space.Column("node", other => judge.IsNode(other) ? 1 : 0),
            space.Column("place", other => IsLocal(other) ? 1 : _own.Contains(other) ? 2 : 0),
            .. space.Columns(reach, end == Direction.Egress ? Side.Daddr : Side.Saddr),
            .. Patterns(reach).Select(pattern => space.Column(("device", pattern), other => IsLocal(other) && PacketTracer.IsInterface(pattern, DeviceOf(judge.Subject(other)!)) ? 1 : 0)),
        ];
        foreach (var policy in policies)
        {
            var rules = policy.Rules(end)!.Value;
            for (var i = 0; i < rules.Count; i++)
            {
                var rule = new RuleReference(policy, end, i);
                columns.Add(space.Column((policy.Name, policy.Tier, end, i), other => judge.MatchesPeer(rule, other) ? 1 : 0));
                if (end == Direction.Egress)
                    columns.AddRange(rules[i].Ports.OfType<PortMatch.Named>().Select(name => space.Column(name, other => Number(judge.Resolve(name, other)))));
            }
        }

        foreach (var others in space.Split(columns))
        {
            var other = others.Where(other => !pod.Addresses.AsSpan().Contains(other)).Select(other => (InetAddress?)other).FirstOrDefault();
            if (other is not { } found || IsLocal(found) != isBetweenPods)
                continue;
            foreach (var packet in Packets(item, found, space, end))
                yield return packet;
        }
    }

    // Equal lists of ports, equal numbers.
    private int Number(IEnumerable<ushort> ports)
    {
        var text = string.Join(' ', ports.Order());
        if (!_numbers.TryGetValue(text, out var number))
            _numbers.Add(text, number = _numbers.Count);
        return number;
    }

    private IEnumerable<Packet> Packets(End item, InetAddress other, AddressSpace space, Direction end)
    {
        var (pod, address, _, reach) = item;
        var (source, destination) = end == Direction.Egress ? (address, other) : (other, address);
        var ports = new PortSpace(space.Family);
        ports.Cut(judge.Selecting(pod, end).SelectMany(policy => policy.Rules(end)!.Value), name => judge.Resolve(name, destination));
        ports.Cut(reach, space, source, destination);
        foreach (var outer in state.Options.Tunnels)
            ports.Cut(outer.Protocol, outer.Port ?? 0, outer.Port ?? ushort.MaxValue);
        var types = Icmpv6Types(reach);
        var isForged = end == Direction.Ingress && !IsLocal(other) && state.Network.Local.Any(prefix => prefix.Contains(other));
        foreach (var device in DevicesOf(other, reach))
        {
            var (input, output) = end == Direction.Egress ? (DeviceOf(pod), device) : (device, DeviceOf(pod));
            foreach (var (protocol, port) in ports.All)
            {
                foreach (var type in protocol == Packet.Icmpv6 ? types : protocol == Packet.Icmp ? [EchoRequest] : NoType)
                {
                    foreach (var ct in States)
                    {
                        var packet = new Packet(source, destination, protocol, port, input, output) { IcmpType = type, State = ct };
                        yield return packet;
                        if (device is not null && !isForged)
                            yield return packet with { ByIpvs = true };
                    }
                }
            }
        }
    }

    private static byte[] Icmpv6Types(RulesetReach reach)
    {
        var types = new SortedSet<byte> { Icmpv6EchoRequest };
        foreach (var match in reach.Matches.OfType<Match.Icmpv6Type>())
        {
            types.Add(match.First);
            if (match.Last < byte.MaxValue)
                types.Add((byte)(match.Last + 1));
        }

        return [.. types.Prepend((byte)0).Distinct()];
    }

    private bool IsLocal(InetAddress address) => judge.Subject(address) is { } pod && state.LocalPods.Contains(pod.Name);

    // Null for the node itself. Of the devices to elsewhere one of each kind that the ruleset tells apart.
    private IEnumerable<string?> DevicesOf(InetAddress other, RulesetReach reach)
    {
        if (IsLocal(other))
            return [DeviceOf(judge.Subject(other)!)];
        if (_own.Contains(other))
            return [null];
        var patterns = Patterns(reach).ToList();
        return devices.Others.DistinctBy(device => string.Concat(patterns.Select(pattern => PacketTracer.IsInterface(pattern, device) ? '1' : '0')));
    }

    private string DeviceOf(Pod pod) => devices.Pods.GetValueOrDefault(pod.Name) ?? RulesetOptions.PodInterfacePrefix;

    private static IEnumerable<string> Patterns(RulesetReach reach) => reach.Matches
        .Select(match => match switch
        {
            Match.InputInterface input => input.Name,
            Match.OutputInterface output => output.Name,
            _ => null,
        })
        .OfType<string>()
        .Distinct();
}
