using System.Globalization;

namespace Overlay.Dataplane.Kernel;

/// <summary>Reads and writes <c>/proc/sys/net</c> of the calling thread's network namespace, wherever that folder is mounted.</summary>
public static class Sysctl
{
    /// <summary>Where a container may be given the keys: its runtime keeps /proc/sys read-only unless it is privileged.</summary>
    public const string Mounted = "/host/proc/sys/net/";

    private static readonly string Root = Directory.Exists(Mounted) ? Mounted : "/proc/sys/net/";

    /// <summary>The value of <paramref name="name"/> (<c>ipv4/ip_forward</c>), or null when this kernel has no such key.</summary>
    public static int? Read(string name)
    {
        var path = Root + name;
        return File.Exists(path) ? int.Parse(File.ReadAllText(path), CultureInfo.InvariantCulture) : null;
    }

    /// <summary>Sets <paramref name="name"/> when it differs. Returns whether it differed.</summary>
    /// <exception cref="IOException">The key cannot be written: a read-only /proc/sys, or no rights.</exception>
    public static bool Set(string name, int value)
    {
        if (Read(name) == value)
            return false;
        try
        {
            File.WriteAllText(Root + name, value.ToString(CultureInfo.InvariantCulture));
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"cannot set net/{name} to {value}: {e.Message} Give the agent a writable /proc/sys/net (in a container: the host's, mounted at {Mounted}) and CAP_NET_ADMIN.", e);
        }
    }

    /// <summary>
    /// Lets this node forward both families. Forwarding makes the kernel ignore router advertisements (accept_ra 1), by which many nodes get their
    /// own IPv6 default route; those interfaces are told to go on listening (accept_ra 2) first.
    /// </summary>
    /// <returns>The keys that were changed.</returns>
    public static IReadOnlyList<string> EnableForwarding()
    {
        var changed = new List<string>();
        void Want(string name, int value)
        {
            if (Set(name, value))
                changed.Add($"net/{name}={value}");
        }

        if (Read("ipv6/conf/all/forwarding") == 0)
        {
            foreach (var folder in Directory.EnumerateDirectories(Root + "ipv6/conf"))
            {
                var device = Path.GetFileName(folder);
                if (device is not "all" and not "default" and not "lo" && Read($"ipv6/conf/{device}/accept_ra") == 1)
                    Want($"ipv6/conf/{device}/accept_ra", 2);
            }
        }

        Want("ipv4/ip_forward", 1);
        if (Read("ipv6/conf/all/forwarding") is not null)
            Want("ipv6/conf/all/forwarding", 1);
        return changed;
    }
}
