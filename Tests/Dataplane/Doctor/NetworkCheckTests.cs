using System.Net;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Doctor;
using Overlay.Dataplane.Doctor.Checks;
using Overlay.Dataplane.Netlink.Netfilter;
using Overlay.Dataplane.Netlink.Route;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Dataplane.Doctor;

/// <summary>What is said of sysctls, the tunnel's port, addresses, MTU, pods' prefixes, checksums and other providers.</summary>
public class NetworkCheckTests
{
    private static readonly InetAddress Peer = InetAddress.Parse("192.0.2.2");
    private static readonly Dictionary<Family, bool> Forwards = new() { [Family.IPv4] = true, [Family.IPv6] = true };
    private static readonly Node Own = new("node-1", [Cidr.Parse("10.42.1.0/24"), Cidr.Parse("fd00:42:1::/64")], [InetAddress.Parse("192.0.2.1")]);
    private static readonly Node Other = new("node-2", [Cidr.Parse("10.42.2.0/24")], [Peer]);
    private static readonly Underlay Ethernet = new([new DeviceAddress("eth0", Cidr.Parse("192.0.2.1/24"), 1500)], []);

    [TestCase(true, true, Severity.Pass)]
    [TestCase(true, false, Severity.Pass)]
    [TestCase(false, false, Severity.Pass)]
    [TestCase(false, true, Severity.Fail)]
    public void Forwarding_that_is_off_fails_only_while_the_agent_runs(bool isOn, bool isAgentRunning, Severity expected)
    {
        var findings = SysctlCheck.Judge(Sysctls() with { IsAgentRunning = isAgentRunning, Forwards = new Dictionary<Family, bool> { [Family.IPv4] = true, [Family.IPv6] = isOn } }).ToList();
        Assert.That(findings.Single(finding => finding.What.Contains("net.ipv6.conf.all.forwarding")).Severity, Is.EqualTo(expected));
        Assert.That(findings.Single(finding => finding.What.Contains("net.ipv4.ip_forward")).Severity, Is.EqualTo(Severity.Pass));
    }

    [TestCase(0, 1, "eth1", Severity.Fail)]
    [TestCase(1, 0, "eth1", Severity.Fail)]
    [TestCase(2, 1, "eth1", Severity.Pass, Description = "the larger of the two counts")]
    [TestCase(1, 2, "eth1", Severity.Pass)]
    [TestCase(0, 0, "eth1", Severity.Pass)]
    [TestCase(1, 1, "eth0", Severity.Pass, Description = "answered by the device by which it came")]
    public void A_strict_rp_filter_fails_where_the_answer_goes_another_way(int all, int device, string answer, Severity expected)
    {
        var finding = SysctlCheck.Judge(Sysctls() with { RpFilter = new Dictionary<string, int> { ["all"] = all, ["eth0"] = device, ["eth1"] = 0 }, Ways = [new("node-2", Peer, "eth0", answer)] }).Last();
        Assert.That(finding.Severity, Is.EqualTo(expected), finding.What);
        if (expected == Severity.Fail)
            Assert.That(finding.Remedy, Does.Contain("sysctl -w net.ipv4.conf.eth0.rp_filter=2"));
    }

    [Test]
    public void A_strict_rp_filter_whose_peers_are_unknown_warns()
    {
        var findings = SysctlCheck.Judge(Sysctls() with { RpFilter = new Dictionary<string, int> { ["eth0"] = 1 }, Ways = null }).ToList();
        Assert.That(findings[^1].Severity, Is.EqualTo(Severity.Warn));
    }

    [TestCase(true, true, Severity.Fail)]
    [TestCase(true, false, Severity.Pass)]
    [TestCase(false, true, Severity.Pass)]
    public void A_kernel_without_IPv6_fails_a_node_with_IPv6_pods(bool isDisabled, bool hasPods, Severity worst) =>
        Assert.That(SysctlCheck.Judge(Sysctls() with { IsIPv6Disabled = isDisabled, HasIPv6Pods = hasPods }).Max(finding => finding.Severity), Is.EqualTo(worst));

