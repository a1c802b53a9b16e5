using System.Globalization;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Explain;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Dataplane.Operator;

/// <summary>A question that has no answer, and why: one clear sentence.</summary>
internal sealed class OperatorException(string message) : Exception(message);

/// <summary>Answers whether a flow passes: once from the policies, once by walking the rules read back from the kernel. Pure: no kernel is touched here.</summary>
/// <param name="snapshot">What the node knows.</param>
/// <param name="kernel">The node's ruleset as the kernel has it.</param>
internal sealed class Explainer(NodeSnapshot snapshot, IRulesetView kernel)
{
    private const byte EchoRequest = 8;
    private const byte Icmpv6EchoRequest = 128;

    private readonly PolicyJudge _judge = new(snapshot.State, snapshot.Node);
    private readonly List<string> _notes = [];

    /// <summary>Answers.</summary>
    /// <exception cref="OperatorException">It cannot be answered: no such pod, no address of a family in common, no such port.</exception>
    public Explanation Answer(OperatorRequest request)
    {
        var (from, to) = (Resolve(request.From, "--from"), Resolve(request.To, "--to"));
        var flows = (from family in FamilyFacts.Both
                     from source in @from.Where(address => address.Family == family)
                     from destination in to.Where(address => address.Family == family)
                     select (source, destination)).DistinctBy(pair => pair.source.Family).ToList();
        if (flows.Count == 0)
            throw new OperatorException($"{request.From} ({Families(from)}) and {request.To} ({Families(to)}) have no address family in common.");
        foreach (var pod in (string[])[request.From, request.To])
            Remark(pod);
        return new(snapshot.Node, [.. flows.Select(flow => Explain(flow.source, flow.destination, request))], _notes);
    }

    private ExplainedFlow Explain(InetAddress source, InetAddress destination, OperatorRequest request)
    {
        var (protocol, port) = Target(request, destination);
        var packet = new Packet(source, destination, protocol, port, DeviceOf(source), DeviceOf(destination))
        {
            IcmpType = protocol switch { Packet.Icmp => EchoRequest, Packet.Icmpv6 => Icmpv6EchoRequest, _ => 0 },
        };
        var decision = _judge.Judge(packet);
        return new(source.Family, End(source), End(destination), request.Protocol, port, decision.Allowed, Half(packet, decision.Egress), Half(packet, decision.Ingress));
    }

    private ExplainedHalf Half(Packet packet, Decision decision)
    {
        var rule = decision.Rule;
        var explained = new ExplainedDecision(
            decision.Allowed,
            decision.Ground.ToString(),
            decision.Tier?.ToString(),
            rule?.Policy.Name.ToString(),
            rule is null ? null : string.Create(CultureInfo.InvariantCulture, $"{rule.Direction.ToString().ToLowerInvariant()}[{rule.Index}]"),
            rule is { Rule.Name.Length: > 0 } ? rule.Rule.Name : null,
            $"{decision}{Stands(decision)}",
            [.. _judge.Misses(packet, decision).Select(miss => miss.ToString())]);
        var own = decision.Direction == Direction.Ingress ? packet.Destination : packet.Source;
        if (_judge.Subject(own) is not { } pod)
            return new(explained, null, null);
        if (!snapshot.State.LocalPods.Contains(pod.Name))
            return new(explained, null, pod.NodeName.Length > 0 && pod.NodeName != snapshot.Node ? pod.NodeName : "the node that runs it (it is not wired here)");
        var other = decision.Direction == Direction.Ingress ? packet.Source : packet.Destination;
        return new(explained, Walk(packet, decision.Direction, IsLocal(other)), null);
    }

    // A pod that reaches itself meets both base chains; each half tells of its own.
    private KernelDecision Walk(Packet packet, Direction end, bool isBetweenPods)
    {
        try
        {
            var trace = new PacketTracer(PacketClasses.Part(kernel, end, isBetweenPods)).Walk(packet);
            var last = trace.Path.LastOrDefault(step => step.Rule.Comment is not null || !trace.Accepted);
            var reason = trace.Path.Count == 0 ? "no rule matches"
                : trace.Accepted ? Deciding(trace, end)
                : $"{last.Chain.Name}: \"{NftText.Print(last.Rule)}\"";
            return new(trace.Accepted, reason, [.. trace.Path.Select(step => $"{step.Chain.Name}: {NftText.Print(step.Rule)}")]);
        }
        catch (Exception exception) when (exception is NotSupportedException or InvalidOperationException)
        {
            return new(null, $"{exception.Message}; overlay verify lists what is wrong", []);
        }
    }

