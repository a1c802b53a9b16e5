using System.Text.Json;
using Overlay.CniShim.Protocol;
using Overlay.PolicyEngine.Model;

namespace Overlay.CniShim.Spec;

/// <summary>The result of ADD. It tells what is really there: the pod's addresses are alone in their prefix (/32, /128), its default routes lead to the agent's link-local gateways.
/// Routes that IPAM asks for are not among them: whatever they lead to, the default route leads there too.</summary>
/// <param name="Configuration">Gives the version, the result so far when we are chained, and the DNS settings.</param>
/// <param name="Variables">Give the interface's name and its namespace.</param>
/// <param name="Wired">What the agent made.</param>
/// <param name="Addresses">The pod's, in the order of the range sets.</param>
/// <param name="IpamDns">dns of the IPAM result; null when it had none.</param>
internal sealed record CniResult(NetworkConfiguration Configuration, CniVariables Variables, WiredPod Wired, IReadOnlyList<InetAddress> Addresses, JsonElement? IpamDns)
{
    private bool HasMtu => CniVersion.IsAtLeast(Configuration.CniVersion, "1.1.0");

    private bool HasIPVersion => !CniVersion.IsAtLeast(Configuration.CniVersion, "1.0.0");

    /// <summary>Prints it in the configuration's version.</summary>
    public void Write(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteString("cniVersion", Configuration.CniVersion);
        json.WriteStartArray("interfaces");
        var before = WritePrevious(json, "interfaces");
        WriteInterface(json, Wired.HostInterface, Wired.HostMac, sandbox: null);
        WriteInterface(json, Variables.IfName, Wired.PodMac, Variables.Netns);
        json.WriteEndArray();
        json.WriteStartArray("ips");
        WritePrevious(json, "ips");
        foreach (var address in Addresses)
            WriteIP(json, address, before + 1);
        json.WriteEndArray();
        json.WriteStartArray("routes");
        WritePrevious(json, "routes");
        foreach (var family in Addresses.Select(address => address.Family).Distinct())
            WriteDefaultRoute(json, family);
        json.WriteEndArray();
        json.WritePropertyName("dns");
        WriteDns(json);
        json.WriteEndObject();
    }

    // Plugins further down the chain point at interfaces by number: what was there keeps its place.
    private int WritePrevious(Utf8JsonWriter json, string key)
    {
        var items = Configuration.PrevResult?.List(key) ?? [];
        foreach (var item in items)
            ResultConversion.WriteItem(json, key, item, Configuration.CniVersion);
        return items.Count;
    }

    private void WriteInterface(Utf8JsonWriter json, string name, string mac, string? sandbox)
    {
        json.WriteStartObject();
        json.WriteString("name", name);
        json.WriteString("mac", mac);
        if (HasMtu)
            json.WriteNumber("mtu", Wired.Mtu);
        if (sandbox is not null)
            json.WriteString("sandbox", sandbox);
        json.WriteEndObject();
    }

    private void WriteIP(Utf8JsonWriter json, InetAddress address, int @interface)
    {
        json.WriteStartObject();
        if (HasIPVersion)
            json.WriteString("version", address.Family == Family.IPv4 ? "4" : "6");
        json.WriteNumber("interface", @interface);
        json.WriteString("address", Cidr.Host(address).ToString());
        if (GatewayOf(address.Family) is { } gateway)
            json.WriteString("gateway", gateway);
        json.WriteEndObject();
    }

    private void WriteDefaultRoute(Utf8JsonWriter json, Family family)
    {
        if (GatewayOf(family) is not { } gateway)
            return;
        json.WriteStartObject();
        json.WriteString("dst", family == Family.IPv4 ? "0.0.0.0/0" : "::/0");
        json.WriteString("gw", gateway);
        json.WriteEndObject();
    }

    private string? GatewayOf(Family family) =>
        Wired.Gateways.FirstOrDefault(gateway => InetAddress.TryParse(gateway, out var address) && address.Family == family);

    // The runtime's wish, then the administrator's, then IPAM's, then what an earlier plugin said. The runtime has its own names for the keys.
    private void WriteDns(Utf8JsonWriter json)
    {
        if (Configuration.RuntimeConfig.Find("dns") is { } asked)
            WriteDns(json, "", asked.Texts("servers"), asked.Texts("searches"), asked.Texts("options"));
        else if ((Configuration.Dns ?? IpamDns ?? Configuration.PrevResult?.Find("dns")) is { } dns)
            WriteDns(json, dns.Text("domain"), dns.Texts("nameservers"), dns.Texts("search"), dns.Texts("options"));
        else
            WriteDns(json, "", [], [], []);
    }

    private static void WriteDns(Utf8JsonWriter json, string domain, IReadOnlyList<string> nameservers, IReadOnlyList<string> search, IReadOnlyList<string> options)
    {
        json.WriteStartObject();
        WriteTexts(json, "nameservers", nameservers);
        if (domain.Length > 0)
            json.WriteString("domain", domain);
        WriteTexts(json, "search", search);
        WriteTexts(json, "options", options);
        json.WriteEndObject();
    }

    private static void WriteTexts(Utf8JsonWriter json, string key, IReadOnlyList<string> texts)
    {
        if (texts.Count == 0)
            return;
        json.WriteStartArray(key);
        foreach (var text in texts)
            json.WriteStringValue(text);
        json.WriteEndArray();
    }
}