    [TestCase("overlay-vxlan", 4096u, 4789, "", true, Severity.Pass)]
    [TestCase("vxlan.calico", 4096u, 4789, "", true, Severity.Fail)]
    [TestCase("flannel.1", 1u, 4789, "", true, Severity.Fail)]
    [TestCase("flannel.1", 1u, 8472, null, true, Severity.Pass)]
    [TestCase("flannel.1", 1u, 8472, "pid 7 (dnsmasq)", true, Severity.Fail)]
    [TestCase("flannel.1", 1u, 8472, "", true, Severity.Fail, Description = "somebody has it who is not seen")]
    [TestCase("flannel.1", 1u, 8472, "", false, Severity.Warn, Description = "and we see little")]
    public void The_port_is_ours_or_free_or_anothers(string device, uint vni, int port, string? holder, bool seesProcesses, Severity expected)
    {
        BoundSocket[] sockets = holder is null ? [] : [new(IPAddress.Any, holder.Length > 0 ? holder : null)];
        LinkMessage link = new() { Index = 5, Name = device, Flags = Iff.IFF_UP, Kind = "vxlan", Vxlan = new(vni, (ushort)port, null) };
        var finding = VxlanPortCheck.Judge(new(4789, 4096, [link], sockets, seesProcesses)).Single();
        Assert.That(finding.Severity, Is.EqualTo(expected), finding.What);
        if (expected == Severity.Fail && holder is { Length: > 0 })
            Assert.That(finding.What, Does.Contain(holder));
    }

    [TestCase("127.0.0.1:9100", "127.0.0.1", true)]
    [TestCase("127.0.0.1:9100", "0.0.0.0", true)]
    [TestCase(":9100", "127.0.0.1", true)]
    [TestCase("[::1]:9100", "127.0.0.1", false)]
    [TestCase("127.0.0.1:9100", "192.0.2.1", false)]
    public void An_address_that_somebody_listens_at_fails(string wanted, string taken, bool fails)
    {
        var (key, address) = ListenCheck.Addresses(new() { MetricsAddress = wanted }).Single();
        Assert.That((key, address.Port), Is.EqualTo(("metrics.address", 9100)));
        Assert.That(ListenCheck.Judge(key, address, [new(IPAddress.Parse(taken), "pid 7 (nginx)")]).Severity, Is.EqualTo(fails ? Severity.Fail : Severity.Pass));
        Assert.That(ListenCheck.Judge(key, address, []).Severity, Is.EqualTo(Severity.Pass));
    }

    [Test]
    public void The_address_and_where_the_MTU_comes_from_are_told()
    {
        Assert.That(Underlay(new()), Is.EqualTo("Pass 192.0.2.1 on eth0, MTU 1500; Pass pods get 1450 bytes: 1500 of eth0, less 50 for VXLAN over IPv4"));
        Assert.That(Underlay(new() { Encapsulation = Encapsulation.Ipip }), Does.EndWith("pods get 1480 bytes: 1500 of eth0, less 20 for IP-in-IP over IPv4"));
        Assert.That(Underlay(new() { Encapsulation = Encapsulation.None }), Does.EndWith("pods get 1500 bytes: 1500 of eth0"));
        Assert.That(Underlay(new() { Mtu = 1400 }), Does.EndWith("Pass pods get 1400 bytes, as configured; 1450 would fit: 1500 of eth0, less 50 for VXLAN over IPv4"));
    }

    [Test]
    public void An_MTU_that_does_not_fit_fails()
    {
        var finding = UnderlayCheck.Judge(Observed(new() { Mtu = 1500 })).Last();
        Assert.That((finding.Severity, finding.What, finding.Remedy), Is.EqualTo((Severity.Fail, "packets of 1500 bytes do not fit the underlay's 1500 once encapsulated", "Set mtu to 1450 or less, or to auto.")));
    }

    [Test]
    public void An_address_that_no_device_has_fails()
    {
        var underlay = new Underlay([new DeviceAddress("", Cidr.Parse("192.0.2.9/32"), 1500)], []);
        Assert.That(UnderlayCheck.Judge(Observed(new()) with { Underlay = underlay }).First().Severity, Is.EqualTo(Severity.Fail));
    }

