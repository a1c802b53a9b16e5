using System.Text.Json;
using System.Text.Json.Serialization;
using Overlay.CniShim.Protocol;
using Overlay.Dataplane.Desired;
using Overlay.PolicyEngine.Model;
using Attachment = Overlay.Dataplane.Desired.Attachment;

namespace Overlay.Dataplane.Cni;

/// <summary>This node's attachments on disk: <c>stateDir/attachments/CONTAINER@IFNAME.json</c>, one file each, so that a restarted agent knows its pods.
/// A container id never holds an @, so no two share a name. Older agents wrote <c>CONTAINER-IFNAME.json</c>: such files are read and removed, but not written.</summary>
/// <param name="stateDir">The configuration's <c>stateDir</c>; made when it is not there.</param>
/// <param name="name">Another folder there, of attachments that are no more.</param>
public sealed class AttachmentFolder(string stateDir, string name = AttachmentFolder.Name)
{
    private const int ProbeSize = 1024; // bytes

    private const string Name = "attachments";

    private readonly string _folder = In(stateDir, name);

    /// <summary>Where the files are in a <c>stateDir</c>.</summary>
    public static string In(string stateDir, string name = Name) => Path.Combine(stateDir, name);

    /// <summary>All attachments, sorted by file name.</summary>
    /// <param name="broken">One sentence for each file that cannot be read; such files are left alone.</param>
    public IReadOnlyList<Attachment> ReadAll(out IReadOnlyList<string> broken)
    {
        var unreadable = new List<string>();
        broken = unreadable;
        return Directory.Exists(_folder)
            ? [.. Directory.GetFiles(_folder, "*.json").Where(path => Path.GetFileName(path)[0] != '.').Order(StringComparer.Ordinal).Select(path => Read(path, unreadable)).OfType<Attachment>()]
            : [];
    }

    /// <summary>Writes or replaces one; whole or not at all.</summary>
    /// <exception cref="IOException">It cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">It must not be written.</exception>
    public void Write(Attachment attachment)
    {
        AtomicFile.Write(PathOf(attachment.Key), JsonSerializer.SerializeToUtf8Bytes(AttachmentFile.Of(attachment), AttachmentJson.Default.AttachmentFile), isSecret: attachment.Delegation is not null);
        DeleteOlder(attachment.Key);
    }

    /// <summary>Writes as much as an attachment is and removes it: whether <see cref="Write"/> would succeed now.</summary>
    /// <exception cref="IOException">It cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">It must not be written.</exception>
    public void Probe()
    {
        var file = Path.Combine(_folder, "probe");
        AtomicFile.Write(file, new byte[ProbeSize]);
        File.Delete(file);
    }

    /// <summary>Removes one; not being there is fine.</summary>
    public void Delete(AttachmentKey key)
    {
        if (!Directory.Exists(_folder))
            return;
        File.Delete(PathOf(key));
        DeleteOlder(key);
    }

    // The older name may be that of another attachment as well.
    private void DeleteOlder(AttachmentKey key)
    {
        var path = PathOf(key, '-');
        if (File.Exists(path) && (Read(path, []) is not { } attachment || attachment.Key == key))
            File.Delete(path);
    }

    private static Attachment? Read(string path, List<string> unreadable)
    {
        try
        {
            var file = JsonSerializer.Deserialize(File.ReadAllBytes(path), AttachmentJson.Default.AttachmentFile);
            return file?.ToAttachment() ?? throw new JsonException("it holds null.");
        }
        catch (Exception e) when (e is JsonException or FormatException or IOException or UnauthorizedAccessException)
        {
            unreadable.Add($"{path}: not an attachment: {e.Message} Its pod is treated as not wired; delete the file and recreate the pod.");
            return null;
        }
    }

    private string PathOf(AttachmentKey key, char separator = '@')
    {
        var name = $"{key.ContainerId}{separator}{key.IfName}.json";
        return name.Contains('/', StringComparison.Ordinal)
            ? throw new ArgumentException($"'{name}' is no file name: container ids and interface names hold no slash.", nameof(key))
            : Path.Combine(_folder, name);
    }
}

/// <summary>An <see cref="Attachment"/> as JSON has it.</summary>
internal sealed record AttachmentFile
{
    public required string ContainerId { get; init; }

    public required string IfName { get; init; }

