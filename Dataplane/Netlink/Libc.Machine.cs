using System.Runtime.InteropServices;

namespace Overlay.Dataplane.Netlink;

/// <content>What is asked of devices' drivers, of file systems and of the clock.</content>
internal static unsafe partial class Libc
{
    internal const int W_OK = 2;
    internal const int X_OK = 1;
    internal const nuint SIOCETHTOOL = 0x8946;
    internal const uint ETHTOOL_GDRVINFO = 0x3;
    internal const uint ETHTOOL_GTXCSUM = 0x16;
    internal const uint ETHTOOL_STXCSUM = 0x17;
    internal const int IFNAMSIZ = 16;
    internal const int STA_UNSYNC = 0x40;

    /// <summary><c>struct ethtool_drvinfo</c> (linux/ethtool.h); only the driver's name is read.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 196)]
    internal struct EthtoolDriver
    {
        [FieldOffset(0)]
        internal uint Command;
        [FieldOffset(4)]
        internal fixed byte Driver[32];
    }

    /// <summary><c>struct ethtool_value</c> (linux/ethtool.h).</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct EthtoolValue
    {
        internal uint Command;
        internal uint Value;
    }

    /// <summary>The part of <c>struct ifreq</c> (linux/if.h) that SIOCETHTOOL reads: a device's name and a pointer.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct Ifreq
    {
        internal fixed byte Name[IFNAMSIZ];
        internal void* Argument;
        internal fixed byte Rest[16];
    }

    /// <summary>The part of <c>struct statvfs</c> (statvfs(3)) that is read here, and room for the rest.</summary>
    [StructLayout(LayoutKind.Sequential, Size = 256)]
    internal struct Statvfs
    {
        internal nuint BlockSize;
        internal nuint FragmentSize;
        internal nuint Blocks;
        internal nuint FreeBlocks;
        internal nuint AvailableBlocks;
        internal nuint Files;
        internal nuint FreeFiles;
        internal nuint AvailableFiles;
    }

    /// <summary>The part of <c>struct timex</c> (adjtimex(2)) that is read here, and room for the rest.</summary>
    [StructLayout(LayoutKind.Sequential, Size = 512)]
    internal struct Timex
    {
        internal uint Modes;
        internal nint Offset;
        internal nint Frequency;
        internal nint MaximumError;
        internal nint EstimatedError;
        internal int Status;
    }

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int ioctl(SafeHandle socket, nuint request, ref Ifreq argument);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int access(string path, int mode);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int statvfs(string path, out Statvfs result);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int adjtimex(ref Timex buffer);
}
