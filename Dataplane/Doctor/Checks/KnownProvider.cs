namespace Overlay.Dataplane.Doctor.Checks;

/// <summary>Another network provider, by what it leaves in a kernel. In patterns a <c>*</c> at the end stands for any rest.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Devices">Its devices.</param>
/// <param name="Chains">Its chains, in whichever table of nftables; iptables-nft has them there, too.</param>
/// <param name="Tables">Its tables of nftables.</param>
/// <param name="Cleanup">How it is removed from a node, once it is no longer in the cluster.</param>
internal sealed record KnownProvider(string Name, IReadOnlyList<string> Devices, IReadOnlyList<string> Chains, IReadOnlyList<string> Tables, string Cleanup)
{
    private const string Restart = "then restart the node, which drops its chains and ipsets";

    /// <summary>Those that are looked for.</summary>
    public static IReadOnlyList<KnownProvider> All { get; } =
    [
        new("Calico", ["vxlan.calico", "vxlan-v6.calico", "cali*", "wireguard.cali", "wg-v6.cali"], ["cali-*"], ["calico"], $"delete 10-calico.conflist and its vxlan device (ip link delete vxlan.calico), {Restart}"),
        new("kube-router", ["kube-bridge", "kube-dummy-if"], ["KUBE-ROUTER-*", "KUBE-POD-FW-*", "KUBE-NWPLCY-*"], [], "run kube-router --cleanup-config on the node, delete 10-kuberouter.conflist and its bridge (ip link delete kube-bridge); a restart of the node drops the rest"),
        new("flannel", ["flannel.*", "flannel-v6.*", "flannel-wg*"], ["FLANNEL-*"], ["flannel-ipv4", "flannel-ipv6"], $"delete 10-flannel.conflist, /run/flannel and its devices (ip link delete flannel.1), {Restart}"),
        new("the CNI plugin bridge (of flannel, or by itself)", ["cni0"], [], [], "delete its conflist, drain the node, and delete the bridge (ip link delete cni0)"),
        new("Cilium", ["cilium_*"], ["CILIUM_*", "OLD_CILIUM_*"], [], "run cilium-dbg post-uninstall-cleanup --all-state on the node"),
        new("Antrea", ["antrea-*"], ["ANTREA-*"], [], $"delete its conflist, its gateway and its Open vSwitch bridge, {Restart}"),
        new("Weave Net", ["weave", "vethwe-*"], ["WEAVE*"], [], "run weave reset on the node"),
        new("OVN (OVN-Kubernetes, Kube-OVN)", ["ovn-k8s-*", "ovn0"], ["OVN-*"], ["ovn-kubernetes"], $"delete its conflist and its Open vSwitch bridges, {Restart}"),
    ];

    /// <summary>Whether a name is one of these.</summary>
    public static bool Matches(IEnumerable<string> patterns, string name) =>
        patterns.Any(pattern => pattern.EndsWith('*') ? name.StartsWith(pattern.AsSpan(0, pattern.Length - 1), StringComparison.Ordinal) : name == pattern);
}
