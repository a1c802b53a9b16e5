using System.Globalization;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Desired;

/// <summary>How packets between nodes travel.</summary>
public enum Encapsulation
{
    /// <summary>In UDP, with an Ethernet header inside (RFC 7348).</summary>
    Vxlan,

    /// <summary>IP in IP.</summary>
    Ipip,

    /// <summary>As they are, by routes.</summary>
    None,
}

/// <summary>Shape of the log's lines.</summary>
public enum LogFormat
{
    /// <summary>For people.</summary>
    Text,

    /// <summary>One JSON object a line.</summary>
    Json,
}

/// <summary>Everything that can be configured, with its defaults; the keys, their texts and how they are read: <see cref="ConfigurationKey.All"/>.</summary>
public sealed record OverlayConfiguration
{
    /// <summary><c>nodeName</c>: name of this machine's Node.</summary>
    public string NodeName { get; init; } = Environment.MachineName.ToLowerInvariant();

    /// <summary><c>datastore: directory:PATH</c>: the folder of manifests; null stands for <c>kubernetes</c>.</summary>
    public string? DatastoreDirectory { get; init; }

    /// <summary><c>kubeconfig</c>: path, or empty for the in-cluster configuration.</summary>
    public string Kubeconfig { get; init; } = "";

    /// <summary><c>apiServer</c>: address of the API server, or empty for the one that the kubeconfig names.</summary>
    public string ApiServer { get; init; } = "";

    /// <summary><c>encapsulation</c>.</summary>
    public Encapsulation Encapsulation { get; init; } = Encapsulation.Vxlan;

    /// <summary><c>crossSubnet</c>: encapsulate only between subnets.</summary>
    public bool CrossSubnet { get; init; }

    /// <summary><c>vxlan.vni</c>: 1 to 16777215.</summary>
    public uint VxlanVni { get; init; } = 4096;

    /// <summary><c>vxlan.port</c>: UDP, 1 to 65535.</summary>
    public ushort VxlanPort { get; init; } = 4789;

    /// <summary><c>mtu</c> of pods in bytes, 1280 to 65535; null stands for <c>auto</c>: the underlay's less the encapsulation.</summary>
    public int? Mtu { get; init; }

    /// <summary><c>nodeAddress</c>: how this node's addresses for traffic between nodes are found.</summary>
    public NodeAddressChoice NodeAddress { get; init; } = new NodeAddressChoice.Auto();

    /// <summary><c>podCIDRs</c> of this node, host bits cleared; empty: the Node's spec.podCIDRs.</summary>
    public EquatableArray<Cidr> PodCidrs { get; init; }

    /// <summary><c>masquerade</c>: traffic that leaves the pod network takes the node's address.</summary>
    public bool Masquerade { get; init; } = true;

    /// <summary><c>policy.default: deny</c>: pods that no policy selects are isolated, too.</summary>
    public bool IsolateByDefault { get; init; }

    /// <summary><c>policy.revokeEstablished</c>: a changed policy cuts the connections it now forbids.</summary>
    public bool PolicyRevokeEstablished { get; init; } = true;

    /// <summary><c>flowOffload</c>: established connections between pods take the kernel's flowtable, where it has one.</summary>
    public bool FlowOffload { get; init; } = true;

    /// <summary><c>cni.confDir</c>: folder of the conflist.</summary>
    public string CniConfDir { get; init; } = "/etc/cni/net.d";

    /// <summary><c>cni.binDir</c>: folder of the plugin.</summary>
    public string CniBinDir { get; init; } = "/opt/cni/bin";

    /// <summary><c>cni.ipamDir</c>: folder of the address files (host-local's dataDir).</summary>
    public string CniIpamDir { get; init; } = "/var/lib/cni/networks";

    /// <summary><c>cni.confName</c>: file name of the conflist.</summary>
    public string CniConfName { get; init; } = "05-overlay.conflist";

    /// <summary><c>socket</c>: where the plugin finds the agent.</summary>
    public string Socket { get; init; } = "/run/overlay/agent.sock";

    /// <summary><c>stateDir</c>: folder of what a restarted agent must know.</summary>
    public string StateDir { get; init; } = "/var/lib/overlay";

    /// <summary><c>metrics.address</c>: ADDRESS:PORT, or empty for none.</summary>
    public string MetricsAddress { get; init; } = "";

    /// <summary><c>health.address</c>: ADDRESS:PORT, or empty for none.</summary>
    public string HealthAddress { get; init; } = "";

    /// <summary><c>log.level</c>: <c>trace</c>, <c>debug</c>, <c>information</c>, <c>warning</c>, <c>error</c> or <c>critical</c>.</summary>
    public string LogLevel { get; init; } = "information";

    /// <summary><c>log.format</c>.</summary>
    public LogFormat LogFormat { get; init; } = LogFormat.Text;

    /// <summary><c>resyncInterval</c>: how often everything is compared with the kernel and the datastore; at least a second.</summary>
    public TimeSpan ResyncInterval { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>How packets travel, in a line for the log.</summary>
    public string Summary => $"encapsulation {Encapsulation.ToString().ToLowerInvariant()}{(CrossSubnet ? " between subnets" : "")}"
        + (Encapsulation == Encapsulation.Vxlan ? string.Create(CultureInfo.InvariantCulture, $", VNI {VxlanVni}, port {VxlanPort}") : "")
        + $", MTU {Mtu?.ToString(CultureInfo.InvariantCulture) ?? "auto"}, node address {NodeAddress}";

    /// <summary>This one, with the values that <paramref name="other"/> has of the keys that a running agent takes over (<see cref="ConfigurationKey.IsLive"/>).</summary>
    public OverlayConfiguration WithLiveKeysOf(OverlayConfiguration other) => this with
    {
        Encapsulation = other.Encapsulation,
        CrossSubnet = other.CrossSubnet,
        VxlanVni = other.VxlanVni,
        VxlanPort = other.VxlanPort,
        Mtu = other.Mtu,
        NodeAddress = other.NodeAddress,
        PodCidrs = other.PodCidrs,
        Masquerade = other.Masquerade,
        IsolateByDefault = other.IsolateByDefault,
        PolicyRevokeEstablished = other.PolicyRevokeEstablished,
        ResyncInterval = other.ResyncInterval,
    };

    /// <summary>What of this the ruleset is made with.</summary>
    public RulesetOptions Ruleset => new(Masquerade, IsolateByDefault, PolicyRevokeEstablished)
    {
        Tunnels = Encapsulation switch
        {
            Encapsulation.Vxlan => OuterPacket.Vxlan(VxlanPort),
            Encapsulation.Ipip => OuterPacket.IpInIp,
            _ => [],
        },
    };
}