    // The rule that accepted in the base chain of this end, or in a chain that it goes to.
    private static string Deciding(Trace trace, Direction end)
    {
        var begin = trace.Path.Select(step => step.Chain.Name).ToList().IndexOf(ChainOf(end));
        var walked = trace.Path.Skip(Math.Max(0, begin)).TakeWhile((step, index) => index == 0 || step.Chain.Base is null || step.Chain.Name == ChainOf(end)).ToList();
        var step = walked.Count > 0 ? walked[^1] : trace.Path[^1];
        return $"{step.Chain.Name}: \"{NftText.Print(step.Rule)}\"";
    }

    private static string ChainOf(Direction end) => end == Direction.Ingress ? BaseChains.IngressChain : BaseChains.EgressChain;

    private string Stands(Decision decision)
    {
        var involved = decision.Rule is { } rule ? [rule.Policy] : decision.Isolating;
        var texts = involved.Select(policy => policy.Name).Distinct().SelectMany(name =>
            snapshot.Rejections.Where(rejection => rejection.Name == name).Select(rejection => $"; it was rejected, so it isolates: {rejection}")
                .Concat(snapshot.Quarantined.Contains(name) ? [$"; policy {name} is quarantined, the kernel refused a part of it, so it isolates"] : []));
        return string.Concat(texts);
    }

    private FlowEnd End(InetAddress address)
    {
        var pod = _judge.Subject(address);
        var node = pod?.NodeName is { Length: > 0 } name ? name
            : pod is not null ? snapshot.Node
            : snapshot.State.Nodes.FirstOrDefault(node => node.Addresses.Contains(address) || node.TunnelAddresses.Contains(address))?.Name;
        return new(address.ToString(), pod?.Name.ToString(), node);
    }

    private bool IsLocal(InetAddress address) => _judge.Subject(address) is { } pod && snapshot.State.LocalPods.Contains(pod.Name);

    // Null for this node itself.
    private string? DeviceOf(InetAddress address)
    {
        if (IsLocal(address))
            return snapshot.Devices.Pods[_judge.Subject(address)!.Name];
        if (snapshot.State.Nodes.Any(node => node.Name == snapshot.Node && node.IsItself(address)))
            return null;
        var way = snapshot.Rows.Routes.Where(route => route.Destination.Contains(address)).OrderByDescending(route => route.Destination.PrefixLength).ThenBy(route => route.Metric).FirstOrDefault();
        return way.Device is { } device && Desired.Ownership.Tunnels.Contains(device) ? device : NodeSnapshot.Underlay;
    }

    private EquatableArray<InetAddress> Resolve(string text, string flag)
    {
        if (InetAddress.TryParse(text, out var address))
            return [address];
        var name = NameSearch.Parse(text) ?? throw new OperatorException($"{flag} {text} is neither NAMESPACE/POD nor an address.");
        var pod = NameSearch.Find(snapshot.State, name);
        if (pod.HostNetwork)
            throw new OperatorException($"Pod {name} is of the host network, where no policy is about it; ask with its node's address.");
        return pod.Addresses.Count > 0 ? pod.Addresses : throw new OperatorException($"Pod {name} has no address yet.");
    }

    private (byte Protocol, ushort Port) Target(OperatorRequest request, InetAddress destination)
    {
        if (request.Protocol == "icmp")
            return (destination.Family == Family.IPv4 ? Packet.Icmp : Packet.Icmpv6, 0);
        var protocol = Enum.Parse<IpProtocol>(request.Protocol, ignoreCase: true);
        if (ushort.TryParse(request.Port, NumberStyles.None, CultureInfo.InvariantCulture, out var number))
            return ((byte)protocol, number);
        if (_judge.Subject(destination) is not { } pod)
            throw new OperatorException($"--port {request.Port} is a name, and {destination} is no pod's address: names are those of container ports. Give a number.");
        var ports = _judge.Resolve(new(protocol, request.Port), destination).ToList();
        return ports.Count > 0
            ? ((byte)protocol, ports[0])
            : throw new OperatorException($"Pod {pod.Name} has no {request.Protocol} port named {request.Port}; it has {(pod.Ports.Count == 0 ? "none with a name" : string.Join(", ", pod.Ports.Select(port => $"{port.Name} ({port.Protocol.ToString().ToLowerInvariant()})")))}.");
    }

    private void Remark(string end)
    {
        if (InetAddress.TryParse(end, out var address) && End(address) is { Pod: null, Node: null })
            _notes.Add($"{address} is no pod's and no node's address. If it is a Service's: a Service address is judged by the pod it leads to, so ask with that pod.");
    }

    private static string Families(IEnumerable<InetAddress> addresses) => string.Join(" and ", addresses.Select(address => address.Family).Distinct().Order());
}
