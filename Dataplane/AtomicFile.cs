namespace Overlay.Dataplane;

/// <summary>Writes files that no reader ever sees half of.</summary>
internal static class AtomicFile
{
    /// <summary>Puts a file there by rename from a hidden one in the same folder, which is made when it is not there.
    /// Safe against the death of this process, not flushed to the disk: what these files describe does not outlive a power cut either.</summary>
    /// <exception cref="IOException">It cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">It must not be written.</exception>
    public static void Write(string path, ReadOnlySpan<byte> content)
    {
        var folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        Directory.CreateDirectory(folder);
        var temporary = Path.Combine(folder, $".{Path.GetFileName(path)}.tmp");
        using (var file = new FileStream(temporary, FileMode.Create, FileAccess.Write, FileShare.None))
            file.Write(content);
        File.Move(temporary, path, overwrite: true);
    }
}
