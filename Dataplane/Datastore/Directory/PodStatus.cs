using System.Text.Json;
using System.Text.Json.Serialization;
using Overlay.Dataplane.Desired;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Datastore.Directory;

/// <summary>The addresses of a pod that an agent has wired, as it tells the others: one file of <c>.status</c>.</summary>
/// <param name="Pod">Namespace and name.</param>
/// <param name="Node">The agent's node.</param>
/// <param name="Uid">metadata.uid as the runtime gave it, or empty.</param>
/// <param name="Addresses">Its addresses.</param>
/// <param name="ContainerId">The sandbox.</param>
/// <param name="IfName">The interface's name in the pod.</param>
public sealed record PodStatus(NamespacedName Pod, string Node, string Uid, EquatableArray<InetAddress> Addresses, string ContainerId, string IfName)
{
    /// <summary>Name of the folder within a datastore.</summary>
    public const string Folder = ".status";

    /// <summary>Reads a file's content.</summary>
    /// <param name="json">UTF-8.</param>
    /// <param name="reason">One clear sentence when it returns null.</param>
    public static PodStatus? Parse(ReadOnlySpan<byte> json, out string reason)
    {
        reason = "";
        try
        {
            var file = JsonSerializer.Deserialize(json, PodStatusJson.Default.PodStatusFile);
            if (file is null || !KubernetesName.IsLabel(file.Namespace ?? "") || !KubernetesName.IsSubdomain(file.Name ?? "") || !KubernetesName.IsSubdomain(file.Node ?? "") || file.Addresses is null)
                reason = "namespace, name, node and addresses are needed, as an agent writes them.";
            else
                return new(new(file.Namespace!, file.Name!), file.Node!, file.Uid ?? "", file.Addresses.Select(InetAddress.Parse).ToEquatableArray(), file.ContainerId ?? "", file.IfName ?? "");
        }
        catch (Exception e) when (e is JsonException or FormatException)
        {
            reason = $"not a pod's status: {e.Message}";
        }

        return null;
    }

    /// <summary>The file's content, UTF-8.</summary>
    public byte[] ToJson() => JsonSerializer.SerializeToUtf8Bytes(
        new PodStatusFile
        {
            Namespace = Pod.Namespace,
            Name = Pod.Name,
            Node = Node,
            Uid = Uid.Length == 0 ? null : Uid,
            Addresses = [.. Addresses.Select(address => address.ToString())],
            ContainerId = ContainerId,
            IfName = IfName,
        },
        PodStatusJson.Default.PodStatusFile);
}

/// <summary>A <see cref="PodStatus"/> as JSON has it.</summary>
internal sealed record PodStatusFile
{
    public string? Namespace { get; init; }

    public string? Name { get; init; }

    public string? Node { get; init; }

    public string? Uid { get; init; }

    public IReadOnlyList<string>? Addresses { get; init; }

    public string? ContainerId { get; init; }

    public string? IfName { get; init; }
}

/// <summary>Source-generated JSON, camelCase.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull, WriteIndented = true)]
[JsonSerializable(typeof(PodStatusFile))]
internal sealed partial class PodStatusJson : JsonSerializerContext;
