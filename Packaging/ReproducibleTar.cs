using System.Formats.Tar;
using System.IO.Compression;

namespace Overlay.Packaging;

/// <summary>Archives that are the same bytes whoever makes them, and when: sorted, owned by root, of 1970.</summary>
internal static class ReproducibleTar
{
    private const UnixFileMode Plain = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.OtherRead;
    private const UnixFileMode Executable = Plain | UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;

    /// <summary>A tar of programs (mode 0755) or of other files (0644).</summary>
    public static byte[] Of(IEnumerable<KeyValuePair<string, byte[]>> files, bool executable) => Of(files, _ => executable);

    /// <summary>A tar.</summary>
    /// <param name="files">Content by path, without a slash in front; their folders are made.</param>
    /// <param name="isExecutable">Which are programs (mode 0755) and not other files (0644).</param>
    public static byte[] Of(IEnumerable<KeyValuePair<string, byte[]>> files, Func<string, bool> isExecutable)
    {
        var sorted = new SortedDictionary<string, byte[]?>(StringComparer.Ordinal);
        foreach (var (path, content) in files)
        {
            sorted[path] = content;
            for (var slash = path.IndexOf('/', StringComparison.Ordinal); slash > 0; slash = path.IndexOf('/', slash + 1))
                sorted[path[..(slash + 1)]] = null;
        }

        using var stream = new MemoryStream();
        using (var tar = new TarWriter(stream, TarEntryFormat.Ustar, leaveOpen: true))
        {
            foreach (var (path, content) in sorted)
            {
                var entry = new UstarTarEntry(content is null ? TarEntryType.Directory : TarEntryType.RegularFile, path)
                {
                    Mode = content is null || isExecutable(path) ? Executable : Plain,
                    ModificationTime = DateTimeOffset.UnixEpoch,
                };
                if (content is not null)
                    entry.DataStream = new MemoryStream(content);
                tar.WriteEntry(entry);
            }
        }

        return stream.ToArray();
    }

    /// <summary>The same, compressed; the format's own time stays empty.</summary>
    public static byte[] Gzip(byte[] content)
    {
        using var stream = new MemoryStream();
        using (var gzip = new GZipStream(stream, CompressionLevel.SmallestSize, leaveOpen: true))
            gzip.Write(content);
        return stream.ToArray();
    }
}
