using Overlay.CniShim.Protocol;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Desired;

/// <summary>One interface of one container on this node, wired by us: what CNI calls an attachment. Key: container and interface.</summary>
/// <param name="ContainerId">CNI_CONTAINERID.</param>
/// <param name="IfName">CNI_IFNAME: the interface's name in the pod.</param>
/// <param name="Pod">K8S_POD_NAMESPACE and K8S_POD_NAME; when the runtime gave none, the empty namespace and the container's id.</param>
/// <param name="PodUid">K8S_POD_UID, or empty.</param>
/// <param name="NetnsPath">CNI_NETNS.</param>
/// <param name="HostInterface">Name of the host's end of the pair.</param>
/// <param name="PodMac">Ethernet address of the pod's end.</param>
/// <param name="Addresses">The pod's addresses, one of each family at least where the node has both; the first of a family is the one that host ports lead to.</param>
/// <param name="Network">The CNI network's name.</param>
public sealed record Attachment(
    string ContainerId,
    string IfName,
    NamespacedName Pod,
    string PodUid,
    string NetnsPath,
    string HostInterface,
    MacAddress PodMac,
    EquatableArray<InetAddress> Addresses,
    string Network)
{
    /// <summary>Ports of the node that lead to the pod.</summary>
    public EquatableArray<HostPort> HostPorts { get; init; } = [];

    /// <summary>What it may receive; null when there is no limit.</summary>
    public RateLimit? Ingress { get; init; }

    /// <summary>What it may send; null when there is no limit.</summary>
    public RateLimit? Egress { get; init; }

    /// <summary>When it was made: nanoseconds of CLOCK_BOOTTIME; 0 when an agent made it that did not note it.</summary>
    public long Created { get; init; }

    /// <summary>Folder of the address files of its network, as the plugin told it; empty: that of <c>cni.ipamDir</c>, or another plugin gave the addresses.</summary>
    public string AddressFolder { get; init; } = "";

    /// <summary>How the plugin that gave the addresses takes them back; null when they are files.</summary>
    internal Delegation? Delegation { get; init; }

    /// <summary>Container and interface: what the runtime means by one attachment.</summary>
    public AttachmentKey Key => new(ContainerId, IfName);
}

/// <summary>Key of an <see cref="Attachment"/>.</summary>
/// <param name="ContainerId">CNI_CONTAINERID.</param>
/// <param name="IfName">CNI_IFNAME.</param>
public readonly record struct AttachmentKey(string ContainerId, string IfName);
