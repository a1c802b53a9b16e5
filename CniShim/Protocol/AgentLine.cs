using System.Buffers;
using System.Text.Json;

namespace Overlay.CniShim.Protocol;

/// <summary>The messages as lines of JSON. By hand, because System.Text.Json's serializer costs the plugin half a millisecond of the four that it lives.</summary>
internal static class AgentLine
{
    /// <summary>A request with its line feed.</summary>
    public static byte[] Of(AgentRequest request) => Line(json =>
    {
        json.WriteNumber("version", request.Version);
        json.WriteString("command", request.Command);
        json.WriteString("containerId", request.ContainerId);
        json.WriteString("netns", request.Netns);
        json.WriteString("ifName", request.IfName);
        json.WriteString("network", request.Network);
        json.WriteString("podNamespace", request.PodNamespace);
        json.WriteString("podName", request.PodName);
        json.WriteString("podUid", request.PodUid);
        WriteAddresses(json, "addresses", request.Addresses);
        json.WriteStartArray("portMappings");
        foreach (var mapping in request.PortMappings)
        {
            json.WriteStartObject();
            json.WriteNumber("hostPort", mapping.HostPort);
            json.WriteNumber("containerPort", mapping.ContainerPort);
            json.WriteString("protocol", mapping.Protocol);
            json.WriteString("hostIP", mapping.HostIP);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteStartArray("validAttachments");
        foreach (var attachment in request.ValidAttachments)
        {
            json.WriteStartObject();
            json.WriteString("containerId", attachment.ContainerId);
            json.WriteString("ifName", attachment.IfName);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteString("mac", request.Mac);
        json.WriteNumber("began", request.Began);
        json.WriteNumber("grace", request.Grace);
        json.WriteString("previousMac", request.PreviousMac);
        if (request.Bandwidth is { } bandwidth)
            WriteBandwidth(json, bandwidth);
        if (request.LooseAddresses.Count > 0)
            WriteAddresses(json, "looseAddresses", request.LooseAddresses);
        if (request.AddressFolder.Length > 0)
            json.WriteString("addressFolder", request.AddressFolder);
        if (request.Delegation is { } delegation)
            WriteDelegation(json, delegation);
    });

    /// <summary>A response with its line feed.</summary>
    public static byte[] Of(AgentResponse response) => Line(json =>
    {
        if (response.Wired is { } wired)
        {
            json.WriteStartObject("wired");
            json.WriteString("hostInterface", wired.HostInterface);
            json.WriteString("hostMac", wired.HostMac);
            json.WriteString("podMac", wired.PodMac);
            json.WriteNumber("mtu", wired.Mtu);
            json.WriteStartArray("gateways");
            foreach (var gateway in wired.Gateways)
                json.WriteStringValue(gateway);
            json.WriteEndArray();
            json.WriteEndObject();
        }

        if (response.Error is { } error)
        {
            json.WriteStartObject("error");
            json.WriteNumber("code", error.Code);
            json.WriteString("msg", error.Msg);
            json.WriteString("details", error.Details);
            json.WriteEndObject();
        }

        if (response.PassedOver)
            json.WriteBoolean("passedOver", true);
    });

    /// <summary>Reads a request.</summary>
    /// <exception cref="JsonException">It is none.</exception>
    public static AgentRequest ReadRequest(ReadOnlySpan<byte> line)
    {
        var json = JsonElement.Parse(line);
        return new()
        {
            Version = json.Number("version") ?? AgentRequest.CurrentVersion,
            Command = json.Text("command") is { Length: > 0 } command ? command : throw new JsonException("\"command\" is missing"),
            ContainerId = json.Text("containerId"),
            Netns = json.Text("netns"),
            IfName = json.Text("ifName"),
            Network = json.Text("network"),
            PodNamespace = json.Text("podNamespace"),
            PodName = json.Text("podName"),
            PodUid = json.Text("podUid"),
            Addresses = [.. json.List("addresses").Select(IpamAddress.Read)],
            PortMappings = [.. json.List("portMappings").Select(PortMapping.Read)],
            ValidAttachments = [.. json.List("validAttachments").Select(Attachment.Read)],
            Mac = json.Text("mac"),
            Began = json.LongNumber("began") ?? 0,
            Grace = json.Number("grace") ?? 0,
            PreviousMac = json.Text("previousMac"),
            Bandwidth = json.Find("bandwidth") is { } bandwidth ? Bandwidth.Read(bandwidth) : null,
            LooseAddresses = [.. json.List("looseAddresses").Select(IpamAddress.Read)],
            AddressFolder = json.Text("addressFolder"),
            Delegation = json.Find("delegation") is { } delegation ? new(delegation.Text("configuration"), delegation.Text("path"), delegation.Text("args")) : null,
        };
    }

    /// <summary>Reads a response.</summary>
    /// <exception cref="JsonException">It is none.</exception>
    public static AgentResponse ReadResponse(ReadOnlySpan<byte> line)
    {
        var json = JsonElement.Parse(line);
        return new()
        {
            Wired = json.Find("wired") is not { } wired ? null : new()
            {
                HostInterface = wired.Text("hostInterface"),
                HostMac = wired.Text("hostMac"),
                PodMac = wired.Text("podMac"),
                Mtu = wired.Number("mtu") ?? throw new JsonException("\"mtu\" is missing"),
                Gateways = wired.Texts("gateways"),
            },
            Error = json.Find("error") is not { } error ? null : new()
            {
                Code = error.Number("code") ?? CniErrorCode.Internal,
                Msg = error.Text("msg"),
                Details = error.Text("details"),
            },
            PassedOver = json.Find("passedOver") is { ValueKind: JsonValueKind.True },
        };
    }

    private static void WriteBandwidth(Utf8JsonWriter json, Bandwidth bandwidth)
    {
        json.WriteStartObject("bandwidth");
        json.WriteNumber("ingressRate", bandwidth.IngressRate);
        json.WriteNumber("ingressBurst", bandwidth.IngressBurst);
        json.WriteNumber("egressRate", bandwidth.EgressRate);
        json.WriteNumber("egressBurst", bandwidth.EgressBurst);
        json.WriteEndObject();
    }

    private static void WriteAddresses(Utf8JsonWriter json, string name, IReadOnlyList<IpamAddress> addresses)
    {
        json.WriteStartArray(name);
        foreach (var address in addresses)
        {
            json.WriteStartObject();
            json.WriteString("address", address.Address);
            if (address.Gateway is not null)
                json.WriteString("gateway", address.Gateway);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void WriteDelegation(Utf8JsonWriter json, Delegation delegation)
    {
        json.WriteStartObject("delegation");
        json.WriteString("configuration", delegation.Configuration);
        json.WriteString("path", delegation.Path);
        json.WriteString("args", delegation.Args);
        json.WriteEndObject();
    }

    private static byte[] Line(Action<Utf8JsonWriter> members)
    {
        var line = new ArrayBufferWriter<byte>(1024);
        using (var json = new Utf8JsonWriter(line, JsonEscaping.Options))
        {
            json.WriteStartObject();
            members(json);
            json.WriteEndObject();
        }

        line.Write("\n"u8);
        return line.WrittenSpan.ToArray();
    }
}
