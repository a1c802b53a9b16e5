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
        try
        {
            return int.Parse(File.ReadAllText(Root + name), CultureInfo.InvariantCulture);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
    }

    /// <summary>Names of the keys and folders in <paramref name="folder"/> (<c>ipv6/conf</c>: those of the devices).</summary>
    public static IEnumerable<string> Names(string folder) => Directory.EnumerateFileSystemEntries(Root + folder).Select(path => Path.GetFileName(path));

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
            throw new IOException($"cannot set net/{name} to {value}: {e.Message.TrimEnd('.')}. Give the agent a writable /proc/sys/net (in a container: the host's, mounted at {Mounted}) and CAP_NET_ADMIN.", e);
        }
    }
}
