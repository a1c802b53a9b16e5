using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Overlay.Dataplane.Netlink;

/// <summary>The calls of libc that the base library has no words for. Each sets errno; see the manual page of its name.</summary>
internal static unsafe partial class Libc
{
    internal const int AF_NETLINK = 16;
    internal const int SOCK_RAW = 3;
    internal const int SOCK_CLOEXEC = 0x80000;
    internal const int SOL_SOCKET = 1;
    internal const int SO_SNDBUF = 7;
    internal const int SO_RCVBUF = 8;
    internal const int SO_RCVTIMEO = 20;
    internal const int SO_SNDBUFFORCE = 32;
    internal const int SO_RCVBUFFORCE = 33;
    internal const int SOL_NETLINK = 270;
    internal const int MSG_TRUNC = 0x20;
    internal const int MSG_DONTWAIT = 0x40;

    internal const int O_RDONLY = 0;
    internal const int O_CREAT = 0x40;
    internal const int O_EXCL = 0x80;
    internal const int O_NONBLOCK = 0x800;
    internal const int O_CLOEXEC = 0x80000;
    internal const int LOCK_EX = 2;
    internal const int LOCK_NB = 4;
    internal const int AT_EMPTY_PATH = 0x1000;
    internal const uint STATX_INO = 0x100;
    internal const int CLONE_NEWNET = 0x40000000;
    internal const nuint NS_GET_NSTYPE = 0xb703;
    internal const nuint MS_BIND = 0x1000;
    internal const nuint MS_REC = 0x4000;
    internal const nuint MS_SHARED = 0x100000;
    internal const int MNT_DETACH = 2;

    internal const short POLLIN = 1;
    internal const short POLLOUT = 4;
    internal const int EFD_NONBLOCK = 0x800;
    internal const int EFD_CLOEXEC = 0x80000;

    /// <summary><c>struct pollfd</c> (poll.h): a descriptor, or -1 for none; what to wait for; what it is ready for.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct Pollfd
    {
        internal int Descriptor;
        internal short Events;
        internal short Returned;
    }

    /// <summary><c>struct sockaddr_nl</c> (linux/netlink.h).</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct SockaddrNl
    {
        internal ushort Family;
        internal ushort Pad;
        internal uint Pid;
        internal uint Groups;
    }

    /// <summary>The part of <c>struct statx</c> (linux/stat.h) that is read here: the same on every architecture, unlike <c>struct stat</c>.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    internal struct Statx
    {
        [FieldOffset(32)]
        internal ulong Inode;
        [FieldOffset(136)]
        internal uint DeviceMajor;
        [FieldOffset(140)]
        internal uint DeviceMinor;
    }

    /// <summary>errno of the last call on this thread.</summary>
    internal static Errno LastErrno => (Errno)Marshal.GetLastPInvokeError();

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int socket(int domain, int type, int protocol);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int bind(SafeHandle socket, in SockaddrNl address, int length);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int setsockopt(SafeHandle socket, int level, int name, void* value, int length);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint sendto(SafeHandle socket, byte* buffer, nint length, int flags, in SockaddrNl address, int addressLength);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint recvfrom(SafeHandle socket, byte* buffer, nint length, int flags, ref SockaddrNl address, ref int addressLength);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial SafeFileHandle open(string path, int flags, uint mode);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int flock(SafeHandle file, int operation);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int ioctl(SafeHandle file, nuint request);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int statx(SafeHandle directory, string path, int flags, uint mask, out Statx status);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int poll(Span<Pollfd> descriptors, nuint count, int milliseconds);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial SafeFileHandle eventfd(uint value, int flags);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint read(SafeHandle file, out ulong value, nint length);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint write(SafeHandle file, in ulong value, nint length);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int setns(SafeHandle ns, int type);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int unshare(int flags);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int mount(string source, string target, string type, nuint flags, string? options);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int umount2(string target, int flags);
}
