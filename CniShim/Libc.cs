using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Overlay.CniShim;

/// <summary>The few calls of libc that the base library has no word for. Named as in their manual pages.</summary>
internal static partial class Libc
{
    public const int O_RDONLY = 0;
    public const int O_WRONLY = 1;
    public const int O_CREAT = 0x40;
    public const int O_EXCL = 0x80;
    public const int O_NONBLOCK = 0x800;
    public const int O_CLOEXEC = 0x80000;
    public const int LOCK_EX = 2;
    public const int LOCK_NB = 4;
    public const int AT_EMPTY_PATH = 0x1000;
    public const uint STATX_INO = 0x100;
    public const uint NS_GET_NSTYPE = 0xb703;
    public const int CLONE_NEWNET = 0x40000000;
    public const int F_GETFD = 1;
    public const short POLLIN = 1;
    public const short POLLOUT = 4;
    public const int AF_UNIX = 1;
    public const int AF_INET = 2;
    public const int AF_NETLINK = 16;
    public const int NETLINK_ROUTE = 0;
    public const ushort NLMSG_ERROR = 2;
    public const int NLM_F_REQUEST = 1;
    public const int NLM_F_ACK = 4;
    public const ushort RTM_DELLINK = 17;
    public const ushort IFLA_IFNAME = 3;
    public const int SOCK_STREAM = 1;
    public const int SOCK_DGRAM = 2;
    public const int SOCK_RAW = 3;
    public const int SOCK_NONBLOCK = 0x800;
    public const int SOCK_CLOEXEC = 0x80000;
    public const uint SIOCGIFFLAGS = 0x8913;
    public const uint SIOCSIFFLAGS = 0x8914;
    public const short IFF_UP = 1;
    public const int SIGKILL = 9;
    public const int SIGPIPE = 13;
    public const short POSIX_SPAWN_SETPGROUP = 2;
    public const short POSIX_SPAWN_SETSIGDEF = 4;
    public const int EPERM = 1;
    public const int ENOENT = 2;
    public const int EINTR = 4;
    public const int ENXIO = 6;
    public const int EAGAIN = 11;
    public const int EACCES = 13;
    public const int EEXIST = 17;
    public const int ENODEV = 19;
    public const int ENOTDIR = 20;
    public const int EISDIR = 21;
    public const int ELOOP = 40;

    /// <summary>open(2); the handle is invalid on failure.</summary>
    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial SafeFileHandle open(string path, int flags, uint mode);

    /// <summary>read(2).</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial nint read(SafeFileHandle fd, Span<byte> buffer, nint count);

    /// <summary>write(2).</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial nint write(SafeFileHandle fd, ReadOnlySpan<byte> buffer, nint count);

    /// <summary>poll(2) of one descriptor or several in a row; -1 milliseconds is for ever.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int poll(ref Pollfd fds, nuint nfds, int timeout);

    /// <summary>fcntl(2) without an argument.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int fcntl(int fd, int operation);

    /// <summary>See isatty(3).</summary>
    [LibraryImport("libc")]
    public static partial int isatty(SafeFileHandle fd);

    /// <summary>connect(2).</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int connect(SafeFileHandle sockfd, in SockaddrUn addr, int addrlen);

    /// <summary>flock(2).</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int flock(SafeFileHandle fd, int operation);

    /// <summary>fsync(2).</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int fsync(SafeFileHandle fd);

    /// <summary>getdents64(2): names of a folder.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial nint getdents64(SafeFileHandle fd, Span<byte> dirp, nint count);

    /// <summary>unlink(2).</summary>
    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int unlink(string path);

    /// <summary>link(2): unlike a rename it never replaces.</summary>
    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int link(string oldpath, string newpath);

    /// <summary>ioctl(2) without an argument.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int ioctl(SafeFileHandle fd, nuint request);

    /// <summary>ioctl(2) of netdevice(7).</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int ioctl(SafeHandle fd, nuint request, ref Ifreq argument);

    /// <summary>socket(2); the handle is invalid on failure.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial SafeFileHandle socket(int domain, int type, int protocol);

    /// <summary>setns(2): for the calling thread.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int setns(SafeFileHandle fd, int nstype);

    /// <summary>statx(2): its struct is the same on every architecture.</summary>
    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int statx(SafeFileHandle dirfd, string path, int flags, uint mask, out Statx buffer);

