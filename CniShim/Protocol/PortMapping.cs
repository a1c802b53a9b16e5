using System.Globalization;
using System.Text.Json;
using Overlay.PolicyEngine.Model;

namespace Overlay.CniShim.Protocol;

/// <summary>One entry of <c>runtimeConfig.portMappings</c> (CNI conventions): a port of the node that is to lead to a port of the pod.</summary>
internal sealed record PortMapping
{
    /// <summary>hostPort: 1 to 65535; 0 asks for none.</summary>
    public required int HostPort { get; init; }

    /// <summary>containerPort: 1 to 65535.</summary>
    public required int ContainerPort { get; init; }

    /// <summary>protocol: tcp, udp or sctp, in any case.</summary>
    public string Protocol { get; init; } = "tcp";

    /// <summary>hostIP: an address of the node, the unspecified one of either family for all of that family, or empty for all.</summary>
    public string HostIP { get; init; } = "";

    /// <summary>Reads an entry as the runtimes spell it: camelCase, or PascalCase (containerd).</summary>
    /// <exception cref="JsonException">A key has a value of another kind.</exception>
    public static PortMapping Read(JsonElement json) => new()
    {
        HostPort = json.Number("hostPort") ?? 0,
        ContainerPort = json.Number("containerPort") ?? 0,
        Protocol = json.Text("protocol") is { Length: > 0 } protocol ? protocol : "tcp",
        HostIP = json.Text("hostIP"),
    };

    /// <summary>What is wrong with it; null when it is well-formed, or asks for no host port.</summary>
    public string? Fault => this switch
    {
        { HostPort: 0 } => null,
        { HostPort: < 1 or > 65535 } => $"hostPort {Number(HostPort)} is not from 1 to 65535",
        { ContainerPort: < 1 or > 65535 } => $"containerPort {Number(ContainerPort)} of hostPort {Number(HostPort)} is not from 1 to 65535",
        _ when Protocol.ToUpperInvariant() is not ("TCP" or "UDP" or "SCTP") => $"protocol \"{Protocol}\" of hostPort {Number(HostPort)} is not tcp, udp or sctp",
        _ when HostIP.Length > 0 && !InetAddress.TryParse(HostIP, out _) => $"hostIP \"{HostIP}\" of hostPort {Number(HostPort)} is no address",
        _ => null,
    };

    private static string Number(int number) => number.ToString(CultureInfo.InvariantCulture);
}
