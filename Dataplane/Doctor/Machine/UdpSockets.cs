using System.Globalization;
using Overlay.Dataplane.Doctor.Checks;

namespace Overlay.Dataplane.Doctor.Machine;

/// <summary>The UDP sockets of this network namespace and who holds them: <c>/proc/net/udp</c>, <c>/proc/net/udp6</c> (proc_net_udp(5)) and <c>/proc/PID/fd</c>.</summary>
internal static class UdpSockets
{
    private static readonly string[] Tables = ["/proc/net/udp", "/proc/net/udp6"];

    /// <summary>Those with a local port, of both families and at any address.</summary>
    /// <exception cref="IOException">They cannot be read.</exception>
    public static List<UdpSocket> On(ushort port)
    {
        var inodes = Tables.Where(File.Exists).SelectMany(File.ReadLines).Select(line => InodeOn(line, port)).OfType<string>().ToHashSet(StringComparer.Ordinal);
        if (inodes.Count == 0)
            return [];
        var holders = Holders(inodes);
        return [.. inodes.Select(inode => new UdpSocket(port, holders.GetValueOrDefault(inode)))];
    }

    // "  12: 0100007F:12B5 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 20534 2 …": address, port in hexadecimal digits, and the tenth field is the inode.
    private static string? InodeOn(string line, ushort port)
    {
        var fields = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return fields.Length > 9 && fields[1].Split(':') is [_, var digits] && ushort.TryParse(digits, NumberStyles.HexNumber, CultureInfo.InvariantCulture, out var found) && found == port ? fields[9] : null;
    }

    // Processes come and go meanwhile, and others' cannot be looked into without rights.
    private static Dictionary<string, string> Holders(HashSet<string> inodes)
    {
        var holders = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var process in Directory.EnumerateDirectories("/proc").Where(path => int.TryParse(Path.GetFileName(path.AsSpan()), NumberStyles.None, CultureInfo.InvariantCulture, out _)))
        {
            try
            {
                foreach (var target in Directory.EnumerateFiles(Path.Combine(process, "fd")).Select(path => new FileInfo(path).LinkTarget))
                {
                    if (target is not null && target.StartsWith("socket:[", StringComparison.Ordinal) && inodes.Contains(target[8..^1]))
                        holders[target[8..^1]] = $"pid {Path.GetFileName(process)} ({File.ReadAllText(Path.Combine(process, "comm")).Trim()})";
                }
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // It has ended, or is somebody else's.
            }
        }

        return holders;
    }
}
