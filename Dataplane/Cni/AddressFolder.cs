using System.Text;
using Overlay.Dataplane.Netlink;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Cni;

/// <summary>An address that is given away, as host-local's format has it: a file named by the address that holds <c>CONTAINERID\r\nIFNAME</c>.</summary>
/// <param name="Path">The file.</param>
/// <param name="Address">Its name.</param>
/// <param name="ContainerId">To whom; empty when it does not say (a power cut while it was written).</param>
/// <param name="IfName">For which interface; empty in files of very old versions of host-local.</param>
/// <param name="Written">When (UTC).</param>
internal sealed record AddressFile(string Path, InetAddress Address, string ContainerId, string IfName, DateTime Written);

/// <summary>What the plugin wrote before it took addresses: <c>.claims/CONTAINERID@IFNAME</c>. It is kept as long as the addresses are.</summary>
/// <param name="Path">The file.</param>
/// <param name="ContainerId">For whom.</param>
/// <param name="IfName">For which interface.</param>
/// <param name="Written">When (UTC).</param>
internal sealed record ClaimFile(string Path, string ContainerId, string IfName, DateTime Written);

/// <summary>The address files of one network, as the agent looks at them. The plugin gives addresses out; the agent only takes back what nobody else will, and takes over what others gave out.</summary>
/// <param name="ipamDir">The configuration's <c>cni.ipamDir</c>.</param>
/// <param name="network">The network's name.</param>
internal sealed class AddressFolder(string ipamDir, string network)
{
    private readonly string _folder = Path.Combine(ipamDir, network);

    /// <summary>Where it is.</summary>
    public string Folder => _folder;

    /// <summary>Whether a file is in it: an address, or a claim.</summary>
    public bool Holds(string path) => path.StartsWith(_folder + Path.DirectorySeparatorChar, StringComparison.Ordinal);

    /// <summary>All that is given away, in no order.</summary>
    /// <exception cref="IOException">It cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">It must not be read.</exception>
    public IReadOnlyList<AddressFile> Read() => Directory.Exists(_folder) ? [.. Directory.EnumerateFiles(_folder).Select(Read).OfType<AddressFile>()] : [];

    /// <summary>All claims, in no order.</summary>
    public IReadOnlyList<ClaimFile> ReadClaims() => Path.Combine(_folder, ".claims") is var claims && Directory.Exists(claims)
        ? [.. Directory.EnumerateFiles(claims).Select(path => (Path: path, Name: Path.GetFileName(path).Split('@', 2))).Where(claim => claim.Name.Length == 2)
            .Select(claim => new ClaimFile(claim.Path, claim.Name[0], claim.Name[1], File.GetLastWriteTimeUtc(claim.Path)))]
        : [];

    /// <summary>Of another network beside this one: containers that another plugin wired, in <paramref name="prefixes"/>, and that this network does not have yet.</summary>
    public IReadOnlyList<AddressFile> ReadOthers(IReadOnlyCollection<Cidr> prefixes) => Directory.Exists(ipamDir)
        ? [.. Directory.EnumerateDirectories(ipamDir)
            .Where(folder => Path.GetFileName(folder) != network)
            .SelectMany(Directory.EnumerateFiles)
            .Select(Read).OfType<AddressFile>()
            .Where(file => prefixes.Any(prefix => prefix.Contains(file.Address)) && !File.Exists(Path.Combine(_folder, Path.GetFileName(file.Path))))]
        : [];

    /// <summary>Makes addresses of another network taken in this one, for the same containers: their DEL gives them back, as the runtime asks the network of today.</summary>
    /// <exception cref="IOException">It cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">It must not be written.</exception>
    public void TakeOver(AddressFile other)
    {
        Directory.CreateDirectory(_folder);
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        using var file = new FileStream(Path.Combine(_folder, Path.GetFileName(other.Path)), options);
        file.Write(Encoding.UTF8.GetBytes(other.IfName.Length > 0 ? $"{other.ContainerId}\r\n{other.IfName}" : other.ContainerId));
        file.Flush(flushToDisk: true);
    }

    /// <summary>Gives addresses back and removes claims under the folder's lock, each if its file is still the one that was read.</summary>
    /// <returns>The addresses that were; null when another process holds the lock.</returns>
    /// <exception cref="IOException">One cannot be removed.</exception>
    /// <exception cref="UnauthorizedAccessException">One must not be removed.</exception>
    public IReadOnlyList<AddressFile>? Release(IReadOnlyList<AddressFile> files, params IReadOnlyList<ClaimFile> claims)
    {
        using var locked = Libc.open(Path.Combine(_folder, "lock"), Libc.O_RDONLY | Libc.O_CREAT | Libc.O_CLOEXEC, 0b110_000_000);
        if (locked.IsInvalid)
            throw new IOException($"open {Path.Combine(_folder, "lock")}: {Libc.LastErrno}.");
        if (Libc.flock(locked, Libc.LOCK_EX | Libc.LOCK_NB) != 0)
            return null;
        var released = files.Where(file => Read(file.Path) == file).ToList();
        released.ForEach(file => File.Delete(file.Path));
        foreach (var claim in claims.Where(claim => File.GetLastWriteTimeUtc(claim.Path) == claim.Written))
            File.Delete(claim.Path);
        return released;
    }

    private static AddressFile? Read(string path)
    {
        if (!InetAddress.TryParse(Path.GetFileName(path).Replace('_', ':'), out var address))
            return null;
        try
        {
            var lines = File.ReadAllText(path).TrimEnd('\0').Split('\n'); // NULs: data that a power cut kept from the disk
            return new(path, address, lines[0].Trim(), lines.Length > 1 ? lines[1].Trim() : "", File.GetLastWriteTimeUtc(path));
        }
        catch (FileNotFoundException)
        {
            return null; // given back just now
        }
    }
}
