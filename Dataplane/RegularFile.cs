using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Overlay.Dataplane;

/// <summary>Reads files that anybody may have put there: never waits for one, and never reads without end.</summary>
internal static partial class RegularFile
{
    /// <summary>Bytes of the largest file that is read: far more than a cluster's objects need.</summary>
    public const int MaxLength = 64 << 20;

    private const int O_NONBLOCK = 0x800;
    private const int O_CLOEXEC = 0x80000;

    /// <summary>All of a file.</summary>
    /// <exception cref="FileNotFoundException">There is none.</exception>
    /// <exception cref="DirectoryNotFoundException">Nor is its folder.</exception>
    /// <exception cref="IOException">It is a pipe, a socket or a device, it is too large, or it cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">It must not be read.</exception>
    public static byte[] ReadAllBytes(string path)
    {
        using var file = Open(path);
        if (!file.CanSeek)
            throw new IOException("it is no regular file.");
        var content = new MemoryStream();
        var buffer = new byte[81920];
        for (int read; (read = file.Read(buffer)) > 0;)
        {
            if (content.Length + read > MaxLength)
                throw new IOException($"it is larger than {MaxLength >> 20} MiB.");
            content.Write(buffer, 0, read);
        }

        return content.ToArray();
    }

    /// <summary>As <see cref="ReadAllBytes"/>, as text: UTF-8 unless a byte order mark says otherwise.</summary>
    public static string ReadAllText(string path)
    {
        using var reader = new StreamReader(new MemoryStream(ReadAllBytes(path)));
        return reader.ReadToEnd();
    }

    private static FileStream Open(string path)
    {
        if (OperatingSystem.IsWindows())
            return File.OpenRead(path);

        // The base library waits in open(2) until somebody writes into a named pipe; with O_NONBLOCK it is only then seen what it is.
        var handle = open(path, O_NONBLOCK | O_CLOEXEC, 0);
        if (!handle.IsInvalid)
            return new FileStream(handle, FileAccess.Read, bufferSize: 0);
        handle.Dispose();
        return File.OpenRead(path); // which throws what fits
    }

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial SafeFileHandle open(string path, int flags, uint mode);
}
