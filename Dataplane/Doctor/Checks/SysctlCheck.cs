using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Doctor.Checks;

/// <summary>How this node and another reach each other outside of the tunnel.</summary>
/// <param name="Node">Name of the other.</param>
/// <param name="Address">Its address, to which this node sends.</param>
/// <param name="In">The device by which its packets come: that of this node's own address.</param>
/// <param name="Out">The device by which the kernel would answer; null when it knows no way.</param>
internal sealed record PeerWay(string Node, InetAddress Address, string In, string? Out);

/// <summary>What the kernel is told to do with packets.</summary>
/// <param name="IsAgentRunning">Whether an agent looks after it.</param>
/// <param name="Forwards">Families that are forwarded, of those that the kernel has.</param>
/// <param name="IsIPv6Disabled">net.ipv6.conf.all.disable_ipv6.</param>
/// <param name="HasIPv6Pods">Whether this node's podCIDRs have IPv6.</param>
/// <param name="RpFilter">net.ipv4.conf.DEVICE.rp_filter by device, <c>all</c> among them: 0 off, 1 strict, 2 loose.</param>
/// <param name="Ways">To the other nodes; null when these are not known.</param>
internal sealed record SysctlObservation(
    bool IsAgentRunning,
    IReadOnlyDictionary<Family, bool> Forwards,
    bool IsIPv6Disabled,
    bool HasIPv6Pods,
    IReadOnlyDictionary<string, int> RpFilter,
    IReadOnlyList<PeerWay>? Ways);

/// <summary>Whether the kernel forwards, and does not drop what other nodes send.</summary>
internal static class SysctlCheck
{
    /// <summary>Name of the check.</summary>
    public const string Name = "sysctl";

    private const int Strict = 1;

    /// <summary>Judges. Pure.</summary>
    public static IEnumerable<Finding> Judge(SysctlObservation sysctls) =>
        [.. sysctls.Forwards.OrderBy(family => family.Key).Select(family => OfForwarding(family.Key, family.Value, sysctls.IsAgentRunning)), .. OfIPv6(sysctls), .. OfRpFilter(sysctls)];

    private static Finding OfForwarding(Family family, bool isOn, bool isAgentRunning)
    {
        var key = family == Family.IPv4 ? "net.ipv4.ip_forward" : "net.ipv6.conf.all.forwarding";
        return (isOn, isAgentRunning) switch
        {
            (true, _) => Finding.Pass(Name, $"{key}=1"),
            (false, false) => Finding.Pass(Name, $"{key}=0; the agent turns it on"),
            _ => Finding.Fail(Name, $"{key}=0 while the agent runs, so no packet gets from one pod to another", $"sysctl -w {key}=1, and find out who turns it off: the agent turns it on, and says in its log why it cannot."),
        };
    }

    private static IEnumerable<Finding> OfIPv6(SysctlObservation sysctls)
    {
        if (sysctls is { IsIPv6Disabled: true, HasIPv6Pods: true })
            yield return Finding.Fail(Name, "net.ipv6.conf.all.disable_ipv6=1 while this node's podCIDRs have IPv6", "sysctl -w net.ipv6.conf.all.disable_ipv6=0, and for good where it is set (/etc/sysctl.d), or give the node no IPv6 podCIDR.");
    }

    // What counts for a device is the larger of its own value and that of all (ip-sysctl.rst). Only IPv4 has it.
    private static List<Finding> OfRpFilter(SysctlObservation sysctls)
    {
        var all = sysctls.RpFilter.GetValueOrDefault("all");
        var strict = sysctls.RpFilter.Where(device => device.Key != "all" && Math.Max(all, device.Value) == Strict).Select(device => device.Key).Order(StringComparer.Ordinal).ToList();
        if (strict.Count == 0)
            return [Finding.Pass(Name, "rp_filter is strict nowhere")];
        if (sysctls.Ways is null)
            return [Finding.Warn(Name, $"rp_filter is strict on {string.Join(", ", strict)}, and by which device packets of other nodes come is not known", "See what is said of the datastore.")];
        var dropping = sysctls.Ways
            .Where(way => way.Address.Family == Family.IPv4 && way.Out is { } device && device != way.In && strict.Contains(way.In))
            .GroupBy(way => (way.In, Out: way.Out!))
            .Select(ways => Finding.Fail(
                Name,
                $"rp_filter is strict on {ways.Key.In}, by which packets of {Listing(ways)} come in, while the kernel would answer by {ways.Key.Out}: it drops them",
                $"sysctl -w net.ipv4.conf.{ways.Key.In}.rp_filter=2 (loose), for good in /etc/sysctl.d; or correct the routes, so that both directions take the same device."))
            .ToList();
        return dropping.Count > 0 ? dropping : [Finding.Pass(Name, $"rp_filter is strict on {string.Join(", ", strict)}, and drops nothing of the other nodes: they are answered by the device by which they come")];
    }

    private static string Listing(IEnumerable<PeerWay> ways)
    {
        var names = ways.Select(way => $"Node {way.Node} ({way.Address})").Distinct().ToList();
        return names.Count > 3 ? $"{string.Join(", ", names.Take(3))} and {names.Count - 3} more" : string.Join(", ", names);
    }
}