    /// <summary>pipe2(2): the end to read from and the end to write to.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int pipe2(Span<int> pipefd, int flags);

    /// <summary>kill(2); a negative pid is a process group.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int kill(int pid, int sig);

    /// <summary>waitpid(2).</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int waitpid(int pid, out int wstatus, int options);

    /// <summary>posix_spawn(3): the errno, or 0.</summary>
    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int posix_spawn(out int pid, string path, Span<nint> file_actions, Span<nint> attrp, string?[] argv, string?[] envp);

    /// <summary>posix_spawn_file_actions_init(3).</summary>
    [LibraryImport("libc")]
    public static partial int posix_spawn_file_actions_init(Span<nint> file_actions);

    /// <summary>posix_spawn_file_actions_adddup2(3).</summary>
    [LibraryImport("libc")]
    public static partial int posix_spawn_file_actions_adddup2(Span<nint> file_actions, SafeFileHandle fildes, int newfildes);

    /// <summary>posix_spawn_file_actions_destroy(3).</summary>
    [LibraryImport("libc")]
    public static partial int posix_spawn_file_actions_destroy(Span<nint> file_actions);

    /// <summary>posix_spawnattr_init(3).</summary>
    [LibraryImport("libc")]
    public static partial int posix_spawnattr_init(Span<nint> attr);

    /// <summary>posix_spawnattr_setsigdefault(3).</summary>
    [LibraryImport("libc")]
    public static partial int posix_spawnattr_setsigdefault(Span<nint> attr, Span<nint> sigdefault);

    /// <summary>posix_spawnattr_setflags(3).</summary>
    [LibraryImport("libc")]
    public static partial int posix_spawnattr_setflags(Span<nint> attr, short flags);

    /// <summary>posix_spawnattr_destroy(3).</summary>
    [LibraryImport("libc")]
    public static partial int posix_spawnattr_destroy(Span<nint> attr);

    /// <summary>Waits until a file's data, or the names in a folder, are on the disk.</summary>
    /// <exception cref="IOException">The disk fails.</exception>
    public static void Fsync(string path)
    {
        using var file = open(path, O_RDONLY | O_CLOEXEC, 0);
        if (file.IsInvalid || fsync(file) != 0)
            throw Failure("fsync", path);
    }

    /// <summary>The last call's error as one sentence, e.g. <c>open /x: No such file or directory</c>.</summary>
    public static IOException Failure(string operation, string path) =>
        new($"{operation} {path}: {ErrorMessage}");

    /// <summary>The last call's error in the words of strerror(3).</summary>
    public static string ErrorMessage => Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError());

    /// <summary>struct pollfd.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Pollfd
    {
        public int fd;
        public short events;
        public short revents;
    }

    /// <summary>struct sockaddr_un of linux/un.h: 110 bytes.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct SockaddrUn
    {
        /// <summary>Bytes of a path, the NUL at its end included.</summary>
        public const int PathSize = 108;

        private ushort sun_family;
        private Path108 sun_path;

        /// <summary>Makes it the address of a socket in the file system.</summary>
        /// <param name="path">Shorter than <see cref="PathSize"/> bytes of UTF-8.</param>
        public void SetPath(string path)
        {
            sun_family = AF_UNIX;
            Encoding.UTF8.GetBytes(path, sun_path);
        }

        [InlineArray(PathSize)]
        private struct Path108
        {
            private byte first;
        }
    }

    /// <summary>struct statx of linux/stat.h: 256 bytes, of which the identity is read.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    public struct Statx
    {
        [FieldOffset(32)]
        public ulong stx_ino;

        [FieldOffset(136)]
        public uint stx_dev_major;

        [FieldOffset(140)]
        public uint stx_dev_minor;
    }

    /// <summary>struct ifreq of linux/if.h: a name and, of the union, the flags; 40 bytes, less where pointers are short.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Ifreq
    {
        private Name16 ifr_name;

        /// <summary>ifr_flags.</summary>
        public short Flags;

        private Rest22 rest;

        /// <summary>A request about one interface.</summary>
        /// <param name="name">ASCII, shorter than 16 bytes.</param>
        public Ifreq(string name)
        {
            for (var i = 0; i < name.Length; i++)
                ifr_name[i] = (byte)name[i];
        }

        [InlineArray(16)]
        private struct Name16
        {
            private byte first;
        }

        [InlineArray(22)]
        private struct Rest22
        {
            private byte first;
        }
    }
}
