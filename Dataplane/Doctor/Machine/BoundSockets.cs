using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Overlay.Dataplane.Doctor.Checks;

namespace Overlay.Dataplane.Doctor.Machine;

/// <summary>The sockets of this network namespace and who holds them: <c>/proc/net/udp</c>, <c>/proc/net/tcp</c> and the like (proc_net(5)), and <c>/proc/PID/fd</c>.</summary>
internal static class BoundSockets
{
    private const string Listening = "0A"; // TCP_LISTEN
    private static readonly string[] UdpTables = ["/proc/net/udp", "/proc/net/udp6"];
    private static readonly string[] TcpTables = ["/proc/net/tcp", "/proc/net/tcp6"];

    /// <summary>Those of UDP with a local port, of both families and at any address.</summary>
    /// <exception cref="IOException">They cannot be read.</exception>
    public static List<BoundSocket> Udp(int port) => Find(UdpTables, port, _ => true);

    /// <summary>Those of TCP that listen on a port, of both families and at any address.</summary>
    /// <exception cref="IOException">They cannot be read.</exception>
    public static List<BoundSocket> Listeners(int port) => Find(TcpTables, port, state => state == Listening);

    private static List<BoundSocket> Find(string[] tables, int port, Func<string, bool> isWanted)
    {
        var found = tables.Where(File.Exists).SelectMany(File.ReadLines).Select(line => Read(line, port, isWanted)).OfType<(IPAddress Address, string Inode)>().ToList();
        if (found.Count == 0)
            return [];
        var holders = Holders(found.Select(socket => socket.Inode).ToHashSet(StringComparer.Ordinal));
        return [.. found.Select(socket => new BoundSocket(socket.Address, holders.GetValueOrDefault(socket.Inode)))];
    }

    // "  12: 0100007F:12B5 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 20534 2 …": local address and port in hexadecimal digits, state, and the tenth field is the inode.
    private static (IPAddress Address, string Inode)? Read(string line, int port, Func<string, bool> isWanted)
    {
        var fields = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return fields.Length > 9 && fields[1].Split(':') is [var address, var digits] && isWanted(fields[3])
            && ushort.TryParse(digits, NumberStyles.HexNumber, CultureInfo.InvariantCulture, out var found) && found == port
            ? (AddressOf(address), fields[9])
            : null;
    }

    // In words of 32 bits as the processor has them.
    private static IPAddress AddressOf(string digits)
    {
        var bytes = Convert.FromHexString(digits);
        for (var word = 0; BitConverter.IsLittleEndian && word < bytes.Length; word += sizeof(uint))
            bytes.AsSpan(word, sizeof(uint)).Reverse();
        var address = new IPAddress(bytes);
        return address.AddressFamily == AddressFamily.InterNetworkV6 && address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
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
