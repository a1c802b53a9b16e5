using System.Text.Json;

namespace Overlay.CniShim.Protocol;

// The words between overlay-cni and the agent: one connection per call, one line of JSON each way ('\n' ends it), then the plugin closes.
// Lines instead of half-closes, because a connection that stays open both ways tells the agent when its client has died, so that it can undo an ADD.
// Both programs are always installed together, yet a new plugin may meet an old agent for a moment: unknown keys are ignored, and Version tells.

/// <summary>What the plugin asks of the agent.</summary>
internal sealed record AgentRequest
{
    /// <summary>Version of this protocol.</summary>
    public const int CurrentVersion = 1;

    public int Version { get; init; } = CurrentVersion;

    /// <summary>Longest request and answer in bytes, the line feed included.</summary>
    public const int MaxLength = 1 << 20;

    /// <summary>ADD, DEL, CHECK, GC or STATUS (CNI_COMMAND).</summary>
    public required string Command { get; init; }

    /// <summary>CNI_CONTAINERID; empty for GC and STATUS.</summary>
    public string ContainerId { get; init; } = "";

    /// <summary>CNI_NETNS; may be empty for DEL.</summary>
    public string Netns { get; init; } = "";

    /// <summary>CNI_IFNAME.</summary>
    public string IfName { get; init; } = "";

    /// <summary>Name of the network (the configuration's <c>name</c>).</summary>
    public string Network { get; init; } = "";

    /// <summary>K8S_POD_NAMESPACE of CNI_ARGS; empty when not given.</summary>
    public string PodNamespace { get; init; } = "";

    /// <summary>K8S_POD_NAME of CNI_ARGS; empty when not given.</summary>
    public string PodName { get; init; } = "";

    /// <summary>K8S_POD_UID of CNI_ARGS; empty when not given.</summary>
    public string PodUid { get; init; } = "";

    /// <summary>The addresses obtained for the pod (ADD), or those that prevResult gives to its interface (CHECK); CIDR text as IPAM returned it.</summary>
    public IReadOnlyList<IpamAddress> Addresses { get; init; } = [];

    /// <summary>CHECK only: the addresses of prevResult that name no interface. They are the pod's as far as the agent wired it with them; others are another plugin's.</summary>
    public IReadOnlyList<IpamAddress> LooseAddresses { get; init; } = [];

    /// <summary>ADD only: the folder of the address files of <see cref="Network"/>; empty when it is the one that the agent's conflist names by default, or when the addresses come from another plugin.</summary>
    public string AddressFolder { get; init; } = "";

    /// <summary>ADD only: how to ask the plugin that <c>ipam.type</c> names to take its addresses back; null when the built-in allocator gave them.</summary>
    public Delegation? Delegation { get; init; }

    /// <summary>ADD only: the host ports asked for, as the runtime gave them.</summary>
    public IReadOnlyList<PortMapping> PortMappings { get; init; } = [];

    /// <summary>GC only: the attachments of <see cref="Network"/> that are still in use; every other one of that network is to go.</summary>
    public IReadOnlyList<Attachment> ValidAttachments { get; init; } = [];

    /// <summary>ADD and CHECK: the Ethernet address asked for the pod's end, as <c>02:00:5e:10:00:01</c> in lower case; empty leaves it to the agent.</summary>
    public string Mac { get; init; } = "";

    /// <summary>When the plugin began this request: <see cref="BootClock"/>'s nanoseconds; 0 is unknown. A DEL that began before the attachment was made means an earlier
    /// one and does nothing; an ADD that began before the last DEL of its attachment was done is refused with code 11.</summary>
    public long Began { get; init; }

    /// <summary>GC only: attachments younger than this, in seconds, are kept; another runtime on this host may just be adding them.</summary>
    public int Grace { get; init; }

    /// <summary>CHECK only: the Ethernet address of the pod's end in prevResult, as it is there; empty when it has none.</summary>
    public string PreviousMac { get; init; } = "";

    /// <summary>ADD and CHECK: the limits asked for; null when none is.</summary>
    public Bandwidth? Bandwidth { get; init; }
}

