using System.Buffers;
using System.Text.Json;
using Overlay.CniShim.Protocol;
using Overlay.PolicyEngine.Model;

namespace Overlay.CniShim.Spec;

/// <summary>What comes on stdin: the plugin's object of the network configuration list, completed by the runtime.</summary>
internal sealed record NetworkConfiguration
{
    private const int MaxLength = 1 << 24;
    private const int MacOctets = 6;

    /// <summary>The bytes as they came, for a delegated plugin.</summary>
    public required ReadOnlyMemory<byte> Stdin { get; init; }

    /// <summary>cniVersion; the result is printed in it.</summary>
    public required string CniVersion { get; init; }

    /// <summary>name of the network; safe as a folder's name.</summary>
    public required string Name { get; init; }

    /// <summary>type: the name of the plugin's file; empty when absent.</summary>
    public required string Type { get; init; }

    /// <summary>socket: the agent's.</summary>
    public required string Socket { get; init; }

    /// <summary>ipam; an empty object when absent.</summary>
    public required JsonElement Ipam { get; init; }

    /// <summary>args.cni; an empty object when absent.</summary>
    public required JsonElement Args { get; init; }

    /// <summary>runtimeConfig; an empty object when absent.</summary>
    public required JsonElement RuntimeConfig { get; init; }

    /// <summary>dns.</summary>
    public required JsonElement? Dns { get; init; }

    /// <summary>prevResult.</summary>
    public required JsonElement? PrevResult { get; init; }

    /// <summary>cni.dev/valid-attachments, or the older cni.dev/attachments; null when neither key is there: then there is nothing to collect.</summary>
    public required IReadOnlyList<Attachment>? ValidAttachments { get; init; }

    /// <summary>Reads all of <paramref name="stdin"/>.</summary>
    /// <exception cref="CniException">With code 5: it cannot be read, or does not end in time.</exception>
    /// <exception cref="JsonException">It cannot be decoded.</exception>
    public static NetworkConfiguration Read(Stream stdin, Deadline deadline)
    {
        var bytes = ReadAll(stdin, deadline);
        var root = JsonElement.Parse(bytes.Span);
        if (root.ValueKind != JsonValueKind.Object)
            throw new JsonException($"an object is expected, not {root.ValueKind}");
        var empty = JsonElement.Parse("{}"u8);
        var valid = root.Find("cni.dev/valid-attachments") is null ? "cni.dev/attachments" : "cni.dev/valid-attachments";
        return new()
        {
            Stdin = bytes,
            CniVersion = root.Text("cniVersion") is { Length: > 0 } version ? version : Spec.CniVersion.Unstated,
            Name = root.Text("name"),
            Type = root.Text("type"),
            Socket = root.Text("socket") is { Length: > 0 } socket ? socket : "/run/overlay/agent.sock",
            Ipam = root.Find("ipam") ?? empty,
            Args = root.Find("args")?.Find("cni") ?? empty,
            RuntimeConfig = root.Find("runtimeConfig") ?? empty,
            Dns = root.Find("dns"),
            PrevResult = root.Find("prevResult"),
            ValidAttachments = root.Find(valid) is null
                ? null
                : [.. root.List(valid).Select(Attachment.Read)],
        };
    }

    /// <summary><see cref="Stdin"/> for an IPAM plugin: in a version that it knows, and with the gateways that <c>ipam.addresses</c> gives (static's CHECK compares them) in place of the pod's,
    /// which are the agent's.</summary>
    public ReadOnlyMemory<byte> StdinOf(string version)
    {
        var configured = Ipam.List("addresses");
        string? GatewayOf(InetAddress address) => configured
            .Where(item => Cidr.TryParse(item.Text("address"), out var cidr) && cidr.Address == address)
            .Select(item => item.Text("gateway")).FirstOrDefault(gateway => gateway.Length > 0);
        var buffer = new ArrayBufferWriter<byte>(Stdin.Length);
        using (var json = new Utf8JsonWriter(buffer, JsonEscaping.Options))
        {
            json.WriteStartObject();
            json.WriteString("cniVersion", version);
            foreach (var property in JsonElement.Parse(Stdin.Span).EnumerateObject().Where(property => !property.Name.Equals("cniVersion", StringComparison.OrdinalIgnoreCase)))
            {
                json.WritePropertyName(property.Name);
                if (property.Name.Equals("prevResult", StringComparison.OrdinalIgnoreCase))
                    ResultConversion.WriteResult(json, property.Value, version, GatewayOf);
                else
                    property.Value.WriteTo(json);
            }

            json.WriteEndObject();
        }

        return buffer.WrittenMemory;
    }

