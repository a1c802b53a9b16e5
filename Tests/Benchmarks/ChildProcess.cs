using System.Runtime.InteropServices;

namespace Overlay.Tests.Benchmarks;

/// <summary>What a process and the children that it waited for came to.</summary>
/// <param name="ExitCode">0 to 255; 128 and the signal's number when one ended it.</param>
/// <param name="Wall">From before it is started until its end is known.</param>
/// <param name="Cpu">User and system time, as <c>wait4</c> tells it.</param>
internal readonly record struct ChildOutcome(int ExitCode, TimeSpan Wall, TimeSpan Cpu);

/// <summary>
/// Processes as a runtime in C would start them: <c>posix_spawn</c> and <c>wait4</c> on the calling thread, in whose network namespace they run. The base library's way costs several times
/// what is to be measured, and does not tell what a single child used.
/// </summary>
internal static unsafe partial class ChildProcess
{
    private const int O_RDONLY = 0, O_WRONLY = 1, O_CREAT = 0x40, O_TRUNC = 0x200;
    private const int EINTR = 4;

    // posix_spawn_file_actions_t: 80 bytes in glibc, 152 in musl.
    private const int FileActionsSize = 256;

    /// <summary>Runs a program to its end.</summary>
    /// <param name="path">The program.</param>
    /// <param name="environment">All of its environment: <c>NAME=VALUE</c>.</param>
    /// <param name="input">File that is its standard input.</param>
    /// <param name="output">File that both its output streams go to.</param>
    /// <param name="arguments">Its arguments.</param>
    public static ChildOutcome Run(string path, IReadOnlyList<string> environment, string input = "/dev/null", string output = "/dev/null", params IReadOnlyList<string> arguments)
    {
        var actions = stackalloc byte[FileActionsSize];
        Check(posix_spawn_file_actions_init(actions));
        Check(posix_spawn_file_actions_addopen(actions, 0, input, O_RDONLY, 0));
        Check(posix_spawn_file_actions_addopen(actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0x180));
        Check(posix_spawn_file_actions_adddup2(actions, 1, 2));
        var argv = Texts([path, .. arguments]);
        var envp = Texts(environment);
        try
        {
            var begin = System.Diagnostics.Stopwatch.GetTimestamp();
            Check(posix_spawn(out var pid, path, actions, null, argv, envp));
            int status;
            Usage usage;
            while (wait4(pid, &status, 0, &usage) < 0)
            {
                if (Marshal.GetLastPInvokeError() != EINTR)
                    throw new InvalidOperationException($"wait4: {Marshal.GetLastPInvokeErrorMessage()}");
            }

            var code = (status & 0x7f) == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f);
            return new(code, System.Diagnostics.Stopwatch.GetElapsedTime(begin), usage.Cpu);
        }
        finally
        {
            Free(argv);
            Free(envp);
            _ = posix_spawn_file_actions_destroy(actions);
        }
    }

    /// <summary>What the calling thread has used so far.</summary>
    public static TimeSpan ThreadCpu()
    {
        Usage usage;
        const int RUSAGE_THREAD = 1;
        return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.Cpu : throw new InvalidOperationException("getrusage");
    }

    private static void Check(int error)
    {
        if (error != 0)
            throw new InvalidOperationException($"posix_spawn: {Marshal.GetPInvokeErrorMessage(error)}");
    }

    private static byte** Texts(IReadOnlyList<string> texts)
    {
        var pointers = (byte**)NativeMemory.AllocZeroed((nuint)(texts.Count + 1), (nuint)sizeof(byte*));
        for (var i = 0; i < texts.Count; i++)
            pointers[i] = (byte*)Marshal.StringToCoTaskMemUTF8(texts[i]);
        return pointers;
    }

    private static void Free(byte** texts)
    {
        for (var text = texts; *text is not null; text++)
            Marshal.FreeCoTaskMem((nint)(*text));
        NativeMemory.Free(texts);
    }

    // struct rusage { struct timeval ru_utime, ru_stime; long … [14]; } with 64-bit members, as every 64-bit Linux has it.
    [StructLayout(LayoutKind.Sequential)]
    private struct Usage
    {
        private readonly long _userSeconds, _userMicroseconds, _systemSeconds, _systemMicroseconds;
        private fixed long _more[14];

        public readonly TimeSpan Cpu => TimeSpan.FromSeconds(_userSeconds + _systemSeconds) + TimeSpan.FromMicroseconds(_userMicroseconds + _systemMicroseconds);
    }

    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int posix_spawn(out int pid, string path, byte* actions, byte* attributes, byte** argv, byte** envp);

    [LibraryImport("libc")]
    private static partial int posix_spawn_file_actions_init(byte* actions);

    [LibraryImport("libc")]
    private static partial int posix_spawn_file_actions_destroy(byte* actions);

    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int posix_spawn_file_actions_addopen(byte* actions, int descriptor, string path, int flags, uint mode);

    [LibraryImport("libc")]
    private static partial int posix_spawn_file_actions_adddup2(byte* actions, int descriptor, int copy);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int wait4(int pid, int* status, int options, Usage* usage);

    [LibraryImport("libc")]
    private static partial int getrusage(int who, Usage* usage);
}
