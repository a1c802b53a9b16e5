using System.Collections.Frozen;
using System.Security.Cryptography;
using System.Text;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Desired;

/// <summary>
/// By which marks our objects in the kernel are told from everybody else's. They hold without any memory of ours, so that a restarted agent
/// recognises what it made, and <c>overlay cleanup</c> removes that and nothing else. The nftables table is <see cref="PolicyEngine.Nftables.Ruleset.Table"/>.
/// </summary>
public static class Ownership
{
    /// <summary>What names of tunnels begin with.</summary>
    public const string TunnelPrefix = "overlay-";

    /// <summary>The VXLAN device over an IPv4 underlay, or over the only one there is.</summary>
    public const string VxlanDevice = "overlay-vxlan";

    /// <summary>The VXLAN device towards nodes that have an IPv6 address only, of a node that has both.</summary>
    public const string Vxlan6Device = "overlay-vxlan6";

    /// <summary>The device of IPv4 in IPv4.</summary>
    public const string IpipDevice = "overlay-ipip";

    /// <summary>The device of IPv6 in IPv4.</summary>
    public const string SitDevice = "overlay-sit";

    /// <summary>The device of both families in IPv6.</summary>
    public const string Ip6tnlDevice = "overlay-ip6tnl";

    /// <summary>Every device that leads to other nodes; which of them there are, the configuration and the nodes say.</summary>
    public static readonly FrozenSet<string> Tunnels = FrozenSet.Create(StringComparer.Ordinal, VxlanDevice, Vxlan6Device, IpipDevice, SitDevice, Ip6tnlDevice);

    /// <summary>rtm_protocol of every route of ours (linux/rtnetlink.h leaves numbers above RTPROT_STATIC to user space; this one is listed by nobody in iproute2's rt_protos).</summary>
    public const byte RouteProtocol = 79;

    /// <summary>IFLA_GROUP of the host's ends of unwired pods: down, of no pod any more, and about to be removed together ("ovl" in ASCII).</summary>
    public const uint RetiredGroup = 0x6f766c;

    /// <summary>Ethernet address of the host's end of every pod's pair: pods keep one permanent neighbour that never changes.</summary>
    public static readonly MacAddress HostMac = new(0x02_6f_76_6c_00_01);

    /// <summary>IPv4 gateway of every pod: link-local, so that it is no address of the pod network (RFC 3927).</summary>
    public static readonly InetAddress GatewayIPv4 = InetAddress.Parse("169.254.1.1");

    /// <summary>IPv6 gateway of every pod, on the host's end of the pair.</summary>
    public static readonly InetAddress GatewayIPv6 = InetAddress.Parse("fe80::1");

    /// <summary>Whether a device of this name is a tunnel of ours or the host's end of a pod's pair.</summary>
    public static bool IsOurs(string device) => Tunnels.Contains(device) || device.StartsWith(RulesetOptions.PodInterfacePrefix, StringComparison.Ordinal);

    /// <summary>The gateway of a family.</summary>
    public static InetAddress Gateway(Family family) => family == Family.IPv4 ? GatewayIPv4 : GatewayIPv6;

    /// <summary>Name of the host's end of a pod's pair: the prefix and 11 characters of a hash, 14 bytes of the 15 a name may have. The same container gets the same name again.</summary>
    public static string PodInterface(string containerId, string ifName)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(Encoding.UTF8.GetBytes($"{containerId}\n{ifName}"), hash);
        return RulesetOptions.PodInterfacePrefix + Convert.ToHexStringLower(hash)[..HashLength];
    }

    /// <summary>Whether a name is one that <see cref="PodInterface"/> gives.</summary>
    public static bool IsPodInterface(string device) => IsHashed(device, RulesetOptions.PodInterfacePrefix);

    /// <summary>Whether a name is one that <see cref="Shaper"/> gives.</summary>
    public static bool IsShaper(string device) => IsHashed(device, ShaperPrefix);

    /// <summary>What names of devices begin with through which pods' own packets are shaped (ifb); no pod's interface does.</summary>
    public const string ShaperPrefix = "ovb";

    /// <summary>Name of the device that shapes what a pod sends, from that of the host's end of its pair: one is found by the other.</summary>
    public static string Shaper(string podInterface) => ShaperPrefix + podInterface[RulesetOptions.PodInterfacePrefix.Length..];

    /// <summary>Name of the host's end of the pair that a shaping device belongs to.</summary>
    public static string PodInterfaceOf(string shaper) => RulesetOptions.PodInterfacePrefix + shaper[ShaperPrefix.Length..];

    /// <summary>Ethernet address of the pod's end: locally administered, from the same hash, so that it needs no reading back.</summary>
    public static MacAddress PodMac(string containerId, string ifName) => Derive($"pod\n{containerId}\n{ifName}");

    /// <summary>Ethernet address of a node's VXLAN device: every agent derives it from the node's name, so that agents need not talk.</summary>
    public static MacAddress VtepMac(string nodeName) => Derive($"vtep\n{nodeName}");

    // Characters of a hash in names of devices.
    private const int HashLength = 11;

    private static bool IsHashed(string device, string prefix) =>
        device.Length == prefix.Length + HashLength && device.StartsWith(prefix, StringComparison.Ordinal) && device[prefix.Length..].All(char.IsAsciiHexDigitLower);

    private static MacAddress Derive(string text)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(Encoding.UTF8.GetBytes(text), hash);
        hash[0] = 0x02;
        return MacAddress.FromBytes(hash[..6]);
    }
}