    /// <summary>Refuses a name that is missing or cannot be a folder's.</summary>
    /// <exception cref="CniException">With code 7.</exception>
    public void Check()
    {
        if (Name.Length == 0)
            throw new CniException(CniErrorCode.InvalidConfiguration, "missing network name");
        if (!CniVariables.IsIdentifier(Name))
            throw new CniException(CniErrorCode.InvalidConfiguration, "invalid characters found in network name", Name);
    }

    /// <summary>runtimeConfig.portMappings, but for those that ask for no host port.</summary>
    /// <exception cref="CniException">With code 7: one of them cannot be.</exception>
    /// <exception cref="JsonException">It cannot be decoded.</exception>
    public IReadOnlyList<PortMapping> ReadPortMappings()
    {
        var mappings = RuntimeConfig.List("portMappings").Select(PortMapping.Read).Where(mapping => mapping.HostPort != 0).ToList();
        return mappings.Select(mapping => mapping.Fault).OfType<string>().FirstOrDefault() is { } fault
            ? throw new CniException(CniErrorCode.InvalidConfiguration, $"runtimeConfig.portMappings: {fault}")
            : mappings;
    }

    /// <summary>The Ethernet address that the caller wants for the pod, from all three places where it can say so; the runtime's wish counts most.</summary>
    /// <param name="ofArgs">MAC of CNI_ARGS.</param>
    /// <returns>Six octets in lower case with colons; empty when nobody asks.</returns>
    /// <exception cref="CniException">With code 7: it is none that one interface can have.</exception>
    /// <exception cref="JsonException">It cannot be decoded.</exception>
    public string ReadMac(string ofArgs)
    {
        var asked = RuntimeConfig.Text("mac") is { Length: > 0 } ofRuntime ? ofRuntime : Args.Text("mac") is { Length: > 0 } given ? given : ofArgs;
        if (asked.Length == 0)
            return "";
        var octets = asked.Split(':', '-');
        if (octets.Length != MacOctets || !octets.All(octet => octet.Length == 2 && octet.All(char.IsAsciiHexDigit)))
            throw new CniException(CniErrorCode.InvalidConfiguration, $"the Ethernet address asked for, \"{asked}\", is not six octets such as 02:00:5e:10:00:01");
        var mac = string.Join(':', octets).ToLowerInvariant();
        if ((Convert.FromHexString(octets[0])[0] & 1) != 0 || mac == "00:00:00:00:00:00")
            throw new CniException(CniErrorCode.InvalidConfiguration, $"the Ethernet address asked for, {asked}, is a group's or zero: no interface can have it");
        return mac;
    }

    /// <summary>runtimeConfig.bandwidth; null when it asks for no limit.</summary>
    /// <exception cref="CniException">With code 7: it cannot be.</exception>
    /// <exception cref="JsonException">It cannot be decoded.</exception>
    public Bandwidth? ReadBandwidth()
    {
        if (RuntimeConfig.Find("bandwidth") is not { } asked || (asked.ValueKind == JsonValueKind.Array && asked.GetArrayLength() == 0))
            return null;
        var bandwidth = Bandwidth.Read(asked);
        if (bandwidth.Fault is { } fault)
            throw new CniException(CniErrorCode.InvalidConfiguration, $"runtimeConfig.bandwidth: {fault}");
        return bandwidth.Limits ? bandwidth : null;
    }

    private static ReadOnlyMemory<byte> ReadAll(Stream stdin, Deadline deadline)
    {
        var buffer = new byte[8192];
        var length = 0;
        try
        {
            while (true)
            {
                if (stdin.CanTimeout)
                    stdin.ReadTimeout = deadline.Passed ? throw new TimeoutException() : deadline.Milliseconds; // passed: it comes byte by byte
                var read = stdin.Read(buffer, length, buffer.Length - length);
                if (read == 0)
                    return buffer.AsMemory(0, length);
                length += read;
                if (length > MaxLength)
                    throw new JsonException($"longer than {MaxLength} bytes");
                if (length == buffer.Length)
                    Array.Resize(ref buffer, 2 * length);
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new CniException(CniErrorCode.Io, $"error reading from stdin: {error.Message}");
        }
        catch (TimeoutException)
        {
            throw new CniException(CniErrorCode.Io, "error reading from stdin: the network configuration did not end in time; close stdin behind it");
        }
    }
}
