namespace Overlay.Dataplane.Operator;

/// <summary>How a node is, for people and their tools: what <c>overlay status</c> shows.</summary>
internal sealed record StatusReport
{
    /// <summary>Name of the Node.</summary>
    public required string Node { get; init; }

    /// <summary>Version of the agent.</summary>
    public required string Version { get; init; }

    /// <summary>When the agent started (UTC).</summary>
    public required DateTime Started { get; init; }

    /// <summary>Whether the datastore has delivered everything it held at start; until then nothing is changed in the kernel.</summary>
    public required bool Synced { get; init; }

    /// <summary>Such as <c>vxlan</c>.</summary>
    public required string Encapsulation { get; init; }

    /// <summary>MTU of pods' interfaces, bytes; 0 before the first commit.</summary>
    public required int Mtu { get; init; }

    /// <summary>Where <see cref="Mtu"/> comes from: <c>1500 of eth0 less 50 for vxlan over IPv4</c>; empty before the first commit.</summary>
    public required string MtuSource { get; init; }

    /// <summary>What carries packets between nodes: <c>192.0.2.1 on eth0, MTU 1500</c>, one of each family at most.</summary>
    public required IReadOnlyList<string> Underlay { get; init; }

    /// <summary>Tunnel devices of which the kernel makes the checksums, as their offload is off; <see cref="Degraded"/> says why when the agent found it broken.</summary>
    public required IReadOnlyList<string> SoftwareChecksums { get; init; }

    /// <summary>How established connections between pods are forwarded: <c>flowtable of 5 devices</c>, or <c>none: </c> and why.</summary>
    public required string FlowOffload { get; init; }

    /// <summary>This node's pod prefixes.</summary>
    public required IReadOnlyList<string> PodCidrs { get; init; }

    /// <summary>The other nodes.</summary>
    public required IReadOnlyList<PeerStatus> Peers { get; init; }

    /// <summary>The pods wired here.</summary>
    public required IReadOnlyList<PodOnNode> Pods { get; init; }

    /// <summary>Number of policies known, by tier: admin, networkPolicy, baseline.</summary>
    public required PolicyCounts Policies { get; init; }

    /// <summary>Objects that could not be understood.</summary>
    public required IReadOnlyList<RejectedObject> Rejected { get; init; }

    /// <summary>Policies that the kernel refused a part of; their pods are isolated.</summary>
    public required IReadOnlyList<string> Quarantined { get; init; }

    /// <summary>What works less than it could.</summary>
    public required IReadOnlyList<string> Degraded { get; init; }

    /// <summary>When everything was last compared with the kernel (UTC); null when it has not been.</summary>
    public DateTime? LastResync { get; init; }

    /// <summary>When a change was last brought into the kernel without anything left to do (UTC); null when none was.</summary>
    public DateTime? LastCommit { get; init; }

    /// <summary>Rows, elements and sysctls that somebody else had changed and that were repaired since the start.</summary>
    public required long DriftRepaired { get; init; }

    /// <summary>Resident memory of the agent, bytes.</summary>
    public required long MemoryBytes { get; init; }
}

/// <summary>Another node.</summary>
/// <param name="Node">Its name.</param>
/// <param name="Addresses">By which it is reached.</param>
/// <param name="PodCidrs">Its pod prefixes.</param>
/// <param name="Ways">To it, of each family; none when it is unreachable by configuration, which <see cref="StatusReport.Degraded"/> explains.</param>
internal sealed record PeerStatus(string Node, IReadOnlyList<string> Addresses, IReadOnlyList<string> PodCidrs, IReadOnlyList<WayStatus> Ways);

/// <summary>A way to another node, as it was last tried by an ICMP echo request.</summary>
/// <param name="Address">What answers at its other end.</param>
/// <param name="Device">By which packets leave.</param>
/// <param name="Reachability"><c>unknown</c> (not tried yet), <c>reached</c>, <c>toobig</c> (small packets only), <c>closed</c> (only on the underlay), <c>silent</c>.</param>
/// <param name="LastAnswer">When (UTC) an answer last came; null: never.</param>
/// <param name="RoundTripMilliseconds">Of that answer.</param>
internal sealed record WayStatus(string Address, string Device, string Reachability, DateTime? LastAnswer, double? RoundTripMilliseconds);

/// <summary>A pod wired on the node.</summary>
/// <param name="Pod">namespace/name.</param>
/// <param name="Addresses">Its addresses.</param>
/// <param name="Interface">The host's end of its interface pair.</param>
/// <param name="HostPorts">Ports of the node that lead to it: <c>tcp/8080 to 10.42.1.5:80</c>.</param>
internal sealed record PodOnNode(string Pod, IReadOnlyList<string> Addresses, string Interface, IReadOnlyList<string> HostPorts);

/// <summary>Numbers of policies.</summary>
/// <param name="Admin">ClusterNetworkPolicies of tier Admin.</param>
/// <param name="NetworkPolicy">NetworkPolicies.</param>
/// <param name="Baseline">ClusterNetworkPolicies of tier Baseline.</param>
internal sealed record PolicyCounts(int Admin, int NetworkPolicy, int Baseline);

/// <summary>An object that could not be understood.</summary>
/// <param name="Source">File, or API path.</param>
/// <param name="Line">1-based; 0 when there is none.</param>
/// <param name="Object">Kind and name; empty when not even these could be read.</param>
/// <param name="Field">Path of the offending field; empty for the whole.</param>
/// <param name="Reason">One clear sentence.</param>
internal sealed record RejectedObject(string Source, int Line, string Object, string Field, string Reason)
{
    /// <summary><c>file:line: object: field: reason</c>.</summary>
    public override string ToString() =>
        $"{Source}{(Line > 0 ? $":{Line}" : "")}: {(Object.Length > 0 ? $"{Object}: " : "")}{(Field.Length > 0 ? $"{Field}: " : "")}{Reason}";
}