/// <summary>How an ADD was called whose addresses another plugin gave: what a DEL of the same attachment needs, should no runtime ever call it.</summary>
/// <param name="Configuration">stdin, as text.</param>
/// <param name="Path">CNI_PATH.</param>
/// <param name="Args">CNI_ARGS.</param>
internal sealed record Delegation(string Configuration, string Path, string Args)
{
    /// <summary>Longest <see cref="Configuration"/> in bytes that is told: as a text in JSON it can be six times that, and a request has an end (<see cref="AgentRequest.MaxLength"/>).</summary>
    public const int MaxLength = AgentRequest.MaxLength / 8;

    /// <summary>The variable by which the agent tells a plugin that it starts when its DEL began (<see cref="AgentRequest.Began"/>): before an ADD that may follow.</summary>
    public const string BeganVariable = "OVERLAY_CNI_BEGAN";
}

/// <summary>One interface of one container: what CNI calls an attachment.</summary>
/// <param name="ContainerId">CNI_CONTAINERID.</param>
/// <param name="IfName">CNI_IFNAME.</param>
internal readonly record struct Attachment(string ContainerId, string IfName)
{
    /// <summary>Reads <c>{containerID, ifname}</c> as the runtimes spell it; the case of keys does not matter.</summary>
    /// <exception cref="JsonException">A key has a value of another kind.</exception>
    public static Attachment Read(JsonElement json) => new(json.Text("containerID"), json.Text("ifname"));
}

/// <summary>One address of an IPAM result.</summary>
internal sealed record IpamAddress
{
    /// <summary>Address with the prefix length of its range, e.g. <c>10.42.0.5/24</c>.</summary>
    public required string Address { get; init; }

    /// <summary>The range's gateway; informative: pods are routed through a link-local gateway.</summary>
    public string? Gateway { get; init; }

    /// <summary>Reads an item of <c>ips</c> of a CNI result.</summary>
    /// <exception cref="JsonException">A key has a value of another kind.</exception>
    public static IpamAddress Read(JsonElement json) => new() { Address = json.Text("address"), Gateway = json.Text("gateway") is { Length: > 0 } gateway ? gateway : null };
}

/// <summary>What the agent answers: exactly one of the two is set, except for DEL, CHECK, GC and STATUS, where both null means success.</summary>
internal sealed record AgentResponse
{
    /// <summary>Success of DEL, CHECK, GC and STATUS.</summary>
    public static readonly AgentResponse Done = new();

    /// <summary>A DEL that began before the attachment was made: it meant a predecessor, and nothing was done.</summary>
    public static readonly AgentResponse Stale = new() { PassedOver = true };

    /// <summary>DEL: it was passed over, so that the addresses of this container are those of a pod that is there.</summary>
    public bool PassedOver { get; init; }

    /// <summary>ADD: what was wired.</summary>
    public WiredPod? Wired { get; init; }

    /// <summary>Why not.</summary>
    public AgentError? Error { get; init; }
}

/// <summary>The interface pair of a wired pod.</summary>
internal sealed record WiredPod
{
    /// <summary>Name of the host's end.</summary>
    public required string HostInterface { get; init; }

    /// <summary>Ethernet address of the host's end.</summary>
    public required string HostMac { get; init; }

    /// <summary>Ethernet address of the pod's end.</summary>
    public required string PodMac { get; init; }

    /// <summary>MTU of both ends.</summary>
    public required int Mtu { get; init; }

    /// <summary>Gateway of the pod's default routes, one per family wired.</summary>
    public required IReadOnlyList<string> Gateways { get; init; }
}

/// <summary>An error in CNI's terms (CNI spec, section "Error").</summary>
internal sealed record AgentError
{
    /// <summary>CNI error code, see <see cref="CniErrorCode"/>.</summary>
    public required int Code { get; init; }

    /// <summary>One clear sentence: what, where, what to do.</summary>
    public required string Msg { get; init; }

    /// <summary>More, or empty.</summary>
    public string Details { get; init; } = "";

    /// <summary>An answer that says why not.</summary>
    public static AgentResponse Answer(int code, string msg, string details = "") => new() { Error = new() { Code = code, Msg = msg, Details = details } };
}
