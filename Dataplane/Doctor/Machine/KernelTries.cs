using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Doctor.Checks;
using Overlay.Dataplane.Kernel;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Route;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Dataplane.Doctor.Machine;

/// <summary>
/// Asks the kernel for all that the agent will ask of it, in a network namespace without a name: it ends with this process at the latest, with everything in it. The kernel looks for modules that it needs for
/// that, as it would for the agent.
/// </summary>
internal static class KernelTries
{
    private static readonly InetAddress Local = InetAddress.Parse("192.0.2.1");

    /// <summary>Asks.</summary>
    /// <param name="wanted">The devices that the configuration needs; null when that is not known.</param>
    /// <param name="configuration">Of the node.</param>
    public static KernelObservation Observe(IReadOnlyList<Link>? wanted, OverlayConfiguration configuration)
    {
        var release = File.ReadAllText("/proc/sys/kernel/osrelease").Trim();
        try
        {
            using var netns = Netns.Create();
            return new(release, null, netns.Run(() => Try(Kinds(wanted, configuration.Encapsulation), configuration.Ruleset)));
        }
        catch (NetnsException e)
        {
            return new(release, e.Message.TrimEnd('.'), []);
        }
    }

    // Of IP-in-IP IPv4 is assumed where it is not known what there is.
    private static List<LinkKind> Kinds(IReadOnlyList<Link>? wanted, Encapsulation encapsulation) => (wanted, encapsulation) switch
    {
        (_, Encapsulation.None) => [],
        ({ Count: > 0 } links, _) => [.. links.Select(link => link.Kind)],
        (_, Encapsulation.Vxlan) => [new LinkKind.Vxlan(1, 4789, Local)],
        _ => [new LinkKind.Ipip(Local), new LinkKind.Sit(Local)],
    };

    private static List<KernelTry> Try(List<LinkKind> tunnels, RulesetOptions options)
    {
        var tries = new List<KernelTry>();
        try
        {
            using var route = NetlinkSocket.Open(NetlinkProtocol.NETLINK_ROUTE);
            tries.Add(Ask(route, "veth pairs", "veth", "", (writer, sequence) => LinkMessage.WriteNewVeth(writer, sequence, new() { Index = 10, Name = "host" }, new() { Name = "pod" })));
            tries.AddRange(tunnels.DistinctBy(kind => kind.GetType()).Select((kind, i) => OfTunnel(route, kind, $"tunnel{i}")));
            tries.AddRange(OfRuleset(options));
            tries.AddRange(OfBandwidth(route));
        }
        catch (NetlinkException e)
        {
            tries.Add(KernelTry.Of("netlink", "nfnetlink", "", e.Errno, e.Message));
        }

        return tries;
    }

    private static KernelTry OfTunnel(NetlinkSocket route, LinkKind kind, string name) => kind switch
    {
        LinkKind.Vxlan vxlan => Ask(route, "vxlan devices", "vxlan", "", (writer, sequence) => LinkMessage.WriteNewVxlan(writer, sequence, new() { Name = name }, new(vxlan.Vni, vxlan.Port, vxlan.Local))),
        LinkKind.Ipip ipip => OfIpTunnel(route, "ipip", name, new(IpTunnelLink.Ipip) { Local = ipip.Local }),
        LinkKind.Sit sit => OfIpTunnel(route, "sit", name, new(IpTunnelLink.Sit) { Local = sit.Local }),
        _ => OfIpTunnel(route, "ip6_tunnel", name, new(IpTunnelLink.Ip6tnl) { CollectMetadata = true }),
    };

    private static KernelTry OfIpTunnel(NetlinkSocket route, string module, string name, IpTunnelLink tunnel) =>
        Ask(route, $"{tunnel.Kind} devices", module, "", (writer, sequence) => LinkMessage.WriteNewIpTunnel(writer, sequence, new() { Name = name }, tunnel));

