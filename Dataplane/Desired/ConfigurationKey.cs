using System.Globalization;
using System.Text;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Desired;

/// <summary>One key of the configuration; file, flag and environment variable all derive from it.</summary>
/// <param name="Name">As in the file, such as <c>vxlan.port</c>.</param>
/// <param name="Default">Text of the default.</param>
/// <param name="Accepted">The accepted values, for people.</param>
/// <param name="Description">One line.</param>
/// <param name="With">The configuration with this key set from text (lists separated by commas); null when the text is not accepted.</param>
public sealed record ConfigurationKey(
    string Name,
    string Default,
    string Accepted,
    string Description,
    Func<OverlayConfiguration, string, OverlayConfiguration?> With)
{
    /// <summary>The keys, in the order of the documentation.</summary>
    public static IReadOnlyList<ConfigurationKey> All { get; } =
    [
        new("nodeName", "the host's name", "a Node's name", "Name of this machine's Node.",
            (c, text) => KubernetesName.IsSubdomain(text) ? c with { NodeName = text } : null),
        new("datastore", "kubernetes", "kubernetes, or directory:PATH", "Where the cluster's objects come from: the API server, or a folder of manifests.",
            (c, text) => text == "kubernetes" ? c with { DatastoreDirectory = null }
                : text.StartsWith("directory:", StringComparison.Ordinal) && text.Length > 10 ? c with { DatastoreDirectory = text[10..] } : null),
        new("kubeconfig", "", "a path, or empty for the pod's own credentials", "Kubeconfig file for the API server.", (c, text) => c with { Kubeconfig = text }),
        new("apiServer", "", "an address such as https://10.0.0.1:6443, or empty for the kubeconfig's", "Address of the API server.",
            (c, text) => text.Length == 0 || (Uri.TryCreate(text, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https") ? c with { ApiServer = text } : null),
        new("encapsulation", "vxlan", "vxlan, ipip or none", "How packets between nodes travel.", (c, text) => text switch
        {
            "vxlan" => c with { Encapsulation = Encapsulation.Vxlan },
            "ipip" => c with { Encapsulation = Encapsulation.Ipip },
            "none" => c with { Encapsulation = Encapsulation.None },
            _ => null,
        }),
        Boolean("crossSubnet", false, "Encapsulate only between subnets.", (c, value) => c with { CrossSubnet = value }),
        Number("vxlan.vni", 4096, 1, 16777215, "VXLAN network identifier.", (c, value) => c with { VxlanVni = (uint)value }),
        Number("vxlan.port", 4789, 1, 65535, "UDP port of VXLAN.", (c, value) => c with { VxlanPort = (ushort)value }),
        new("mtu", "auto", "auto, or a number from 1280 to 65535", "MTU of pods; auto: the underlay's less the encapsulation.",
            (c, text) => text == "auto" ? c with { Mtu = null } : Number(text, 1280, 65535) is { } value ? c with { Mtu = (int)value } : null),
        new("nodeAddress", "auto", "auto, address(es) separated by commas, interface=NAMES, cidr=PREFIXES or can-reach=ADDRESS", "This node's address for traffic between nodes; auto: the Node's InternalIPs.",
            (c, text) => NodeAddressChoice.Parse(text) is { } choice ? c with { NodeAddress = choice } : null),
        new("podCIDRs", "", "prefixes separated by commas, or empty for the Node's", "Prefixes of this node's pods.",
            (c, text) => text.Length == 0 ? c with { PodCidrs = [] } : List<Cidr>(text, Cidr.TryParse) is { } list ? c with { PodCidrs = list.Select(prefix => prefix.Network).ToEquatableArray() } : null),
        Boolean("masquerade", true, "Traffic that leaves the pod network takes the node's address.", (c, value) => c with { Masquerade = value }),
        new("policy.default", "allow", "allow or deny", "What pods may do that no policy selects.",
            (c, text) => text is "allow" or "deny" ? c with { IsolateByDefault = text == "deny" } : null),
        Boolean("policy.revokeEstablished", true, "A changed policy cuts the connections it now forbids.", (c, value) => c with { PolicyRevokeEstablished = value }),
        Boolean("flowOffload", true, "Established connections between pods take the kernel's flowtable, where it has one (Linux 5.15).", (c, value) => c with { FlowOffload = value }),
        FilePath("cni.confDir", "/etc/cni/net.d", "Folder of the CNI configuration.", (c, value) => c with { CniConfDir = value }),
        FilePath("cni.binDir", "/opt/cni/bin", "Folder of the CNI plugins.", (c, value) => c with { CniBinDir = value }),
        FilePath("cni.ipamDir", "/var/lib/cni/networks", "Folder of the address files.", (c, value) => c with { CniIpamDir = value }),
        new("cni.confName", "05-overlay.conflist", "a file name that ends in .conflist", "Name of the CNI configuration; the first by name is used.",
            (c, text) => text.EndsWith(".conflist", StringComparison.Ordinal) && !text.Contains('/', StringComparison.Ordinal) ? c with { CniConfName = text } : null),
        FilePath("socket", "/run/overlay/agent.sock", "Where the CNI plugin finds the agent.", (c, value) => c with { Socket = value }),
        FilePath("stateDir", "/var/lib/overlay", "Folder of what a restarted agent must know.", (c, value) => c with { StateDir = value }),
        new("metrics.address", "", "ADDRESS:PORT, or empty for none", "Where metrics are served.", (c, text) => IsEndpoint(text) ? c with { MetricsAddress = text } : null),
        new("health.address", "", "ADDRESS:PORT, or empty for none", "Where health is served.", (c, text) => IsEndpoint(text) ? c with { HealthAddress = text } : null),
        new("log.level", "information", "trace, debug, information, warning, error or critical", "Least important log lines that are written.",
            (c, text) => text is "trace" or "debug" or "information" or "warning" or "error" or "critical" ? c with { LogLevel = text } : null),
        new("log.format", "text", "text or json", "Shape of log lines.",
            (c, text) => text is "text" or "json" ? c with { LogFormat = text == "json" ? LogFormat.Json : LogFormat.Text } : null),
        new("resyncInterval", "10m", "a time such as 30s, 10m or 1h, at least 1s", "How often everything is compared with the kernel.",
            (c, text) => Time(text) is { } time && time >= TimeSpan.FromSeconds(1) ? c with { ResyncInterval = time } : null),
    ];

    /// <summary>Whether a running agent takes a new value over; otherwise it is read at start.</summary>
    public bool IsLive => Name is "encapsulation" or "crossSubnet" or "vxlan.vni" or "vxlan.port" or "mtu" or "nodeAddress" or "podCIDRs" or "masquerade" or "policy.default" or "policy.revokeEstablished" or "resyncInterval";

    /// <summary><c>--vxlan-port</c>.</summary>
    public string Flag { get; } = "--" + Words(Name);

    /// <summary><c>OVERLAY_VXLAN_PORT</c>.</summary>
    public string EnvironmentVariable { get; } = "OVERLAY_" + Words(Name).Replace('-', '_').ToUpperInvariant();

    internal delegate bool TryParse<T>(string? text, out T value);

    private static ConfigurationKey Boolean(string name, bool value, string description, Func<OverlayConfiguration, bool, OverlayConfiguration> with) =>
        new(name, value ? "true" : "false", "true or false", description, (c, text) => text is "true" or "false" ? with(c, text == "true") : null);

    private static ConfigurationKey Number(string name, long value, long least, long most, string description, Func<OverlayConfiguration, long, OverlayConfiguration> with) =>
        new(name, value.ToString(CultureInfo.InvariantCulture), $"a number from {least} to {most}", description, (c, text) => Number(text, least, most) is { } number ? with(c, number) : null);

    private static ConfigurationKey FilePath(string name, string value, string description, Func<OverlayConfiguration, string, OverlayConfiguration> with) =>
        new(name, value, "an absolute path", description, (c, text) => Path.IsPathFullyQualified(text) ? with(c, text) : null);

    private static long? Number(string text, long least, long most) =>
        long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= least && number <= most ? number : null;

    internal static EquatableArray<T>? List<T>(string text, TryParse<T> parse)
    {
        var list = new List<T>();
        foreach (var part in text.Split(',', StringSplitOptions.TrimEntries))
        {
            if (!parse(part, out var item))
                return null;
            list.Add(item);
        }

        return list.ToEquatableArray();
    }

    /// <summary>A time such as <c>30s</c>, <c>10m</c> or <c>1h</c>, or null.</summary>
    internal static TimeSpan? Time(string text)
    {
        if (text.Length < 2 || Number(text[..^1], 0, 1_000_000) is not { } count)
            return null;
        return text[^1] switch
        {
            's' => TimeSpan.FromSeconds(count),
            'm' => TimeSpan.FromMinutes(count),
            'h' => TimeSpan.FromHours(count),
            _ => null,
        };
    }

    private static bool IsEndpoint(string text) =>
        text.Length == 0 || (text.LastIndexOf(':') is >= 0 and var colon && Number(text[(colon + 1)..], 1, 65535) is not null && (colon == 0 || System.Net.IPAddress.TryParse(text[..colon].Trim('[', ']'), out _)));

    // vxlan.port -> vxlan-port, nodeName -> node-name, podCIDRs -> pod-cidrs.
    private static string Words(string name)
    {
        var words = new StringBuilder();
        for (var i = 0; i < name.Length; i++)
        {
            if (char.IsAsciiLetterUpper(name[i]) && i > 0 && char.IsAsciiLetterLower(name[i - 1]))
                words.Append('-');
            words.Append(name[i] == '.' ? '-' : char.ToLowerInvariant(name[i]));
        }

        return words.ToString();
    }
}
