using System.Runtime.Versioning;
using System.Security.Cryptography;
using System.Text;

namespace Overlay.Dataplane.Installation;

/// <summary>A file of an installation.</summary>
/// <param name="Path">Where it is on the node, without the root that it is installed below.</param>
/// <param name="Content">All of it.</param>
/// <param name="IsProgram">Mode 0755 instead of 0644.</param>
internal sealed record InstalledFile(string Path, byte[] Content, bool IsProgram = false)
{
    private const UnixFileMode Plain = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.OtherRead;

    private const UnixFileMode Executable = Plain | UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;

    private UnixFileMode Mode => IsProgram ? Executable : Plain;

    /// <summary>SHA-256 of the content, hexadecimal.</summary>
    public string Hash => Convert.ToHexStringLower(SHA256.HashData(Content));

    /// <summary>Puts it there, unless it is there already; readers see the old one or the new one, never a part.</summary>
    /// <param name="root">Goes before the path; empty for this machine.</param>
    /// <returns>Whether anything was written.</returns>
    /// <exception cref="IOException">It cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">It must not be written.</exception>
    [UnsupportedOSPlatform("windows")]
    public bool Write(string root = "")
    {
        var path = root + Path;
        if (new FileInfo(path) is { Exists: true, LinkTarget: null } file && file.Length == Content.Length
            && File.GetUnixFileMode(path) == Mode && File.ReadAllBytes(path).AsSpan().SequenceEqual(Content))
        {
            return false;
        }

        // Under a name that no runtime calls, on the disk, and then in one step in place of the old: a call of the old one that is under way goes on,
        // and a power cut leaves one or the other.
        var folder = System.IO.Path.GetDirectoryName(path)!;
        Directory.CreateDirectory(folder);
        var temporary = System.IO.Path.Combine(folder, $".{System.IO.Path.GetFileName(path)}.tmp");
        File.Delete(temporary); // of an installation that was cut short; its mode would stay
        using (var stream = new FileStream(temporary, FileMode.CreateNew, FileAccess.Write, FileShare.None))
        {
            stream.Write(Content);
            File.SetUnixFileMode(stream.SafeFileHandle, Mode); // whatever the umask is
            stream.Flush(flushToDisk: true);
        }

        File.Move(temporary, path, overwrite: true);
        return true;
    }
}

/// <summary>
/// What an installation has put onto a machine, as <c>sha256sum</c> writes and checks it: PREFIX/share/overlay/installed.sha256. It is written before the files are, so that whatever an installation that was cut short
/// has left is known as ours.
/// </summary>
/// <param name="Hashes">Hash by path.</param>
internal sealed record InstalledFiles(IReadOnlyDictionary<string, string> Hashes)
{
    private const int HashLength = 64;

    /// <summary>Where it is.</summary>
    public static string PathBelow(string prefix) => $"{prefix}/share/overlay/installed.sha256";

    /// <summary>Reads it; nothing when there is none.</summary>
    /// <exception cref="IOException">It cannot be read, or is not what it should be.</exception>
    public static InstalledFiles Read(string root, string prefix)
    {
        var path = root + PathBelow(prefix);
        var hashes = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var line in File.Exists(path) ? File.ReadAllLines(path) : [])
        {
            // HASH, two blanks, PATH.
            if (line.Length < HashLength + 3 || line[HashLength..(HashLength + 3)] != "  /")
                throw new IOException($"{path} is not what overlay install writes there (\"{line}\"); remove it, and overlay install again.");
            hashes[line[(HashLength + 2)..]] = line[..HashLength];
        }

        return new(hashes);
    }

    /// <summary>As the file has it.</summary>
    public byte[] Content => Encoding.UTF8.GetBytes(string.Concat(Hashes.OrderBy(entry => entry.Key, StringComparer.Ordinal).Select(entry => $"{entry.Value}  {entry.Key}\n")));

    /// <summary>Whether a file is there as it was installed.</summary>
    public bool IsAsInstalled(string root, string path) =>
        Hashes.TryGetValue(path, out var hash) && File.Exists(root + path) && Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(root + path))) == hash;
}
