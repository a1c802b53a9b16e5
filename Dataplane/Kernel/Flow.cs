using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Kernel;

/// <summary>What policy can tell of a connection: all connections that agree in this share a verdict. A value without heap.</summary>
/// <param name="Source">Whoever began it.</param>
/// <param name="Destination">Whom it reached: after the translation of a Service's address.</param>
/// <param name="Protocol">IP protocol number.</param>
/// <param name="DestinationPort">The port it reached; 0 for protocols without.</param>
/// <param name="IcmpType">Type of an ICMP or ICMPv6 request; 0 for others.</param>
/// <param name="ToOwnNode">The destination is an address of this node.</param>
public readonly record struct Flow(InetAddress Source, InetAddress Destination, byte Protocol, ushort DestinationPort, byte IcmpType = 0, bool ToOwnNode = false);

/// <summary>A wish to have the connections looked at.</summary>
/// <param name="Number">Counts up from 1.</param>
/// <param name="Pods">Addresses of this node's pods; not changed afterwards.</param>
/// <param name="Prefixes">Where addresses of this node's pods come from.</param>
public sealed record FlowRequest(long Number, IReadOnlySet<InetAddress> Pods, EquatableArray<Cidr> Prefixes);

/// <summary>What pods that are gone have left among the connections.</summary>
/// <param name="Request">The request that was answered by looking; 0 when nothing is known.</param>
/// <param name="Prefixes">As the request has it.</param>
/// <param name="Addresses">Addresses of these prefixes that were no pod's and have connections.</param>
public sealed record FlowRemains(long Request, EquatableArray<Cidr> Prefixes, IReadOnlySet<InetAddress> Addresses)
{
    /// <summary>Before the first look.</summary>
    public static FlowRemains Unknown { get; } = new(0, [], new HashSet<InetAddress>());
}

/// <summary>The connections of this node's pods, as they were found.</summary>
/// <param name="OwnAddresses">Addresses of the node.</param>
/// <param name="Flows">Those that policy can tell apart, with whether it forbids them: false until somebody has judged.</param>
/// <param name="Connections">How many connections they are.</param>
/// <param name="Marked">How many of these carry our mark.</param>
/// <param name="Remains">What is left of pods that are gone.</param>
public sealed record FlowSurvey(IReadOnlySet<InetAddress> OwnAddresses, Dictionary<Flow, bool> Flows, int Connections, int Marked, FlowRemains Remains);

/// <summary>What a change of marks came to.</summary>
/// <param name="Revoked">Connections cut.</param>
/// <param name="Restored">Connections that may go on.</param>
public readonly record struct FlowChanges(int Revoked, int Restored);
