namespace Overlay.Dataplane;

/// <summary>Writes files that no reader ever sees half of.</summary>
internal static class AtomicFile
{
    /// <summary>Puts a file there by rename from a hidden one in the same folder, which is made when it is not there.
    /// Safe against the death of this process, not flushed to the disk: what these files describe does not outlive a power cut either.</summary>
    /// <param name="path">Where.</param>
    /// <param name="content">All of it.</param>
    /// <param name="isSecret">For the owner's eyes only.</param>
    /// <exception cref="IOException">It cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">It must not be written.</exception>
    public static void Write(string path, ReadOnlySpan<byte> content, bool isSecret = false)
    {
        var folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        Directory.CreateDirectory(folder);
        var temporary = Path.Combine(folder, $".{Path.GetFileName(path)}.tmp");
        using (var file = new FileStream(temporary, FileMode.Create, FileAccess.Write, FileShare.None))
        {
            if (isSecret && !OperatingSystem.IsWindows())
                File.SetUnixFileMode(file.SafeFileHandle, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            file.Write(content);
        }

        File.Move(temporary, path, overwrite: true);
    }
}