    [TestCase("auto", true, Severity.Fail)]
    [TestCase("auto", false, Severity.Warn)]
    [TestCase("interface=wlan0", false, Severity.Fail)]
    public void No_address_at_all_fails_unless_nothing_is_known(string choice, bool isKnown, Severity expected)
    {
        var observed = new UnderlayObservation(new() { NodeName = "node-1", NodeAddress = NodeAddressChoice.Parse(choice)! }, isKnown ? [Own with { InternalIPs = [] }] : [], new([], []), []);
        Assert.That(UnderlayCheck.Judge(observed).Single().Severity, Is.EqualTo(expected));
    }

    [Test]
    public void A_peer_without_a_way_fails() =>
        Assert.That(UnderlayCheck.Judge(Observed(new()) with { Ways = [new("node-2", Peer, "eth0", null)] }).Where(finding => finding.Severity == Severity.Fail).Select(finding => finding.What), Is.EqualTo(new[] { "the kernel knows no way to Node node-2 at 192.0.2.2" }));

    [TestCase("10.42.1.0/24", null, Severity.Fail, Description = "as long as the podCIDR")]
    [TestCase("10.42.2.64/26", "192.0.2.7", Severity.Fail, Description = "longer than another node's")]
    [TestCase("10.0.0.0/8", null, Severity.Fail, Description = "wider, and on the link: these are neighbours")]
    [TestCase("10.0.0.0/8", "192.0.2.7", Severity.Warn, Description = "wider, by a router")]
    [TestCase("10.43.0.0/16", "192.0.2.7", Severity.Pass)]
    public void What_overlaps_podCIDRs_is_named(string prefix, string? gateway, Severity expected)
    {
        var foreign = new ForeignPrefix(Cidr.Parse(prefix), gateway is null ? null : InetAddress.Parse(gateway), $"route {prefix}", $"ip route delete {prefix}");
        var finding = PodNetworkCheck.Judge(new("node-1", Own.PodCidrs, [Own, Other], [foreign], [])).Single();
        Assert.That(finding.Severity, Is.EqualTo(expected), finding.What);
        if (expected != Severity.Pass)
            Assert.That(finding.What, Does.Contain(prefix));
    }

    [Test]
    public void Our_own_routes_and_addresses_are_no_strangers()
    {
        LinkMessage[] links = [new() { Index = 2, Name = "eth0" }, new() { Index = 3, Name = "overlay-vxlan" }, new() { Index = 4, Name = "ovl0123456789a" }];
        AddressMessage[] addresses = [new() { Index = 2, Prefix = Cidr.Parse("192.0.2.1/24") }, new() { Index = 3, Prefix = Cidr.Parse("10.42.1.0/32") }];
        RouteMessage[] routes =
        [
            new() { Destination = Cidr.Parse("0.0.0.0/0"), Gateway = Peer, OutputInterface = 2 },
            new() { Destination = Cidr.Parse("192.0.2.0/24"), OutputInterface = 2, Protocol = Rtprot.RTPROT_KERNEL },
            new() { Destination = Cidr.Parse("10.42.2.0/24"), OutputInterface = 3, Protocol = (Rtprot)79 },
            new() { Destination = Cidr.Parse("10.42.1.5/32"), OutputInterface = 4 },
            new() { Destination = Cidr.Parse("10.42.0.0/16"), Gateway = Peer, OutputInterface = 2 },
        ];
        Assert.That(ForeignPrefix.Of(links, addresses, routes).Select(foreign => foreign.Text), Is.EqualTo(new[] { "address 192.0.2.1/24 of eth0", "route 10.42.0.0/16 via 192.0.2.2 dev eth0" }));
    }

    [TestCase("vmxnet3", true, null, Severity.Warn)]
    [TestCase("vmxnet3", false, null, Severity.Pass)]
    [TestCase("vmxnet3", true, false, Severity.Pass, Description = "the kernel computes them for the tunnel")]
    [TestCase("vmxnet3", true, true, Severity.Warn)]
    [TestCase("virtio_net", true, null, Severity.Pass)]
    public void A_driver_known_for_wrong_checksums_warns(string driver, bool isOffloaded, bool? ofTunnel, Severity expected)
    {
        ChecksumOffload[] tunnels = ofTunnel is { } own ? [new("overlay-vxlan", "vxlan", own)] : [];
        Assert.That(ChecksumCheck.Judge(new(Encapsulation.Vxlan, [new("ens192", driver, isOffloaded)], tunnels, [])).First().Severity, Is.EqualTo(expected));
        Assert.That(ChecksumCheck.Judge(new(Encapsulation.Ipip, [new("ens192", driver, isOffloaded)], [], [])).Single().Severity, Is.EqualTo(Severity.Pass));
    }

