using System.Runtime.InteropServices;

namespace Overlay.CniShim;

/// <summary>Sees one name in a folder.</summary>
/// <param name="name">In UTF-8, without the folder.</param>
/// <param name="inode">Number of the file that it names: names with the same number are one file.</param>
internal delegate void DirectoryVisitor(ReadOnlySpan<byte> name, ulong inode);

/// <summary>What is in a folder, by getdents64(2): the base library's way does not tell which names are one file, and makes a string of each.</summary>
internal static class DirectoryListing
{
    // struct linux_dirent64: u64 d_ino, s64 d_off, u16 d_reclen, u8 d_type, char d_name[]; the same on every architecture
    private const int OffsetOfLength = 16;
    private const int OffsetOfName = 19;

    /// <summary>Shows every name, in no order, with <c>.</c> and <c>..</c>; none when the folder is not there.</summary>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static void Visit(string path, DirectoryVisitor visitor)
    {
        using var folder = Libc.open(path, Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
        if (folder.IsInvalid)
        {
            if (Marshal.GetLastPInvokeError() == Libc.ENOENT)
                return;
            throw Libc.Failure("open", path);
        }

        Span<byte> buffer = stackalloc byte[4096]; // a hundred names: every page that is touched for the first time costs as much as several calls
        while (true)
        {
            var length = (int)Libc.getdents64(folder, buffer, buffer.Length);
            if (length < 0)
                throw Libc.Failure("read", path);
            if (length == 0)
                return;
            for (ReadOnlySpan<byte> rest = buffer[..length]; rest.Length > 0; rest = rest[LengthOf(rest)..])
            {
                var name = rest[OffsetOfName..LengthOf(rest)];
                visitor(name[..name.IndexOf((byte)0)], MemoryMarshal.Read<ulong>(rest));
            }
        }
    }

    private static int LengthOf(ReadOnlySpan<byte> entry) => MemoryMarshal.Read<ushort>(entry[OffsetOfLength..]);
}
