using System.Text.Json;
using Overlay.CniShim.Protocol;
using Overlay.PolicyEngine.Model;

namespace Overlay.CniShim.Spec;

/// <summary>A result of another version of the specification, as one of the version asked for: before 1.0.0 every address says its family, before 1.1.0 interfaces and routes
/// have fewer keys. What nobody specified is kept.</summary>
internal static class ResultConversion
{
    private static readonly string[] InterfaceKeysOf110 = ["mtu", "socketPath", "pciID"];
    private static readonly string[] RouteKeysOf110 = ["mtu", "advmss", "priority", "table", "scope"];

    /// <summary>Writes all of a result.</summary>
    /// <param name="json">Where to.</param>
    /// <param name="result">An object.</param>
    /// <param name="version">The version asked for.</param>
    /// <param name="gatewayOf">Gives each address another gateway, or none; null leaves them as they are.</param>
    public static void WriteResult(Utf8JsonWriter json, JsonElement result, string version, Func<InetAddress, string?>? gatewayOf = null)
    {
        if (result.ValueKind != JsonValueKind.Object)
        {
            result.WriteTo(json);
            return;
        }

        json.WriteStartObject();
        json.WriteString("cniVersion", version);
        foreach (var property in result.EnumerateObject().Where(property => !Is(property, "cniVersion")))
        {
            if (property.Value.ValueKind != JsonValueKind.Array)
            {
                property.WriteTo(json);
                continue;
            }

            json.WriteStartArray(property.Name);
            foreach (var item in property.Value.EnumerateArray())
                WriteItem(json, property.Name, item, version, gatewayOf);
            json.WriteEndArray();
        }

        json.WriteEndObject();
    }

    /// <summary>Writes one item of a result's list.</summary>
    /// <param name="json">Where to.</param>
    /// <param name="list"><c>interfaces</c>, <c>ips</c> or <c>routes</c>.</param>
    /// <param name="item">The item.</param>
    /// <param name="version">The version asked for.</param>
    /// <param name="gatewayOf">As in <see cref="WriteResult"/>.</param>
    public static void WriteItem(Utf8JsonWriter json, string list, JsonElement item, string version, Func<InetAddress, string?>? gatewayOf = null)
    {
        if (item.ValueKind != JsonValueKind.Object)
        {
            item.WriteTo(json);
            return;
        }

        string[] dropped = list switch
        {
            "interfaces" when !CniVersion.IsAtLeast(version, "1.1.0") => InterfaceKeysOf110,
            "routes" when !CniVersion.IsAtLeast(version, "1.1.0") => RouteKeysOf110,
            "ips" when gatewayOf is not null => ["version", "gateway"],
            "ips" => ["version"],
            _ => [],
        };
        json.WriteStartObject();
        if (list == "ips" && Cidr.TryParse(item.Text("address"), out var address))
        {
            if (!CniVersion.IsAtLeast(version, "1.0.0"))
                json.WriteString("version", address.Family == Family.IPv4 ? "4" : "6");
            if (gatewayOf?.Invoke(address.Address) is { } gateway)
                json.WriteString("gateway", gateway);
        }

        foreach (var property in item.EnumerateObject().Where(property => !dropped.Any(key => Is(property, key))))
            property.WriteTo(json);
        json.WriteEndObject();
    }

    private static bool Is(JsonProperty property, string key) => property.Name.Equals(key, StringComparison.OrdinalIgnoreCase);
}
