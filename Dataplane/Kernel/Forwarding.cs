using Overlay.Dataplane.Desired;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Kernel;

/// <summary>
/// That this node forwards packets of both families: <c>net/ipv4/ip_forward</c> and <c>net/ipv6/conf/all/forwarding</c> of the calling thread's network namespace.
/// Without them no packet goes from one pod to another, whatever routes and rules there are.
/// </summary>
public static class Forwarding
{
    private const string IPv4 = "ipv4/ip_forward";
    private const string IPv6 = "ipv6/conf/all/forwarding";
    private const string UsePmtu = "ipv4/ip_forward_use_pmtu";

    // A kernel without IPv6 has no such key, and nothing to forward.
    private static IEnumerable<string> Off => new[] { IPv4, IPv6 }.Where(key => Sysctl.Read(key) == 0);

    /// <summary>
    /// Has forwarded IPv4 packets judged by what is known of their path, as IPv6's are (<c>net/ipv4/ip_forward_use_pmtu</c>). Where the underlay takes less than was thought, a VXLAN device only notes it at
    /// the route (skb_tunnel_check_pmtu): without this no pod would be told, and its full-size packets be lost, or sent in pieces. IP-in-IP tells the senders itself.
    /// </summary>
    /// <returns>What was changed, and why it cannot be.</returns>
    public static ForwardingRepair UsePathMtu()
    {
        try
        {
            return new(Sysctl.Read(UsePmtu) == 0 && Sysctl.Set(UsePmtu, 1) ? [$"net/{UsePmtu}=1"] : [], []);
        }
        catch (IOException e)
        {
            return new([], [e.Message]);
        }
    }

    /// <summary>Whether packets of a family are forwarded, as far as the node as a whole decides.</summary>
    public static bool IsOn(Family family) => !Off.Contains(family == Family.IPv4 ? IPv4 : IPv6);

    /// <summary>The sysctl of one device.</summary>
    public static string KeyOf(Family family, string device) => $"{(family == Family.IPv4 ? "ipv4" : "ipv6")}/conf/{device}/forwarding";

    /// <summary>Turns forwarding on where it is off, one family whatever becomes of the other.</summary>
    public static ForwardingRepair Enable()
    {
        var changed = new List<string>();
        var refusals = new List<string>();
        foreach (var key in Off)
        {
            try
            {
                if (key == IPv6)
                    KeepListening(changed);
                Set(key, 1, changed);
            }
            catch (IOException e)
            {
                refusals.Add(e.Message);
            }
        }

        return new(changed, refusals);
    }

    /// <summary>Every difference, as text. Changes nothing.</summary>
    public static IReadOnlyList<string> Verify() => [.. Off.Select(key => $"different: net/{key}=0 where net/{key}=1 is wanted")];

    // A kernel that forwards ignores router advertisements (accept_ra 1), by which many nodes get their own IPv6 default route; those interfaces are told to
    // go on listening (accept_ra 2) first. Not those of pods: a pod could make itself the node's router.
    private static void KeepListening(List<string> changed)
    {
        foreach (var device in Sysctl.Names("ipv6/conf").Where(name => name is not ("all" or "default" or "lo") && !Ownership.IsOurs(name)))
        {
            if (Sysctl.Read($"ipv6/conf/{device}/accept_ra") == 1)
                Set($"ipv6/conf/{device}/accept_ra", 2, changed);
        }
    }

    private static void Set(string key, int value, List<string> changed)
    {
        if (Sysctl.Set(key, value))
            changed.Add($"net/{key}={value}");
    }
}

/// <summary>What turning forwarding on came to.</summary>
/// <param name="Changed">The keys that were changed: <c>net/ipv4/ip_forward=1</c>.</param>
/// <param name="Refusals">Why others cannot be, a sentence each, with what to do.</param>
public readonly record struct ForwardingRepair(IReadOnlyList<string> Changed, IReadOnlyList<string> Refusals);
