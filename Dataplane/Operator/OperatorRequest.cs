using System.Text.Json;
using System.Text.Json.Serialization;

namespace Overlay.Dataplane.Operator;

/// <summary>
/// What an operator's verb asks of the agent, as one line of JSON on the socket of the plugin (<see cref="CniShim.Protocol.AgentRequest"/>, of which it has version and command). An agent
/// that is too old for it answers as to an unknown CNI_COMMAND.
/// </summary>
internal sealed record OperatorRequest
{
    /// <summary>Which packets pass, and why.</summary>
    public const string Explain = "EXPLAIN";

    /// <summary>Whether the kernel is as it should be.</summary>
    public const string Verify = "VERIFY";

    /// <summary>How the node is.</summary>
    public const string Status = "NODE-STATUS";

    /// <summary>Whose addresses these are, and where a pod's packets pass.</summary>
    public const string Names = "NAMES";

    /// <summary>Version of the protocol.</summary>
    public int Version { get; init; } = CniShim.Protocol.AgentRequest.CurrentVersion;

    /// <summary>One of the constants.</summary>
    public required string Command { get; init; }

    /// <summary>EXPLAIN: <c>NAMESPACE/POD</c> or an address.</summary>
    public string From { get; init; } = "";

    /// <summary>EXPLAIN: <c>NAMESPACE/POD</c> or an address.</summary>
    public string To { get; init; } = "";

    /// <summary>EXPLAIN: tcp, udp, sctp or icmp.</summary>
    public string Protocol { get; init; } = "";

    /// <summary>EXPLAIN: a number or the name of a container port; empty for icmp.</summary>
    public string Port { get; init; } = "";

    /// <summary>VERIFY: also hold the kernel's ruleset against the policies.</summary>
    public bool Policies { get; init; }

    /// <summary>NAMES: addresses that are to be named. (<c>addresses</c> is the plugin's word for something else.)</summary>
    public IReadOnlyList<string> Asked { get; init; } = [];

    /// <summary>NAMES: <c>NAMESPACE/POD</c> that is to be found, or empty.</summary>
    public string Pod { get; init; } = "";

    /// <summary>Whether a command is an operator's, and not the plugin's.</summary>
    public static bool IsOne(string command) => command is Explain or Verify or Status or Names;
}

/// <summary>What the agent answers an operator: one of the members is set.</summary>
internal sealed record OperatorAnswer
{
    /// <summary>Of EXPLAIN.</summary>
    public Explanation? Explanation { get; init; }

    /// <summary>Of VERIFY.</summary>
    public Verification? Verification { get; init; }

    /// <summary>Of NODE-STATUS.</summary>
    public StatusReport? Status { get; init; }

    /// <summary>Of NAMES.</summary>
    public NameReport? Names { get; init; }

    /// <summary>Why not.</summary>
    public OperatorError? Error { get; init; }

    /// <summary>An answer that says why not.</summary>
    public static OperatorAnswer Refuse(string message) => new() { Error = new() { Msg = message } };
}

/// <summary>Why there is no answer; spelt as the errors of CNI, since an old agent answers with one.</summary>
internal sealed record OperatorError
{
    /// <summary>CNI's error code; 0 when it is none.</summary>
    public int Code { get; init; }

    /// <summary>One clear sentence.</summary>
    public string Msg { get; init; } = "";
}

/// <summary>Source-generated JSON, camelCase; one line.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull, UseStringEnumConverter = true)]
[JsonSerializable(typeof(OperatorRequest))]
[JsonSerializable(typeof(OperatorAnswer))]
internal sealed partial class OperatorJson : JsonSerializerContext
{
    /// <summary>A message with its line feed.</summary>
    public static byte[] Line(OperatorRequest request) => [.. JsonSerializer.SerializeToUtf8Bytes(request, Default.OperatorRequest), (byte)'\n'];

    /// <summary>A message with its line feed.</summary>
    public static byte[] Line(OperatorAnswer answer) => [.. JsonSerializer.SerializeToUtf8Bytes(answer, Default.OperatorAnswer), (byte)'\n'];
}
