using System.Buffers;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Microsoft.Win32.SafeHandles;

namespace Overlay.CniShim.Ipam;

/// <summary>What came of a program.</summary>
/// <param name="ExitCode">0 to 255; 128 and the signal's number when one ended it.</param>
/// <param name="Stdout">What it has written there; of more than one JSON document perhaps not all.</param>
/// <param name="Stderr">The same.</param>
internal readonly record struct ChildOutcome(int ExitCode, string Stdout, string Stderr);

/// <summary>Runs a program by posix_spawn(3), with pipes of its own. The base library's class for this brings sockets and tracing with it, which cost every call of the plugin a tenth,
/// and hardly any call runs a program.</summary>
internal static class ChildProgram
{
    // A pipe that is ready takes this much without blocking (PIPE_BUF, see pipe(7)).
    private const int MaxWrite = 4096;

    /// <summary>Runs it to its end, which is not that of its output: a child of it may hold the pipes open for ever.</summary>
    /// <param name="path">The program's file.</param>
    /// <param name="environment">All of its environment: <c>NAME=VALUE</c>.</param>
    /// <param name="input">What it reads; it need not.</param>
    /// <param name="hasResult">Whether success too is told by a JSON document on stdout.</param>
    /// <param name="deadline">When it is ended, with its children.</param>
    /// <returns>Null when it had to be ended.</returns>
    /// <exception cref="IOException">It cannot be run.</exception>
    public static ChildOutcome? Run(string path, IReadOnlyList<string> environment, ReadOnlyMemory<byte> input, bool hasResult, Deadline deadline)
    {
        var (childStdin, stdin) = Pipe();
        var (stdout, childStdout) = Pipe();
        var (stderr, childStderr) = Pipe();
        var (ended, ending) = Pipe();
        using var talk = new Conversation(stdin, stdout, stderr, ended, input);
        int pid;
        using (childStdin)
        using (childStdout)
        using (childStderr)
        {
            try
            {
                pid = Spawn(path, environment, [childStdin, childStdout, childStderr]);
            }
            catch
            {
                ending.Dispose();
                throw;
            }
        }

        var status = 0;
        var waiter = new Thread(() =>
        {
            while (Libc.waitpid(pid, out status, 0) < 0 && Marshal.GetLastPInvokeError() == Libc.EINTR)
            {
                // a signal of the runtime's
            }

            ending.Dispose();
        })
        { IsBackground = true };
        waiter.Start();
        if (!talk.AwaitEnd(deadline))
        {
            _ = Libc.kill(-pid, Libc.SIGKILL); // it leads a process group
            return null;
        }

        waiter.Join();
        var exitCode = (status & 0x7f) == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f);
        talk.Finish(needsDocument: hasResult || exitCode != 0, deadline);
        return new(exitCode, talk.Stdout, talk.Stderr);
    }

    private static (SafeFileHandle Read, SafeFileHandle Write) Pipe()
    {
        Span<int> ends = stackalloc int[2];
        return Libc.pipe2(ends, Libc.O_CLOEXEC) == 0 ? (new(ends[0], ownsHandle: true), new(ends[1], ownsHandle: true)) : throw Libc.Failure("pipe for", "a program");
    }

    private static int Spawn(string path, IReadOnlyList<string> environment, ReadOnlySpan<SafeFileHandle> standard)
    {
        // larger than posix_spawn_file_actions_t, posix_spawnattr_t and sigset_t of any libc
        Span<nint> actions = stackalloc nint[64], attributes = stackalloc nint[64], signals = stackalloc nint[32];
        signals.Clear();
        signals[0] = 1 << (Libc.SIGPIPE - 1); // ours is ignored, and that would be inherited
        _ = Libc.posix_spawn_file_actions_init(actions);
        _ = Libc.posix_spawnattr_init(attributes);
        for (var number = 0; number < standard.Length; number++)
            _ = Libc.posix_spawn_file_actions_adddup2(actions, standard[number], number);
        _ = Libc.posix_spawnattr_setsigdefault(attributes, signals);
        _ = Libc.posix_spawnattr_setflags(attributes, Libc.POSIX_SPAWN_SETPGROUP | Libc.POSIX_SPAWN_SETSIGDEF);
        var error = Libc.posix_spawn(out var pid, path, actions, attributes, [path, null], [.. environment, null]);
        _ = Libc.posix_spawn_file_actions_destroy(actions);
        _ = Libc.posix_spawnattr_destroy(attributes);
        return error == 0 ? pid : throw new IOException(Marshal.GetPInvokeErrorMessage(error));
    }

    /// <summary>Our ends of the pipes.</summary>
    private sealed class Conversation(SafeFileHandle stdin, SafeFileHandle stdout, SafeFileHandle stderr, SafeFileHandle ended, ReadOnlyMemory<byte> input) : IDisposable
    {
        private readonly SafeFileHandle[] ends = [stdin, stdout, stderr, ended];
        private readonly ArrayBufferWriter<byte>[] collected = [new(), new()];
        private ReadOnlyMemory<byte> rest = input;

        public string Stdout => Encoding.UTF8.GetString(collected[0].WrittenSpan);

        public string Stderr => Encoding.UTF8.GetString(collected[1].WrittenSpan);

        /// <summary>Writes and reads until the program has ended.</summary>
        /// <returns>False: not in time.</returns>
        public bool AwaitEnd(Deadline deadline)
        {
            while (!ended.IsClosed)
            {
                if (deadline.Passed || !Step(deadline.Milliseconds))
                    return false;
            }

            return true;
        }

        /// <summary>Reads what there still is, and when a document is needed until one is there as a whole, or nobody can write any more.</summary>
        public void Finish(bool needsDocument, Deadline deadline)
        {
            while (!deadline.Passed)
            {
                var isEnough = !needsDocument || stdout.IsClosed || IsDocument(collected[0].WrittenSpan);
                if (!Step(isEnough ? 0 : deadline.Milliseconds) && isEnough)
                    return;
            }
        }

        public void Dispose() => Array.ForEach(ends, end => end.Dispose());

        // Waits until one of the pipes is ready, then does what it is ready for; false when none is.
        private bool Step(int milliseconds)
        {
            Span<Libc.Pollfd> polls = stackalloc Libc.Pollfd[ends.Length];
            for (var i = 0; i < ends.Length; i++)
                polls[i] = new() { fd = ends[i].IsClosed ? -1 : (int)ends[i].DangerousGetHandle(), events = ends[i] == stdin ? Libc.POLLOUT : Libc.POLLIN };
            if (Libc.poll(ref polls[0], (nuint)polls.Length, milliseconds) is var ready && ready <= 0)
                return ready < 0 && Marshal.GetLastPInvokeError() == Libc.EINTR;
            for (var i = 0; i < ends.Length; i++)
            {
                if (polls[i].revents != 0 && !(ends[i] == stdin ? Write() : Read(ends[i], i - 1)))
                    ends[i].Dispose();
            }

            return true;
        }

        // It need not read: what it says counts.
        private bool Write()
        {
            var written = rest.Length == 0 ? 0 : Libc.write(stdin, rest.Span, Math.Min(rest.Length, MaxWrite));
            rest = rest[(int)Math.Max(written, 0)..];
            return rest.Length > 0 && (written > 0 || Marshal.GetLastPInvokeError() == Libc.EINTR);
        }

        private bool Read(SafeFileHandle end, int number)
        {
            Span<byte> buffer = stackalloc byte[4096];
            var read = Libc.read(end, buffer, buffer.Length);
            if (read > 0)
                collected[number].Write(buffer[..(int)read]);
            return read > 0 || (read < 0 && Marshal.GetLastPInvokeError() == Libc.EINTR);
        }

        private static bool IsDocument(ReadOnlySpan<byte> text)
        {
            try
            {
                var reader = new Utf8JsonReader(text, isFinalBlock: false, default);
                return reader.Read() && reader.TrySkip();
            }
            catch (JsonException)
            {
                return false;
            }
        }
    }
}