    [Test]
    public void What_the_agent_found_about_checksums_fails() =>
        Assert.That(ChecksumCheck.Judge(new(Encapsulation.Vxlan, [], [], ["tunnel: its checksums come out wrong.", "mtu: too large."])).Select(finding => (finding.Severity, finding.What)), Is.EqualTo(new[] { (Severity.Fail, "the agent says: tunnel: its checksums come out wrong") }));

    [TestCase("vxlan.calico", "Calico")]
    [TestCase("cali0123456789a", "Calico")]
    [TestCase("kube-bridge", "kube-router")]
    [TestCase("kube-dummy-if", "kube-router")]
    [TestCase("flannel.1", "flannel")]
    [TestCase("cni0", "bridge")]
    [TestCase("cilium_host", "Cilium")]
    [TestCase("antrea-gw0", "Antrea")]
    [TestCase("weave", "Weave")]
    [TestCase("ovn-k8s-mp0", "OVN")]
    [TestCase("eth0", null)]
    [TestCase("kube-ipvs0", null, Description = "kube-proxy's")]
    [TestCase("overlay-vxlan", null)]
    [TestCase("calendar0", null)]
    public void Devices_of_other_providers_warn_with_their_name(string device, string? provider)
    {
        var finding = OtherProviderCheck.OfDevices([new() { Index = 2, Name = device }], []).Single();
        Assert.That((finding.Severity, finding.What), provider is null ? Is.EqualTo((Severity.Pass, finding.What)) : Is.EqualTo((Severity.Warn, finding.What)));
        if (provider is not null)
            Assert.That(finding.What, Does.Contain(provider).And.Contain(device));
    }

    [Test]
    public void The_tunnel_that_the_module_makes_is_nobodys_until_it_is_in_use()
    {
        LinkMessage tunnel = new() { Index = 3, Name = "tunl0", Kind = "ipip" };
        Assert.That(OtherProviderCheck.OfDevices([tunnel], []).Single().Severity, Is.EqualTo(Severity.Pass));
        Assert.That(OtherProviderCheck.OfDevices([tunnel with { Flags = Iff.IFF_UP }], [new() { Index = 3, Prefix = Cidr.Parse("10.244.0.1/32") }]).Single().Severity, Is.EqualTo(Severity.Warn));
    }

    [TestCase("filter", "cali-FORWARD", "Calico")]
    [TestCase("filter", "KUBE-ROUTER-FORWARD", "kube-router")]
    [TestCase("filter", "KUBE-NWPLCY-ABCDEF", "kube-router")]
    [TestCase("nat", "FLANNEL-POSTRTG", "flannel")]
    [TestCase("flannel-ipv4", "", "flannel")]
    [TestCase("filter", "CILIUM_FORWARD", "Cilium")]
    [TestCase("filter", "KUBE-SERVICES", null, Description = "kube-proxy's")]
    [TestCase("overlay", "ingress", null)]
    public void Chains_of_other_providers_warn_with_their_name(string table, string chain, string? provider)
    {
        var finding = OtherProviderCheck.OfChains([new(NfFamily.NFPROTO_IPV4, table, chain)]).Single();
        Assert.That(finding.Severity, Is.EqualTo(provider is null ? Severity.Pass : Severity.Warn));
        if (provider is not null)
            Assert.That(finding.What, Does.StartWith(provider).And.Contain($"ip {table}"));
    }

    private static SysctlObservation Sysctls() => new(false, Forwards, false, true, new Dictionary<string, int> { ["all"] = 0, ["eth0"] = 0 }, []);

    private static UnderlayObservation Observed(OverlayConfiguration configuration) => new(configuration with { NodeName = "node-1" }, [Own, Other], Ethernet, []);

    private static string Underlay(OverlayConfiguration configuration) => string.Join("; ", UnderlayCheck.Judge(Observed(configuration)).Select(finding => $"{finding.Severity} {finding.What}"));
}