    private static IEnumerable<KernelTry> OfRuleset(RulesetOptions options)
    {
        const string Known = "a ruleset with a policy, host ports and masquerading (nf_tables, conntrack, fib, NAT)";
        try
        {
            using var netfilter = NetlinkSocket.Open(NetlinkProtocol.NETLINK_NETFILTER);
            new NftablesTable(netfilter).Resync(Sample(options));
        }
        catch (NetlinkException e)
        {
            return [KernelTry.Of("nf_tables", "nfnetlink nf_tables", "", e.Errno, e.Message)];
        }
        catch (NftablesException e)
        {
            return KernelCheck.OfRuleset(e.Failures);
        }

        // The key is there once conntrack is, and that is by now.
        var tracksSctp = Sysctl.Read("netfilter/nf_conntrack_sctp_timeout_established") is not null;
        return
        [
            new(Known, "", "", TryOutcome.Done, ""),
            new("SCTP in conntrack", "", "replies to allowed connections of SCTP are dropped", tracksSctp ? TryOutcome.Done : TryOutcome.Absent, "it is built without CONFIG_NF_CT_PROTO_SCTP"),
        ];
    }

    private static IEnumerable<KernelTry> OfBandwidth(NetlinkSocket route)
    {
        const string Without = "pods with a bandwidth limit are refused";
        var limit = RateLimit.Of(125_000_000);
        return
        [
            Ask(route, "ifb devices", "ifb", Without, (writer, sequence) => LinkMessage.WriteNewIfb(writer, sequence, new() { Index = 11, Name = "shaper" })),
            Ask(route, "tbf", "sch_tbf", Without, (writer, sequence) => QdiscMessage.WriteNewTbf(writer, sequence, 10, (ulong)limit.Rate, limit.Burst, limit.Queue)),
            Ask(route, "ingress queues", "sch_ingress", Without, (writer, sequence) => QdiscMessage.WriteNewIngress(writer, sequence, 10)),
            Ask(route, "u32 filters with mirred", "cls_u32 act_mirred", Without, (writer, sequence) => FilterMessage.WriteNewRedirect(writer, sequence, 10, 11)),
        ];
    }

    private static KernelTry Ask(NetlinkSocket route, string what, string modules, string without, Action<NetlinkWriter, uint> write)
    {
        using var writer = new NetlinkWriter();
        write(writer, route.NextSequence());
        return route.Batch(writer) is [var failure, ..]
            ? KernelTry.Of(what, modules, without, failure.Errno, failure.ExtendedAck is { } words ? $"{failure.Errno}, \"{words}\"" : failure.Errno.ToString())
            : new(what, modules, without, TryOutcome.Done, "");
    }

    /// <summary>A ruleset with everything in it that rules are made of: a pod with host ports, selected by a policy with every kind of peer and port.</summary>
    internal static Ruleset Sample(RulesetOptions options)
    {
        var (prefix4, prefix6) = (Cidr.Parse("10.42.0.0/24"), Cidr.Parse("fd00:42::/64"));
        var (pod4, pod6) = (InetAddress.Parse("10.42.0.2"), InetAddress.Parse("fd00:42::2"));
        var node = new ClusterNode("node", Labels.Empty, [Local], [prefix4.First, prefix6.First]);
        var pod = new Pod(new("shop", "web"), Labels.Empty, [pod4, pod6], [new("http", IpProtocol.Tcp, 80)], HostNetwork: false, "node")
        {
            HostPorts = [new(IpProtocol.Tcp, 8080, null, pod4, 80), new(IpProtocol.Tcp, 8080, null, pod6, 80), new(IpProtocol.Udp, 5353, Local, pod4, 53)],
        };
        var rule = new PolicyRule(
            [new Peer.Pods(LabelSelector.Everything, LabelSelector.Everything), new Peer.IPBlock(Cidr.Parse("198.51.100.0/24"), [Cidr.Parse("198.51.100.64/26")]), new Peer.Nodes(LabelSelector.Everything)],
            [new PortMatch.Numeric(IpProtocol.Tcp, 80, 80), new PortMatch.Numeric(IpProtocol.Udp, 1000, 2000), new PortMatch.Numeric(IpProtocol.Sctp, 5000, 5000), new PortMatch.Named(IpProtocol.Tcp, "http")]);
        var policy = Policy.Namespaced(new("shop", "web"), LabelSelector.Everything, [rule], [rule]);
        return RulesetProjection.FromScratch(new(
            options, new([prefix4, prefix6], [prefix4, prefix6]), [node], [new Namespace("shop", Labels.Empty)], [pod], new HashSet<NamespacedName> { pod.Name }, [policy]));
    }
}