    public required string PodNamespace { get; init; }

    public required string PodName { get; init; }

    public string PodUid { get; init; } = "";

    public string Netns { get; init; } = "";

    public required string HostInterface { get; init; }

    public required string PodMac { get; init; }

    public required IReadOnlyList<string> Addresses { get; init; }

    public string Network { get; init; } = "";

    public IReadOnlyList<HostPortEntry> HostPorts { get; init; } = [];

    public RateLimit? Ingress { get; init; }

    public RateLimit? Egress { get; init; }

    public long Created { get; init; }

    public string AddressFolder { get; init; } = "";

    public Delegation? Delegation { get; init; }

    public static AttachmentFile Of(Attachment attachment) => new()
    {
        ContainerId = attachment.ContainerId,
        IfName = attachment.IfName,
        PodNamespace = attachment.Pod.Namespace,
        PodName = attachment.Pod.Name,
        PodUid = attachment.PodUid,
        Netns = attachment.NetnsPath,
        HostInterface = attachment.HostInterface,
        PodMac = attachment.PodMac.ToString(),
        Addresses = [.. attachment.Addresses.Select(address => address.ToString())],
        Network = attachment.Network,
        HostPorts = [.. attachment.HostPorts.Select(HostPortEntry.Of)],
        Ingress = attachment.Ingress,
        Egress = attachment.Egress,
        Created = attachment.Created,
        AddressFolder = attachment.AddressFolder,
        Delegation = attachment.Delegation,
    };

    /// <exception cref="FormatException">An address cannot be read.</exception>
    /// <exception cref="JsonException">A field is null or empty that must not be.</exception>
    public Attachment ToAttachment()
    {
        if (string.IsNullOrEmpty(ContainerId) || string.IsNullOrEmpty(IfName) || string.IsNullOrEmpty(HostInterface) || PodNamespace is null || PodName is null || Addresses is null)
            throw new JsonException("a field is empty that must not be.");
        if (!MacAddress.TryParse(PodMac, out var mac))
            throw new FormatException($"'{PodMac}' is no Ethernet address.");
        return new(ContainerId, IfName, new(PodNamespace, PodName), PodUid ?? "", Netns ?? "", HostInterface, mac, Addresses.Select(InetAddress.Parse).ToEquatableArray(), Network ?? "")
        {
            HostPorts = (HostPorts ?? []).Select(entry => entry.ToHostPort()).ToEquatableArray(),
            Ingress = Limit(Ingress),
            Egress = Limit(Egress),
            Created = Created,
            AddressFolder = AddressFolder ?? "",
            Delegation = Delegation is { Configuration: null } or { Path: null } or { Args: null } ? throw new JsonException("a delegation lacks a field.") : Delegation,
        };
    }

    private static RateLimit? Limit(RateLimit? limit) => limit is { Rate: < 1 } ? throw new JsonException($"a rate of {limit.Rate} bytes a second is none.") : limit;
}

/// <summary>A <see cref="HostPort"/> as JSON has it.</summary>
internal sealed record HostPortEntry
{
    public required string Protocol { get; init; }

    public required ushort Port { get; init; }

    public string? NodeAddress { get; init; }

    public required string PodAddress { get; init; }

    public required ushort PodPort { get; init; }

    public static HostPortEntry Of(HostPort port) => new()
    {
        Protocol = port.Protocol.ToString().ToLowerInvariant(),
        Port = port.Port,
        NodeAddress = port.NodeAddress?.ToString(),
        PodAddress = port.PodAddress.ToString(),
        PodPort = port.PodPort,
    };

    /// <exception cref="FormatException">An address or the protocol cannot be read.</exception>
    public HostPort ToHostPort() => new(
        Enum.TryParse<IpProtocol>(Protocol, ignoreCase: true, out var protocol) && Enum.IsDefined(protocol) ? protocol : throw new FormatException($"'{Protocol}' is not tcp, udp or sctp."),
        Port,
        NodeAddress is null ? null : InetAddress.Parse(NodeAddress),
        InetAddress.Parse(PodAddress),
        PodPort);
}

/// <summary>Source-generated JSON, camelCase.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true, IgnoreReadOnlyProperties = true)]
[JsonSerializable(typeof(AttachmentFile))]
internal sealed partial class AttachmentJson : JsonSerializerContext;
