using System.Runtime.InteropServices;

namespace Overlay.CniShim.Protocol;

/// <summary>The clock that plugin and agent share: it begins when the machine does, goes on while it sleeps, and nobody can set it (CLOCK_BOOTTIME of clock_gettime(2)).</summary>
internal static partial class BootClock
{
    private const int CLOCK_BOOTTIME = 7;
    private const long NanosecondsPerMillisecond = 1_000_000;
    private const long NanosecondsPerSecond = 1_000_000_000;

    /// <summary>Nanoseconds since the machine started.</summary>
    public static long Now
    {
        get
        {
            if (OperatingSystem.IsWindows())
                return Environment.TickCount64 * NanosecondsPerMillisecond;
            _ = clock_gettime(CLOCK_BOOTTIME, out var now); // fails for a bad pointer or an unknown clock only
            return (now.tv_sec * NanosecondsPerSecond) + now.tv_nsec;
        }
    }

    [LibraryImport("libc")]
    private static partial int clock_gettime(int clockid, out Timespec tp);

    /// <summary>struct timespec: two longs.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct Timespec
    {
        public nint tv_sec;
        public nint tv_nsec;
    }
}
