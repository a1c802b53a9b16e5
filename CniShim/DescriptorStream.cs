using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Overlay.CniShim;

/// <summary>A file descriptor as a stream whose waiting ends: poll(2), then read(2) or write(2). The base library's own streams for this (Console, Socket) start a thread
/// for signals and an engine for events, which cost more than all that the plugin has to say.</summary>
/// <param name="descriptor">A file, a pipe or a socket; read and written where it stands.</param>
internal sealed class DescriptorStream(SafeFileHandle descriptor) : Stream
{
    // A pipe that is ready takes this much without blocking (PIPE_BUF, see pipe(7)).
    private const int MaxWrite = 4096;

    /// <summary>One of the three that every process begins with.</summary>
    /// <param name="number">0, 1 or 2.</param>
    public static DescriptorStream Standard(int number) => new(new(number, ownsHandle: false));

    /// <summary>Gives the numbers 0 to 2 to something that can neither be read nor written where the caller left them closed: else the next file that is opened
    /// would be taken for stdout.</summary>
    public static void KeepStandardNumbers()
    {
        for (var number = 0; number <= 2; number++)
        {
            if (Libc.fcntl(number, Libc.F_GETFD) < 0)
                Libc.open("/dev/null", Libc.O_RDONLY, 0).SetHandleAsInvalid(); // the lowest number that is free: this one, for as long as we live
        }
    }

    /// <summary>Whether a person types here.</summary>
    public bool IsTerminal => Libc.isatty(descriptor) == 1;

    /// <inheritdoc/>
    public override bool CanRead => true;

    /// <inheritdoc/>
    public override bool CanWrite => true;

    /// <inheritdoc/>
    public override bool CanSeek => false;

    /// <inheritdoc/>
    public override bool CanTimeout => true;

    /// <inheritdoc/>
    public override int ReadTimeout { get; set; } = Timeout.Infinite;

    /// <inheritdoc/>
    public override int WriteTimeout { get; set; } = Timeout.Infinite;

    /// <inheritdoc/>
    public override long Length => throw new NotSupportedException();

    /// <inheritdoc/>
    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    /// <summary>Reads what is there, and waits for the first byte.</summary>
    /// <returns>0 at the end.</returns>
    /// <exception cref="TimeoutException">Nothing came in <see cref="ReadTimeout"/>.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public override int Read(Span<byte> buffer)
    {
        var until = Until(ReadTimeout);
        while (true)
        {
            Wait(Libc.POLLIN, until);
            if (Libc.read(descriptor, buffer, buffer.Length) is >= 0 and var read)
                return (int)read;
            RequireTransient("read");
        }
    }

    /// <inheritdoc/>
    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    /// <summary>Writes all of it.</summary>
    /// <exception cref="TimeoutException">Nobody took it in <see cref="WriteTimeout"/>.</exception>
    /// <exception cref="IOException">It cannot be written: closed, full, or nobody reads.</exception>
    public override void Write(ReadOnlySpan<byte> buffer)
    {
        var until = Until(WriteTimeout);
        while (buffer.Length > 0)
        {
            Wait(Libc.POLLOUT, until);
            var written = Libc.write(descriptor, buffer, Math.Min(buffer.Length, MaxWrite));
            if (written >= 0)
                buffer = buffer[(int)written..];
            else
                RequireTransient("write");
        }
    }

    /// <inheritdoc/>
    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    /// <summary>Does nothing: nothing is kept back.</summary>
    public override void Flush()
    {
    }

    /// <inheritdoc/>
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override void SetLength(long value) => throw new NotSupportedException();

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        descriptor.Dispose();
        base.Dispose(disposing);
    }

    // Errors of the descriptor count as ready: the call that follows says which.
    private void Wait(short events, Deadline? until)
    {
        while (true)
        {
            var poll = new Libc.Pollfd { fd = (int)descriptor.DangerousGetHandle(), events = events };
            var ready = Libc.poll(ref poll, 1, until?.Milliseconds ?? -1);
            if (ready > 0)
                return;
            if (ready == 0)
                throw new TimeoutException();
            RequireTransient("poll");
        }
    }

    private static Deadline? Until(int milliseconds) => milliseconds < 0 ? null : Deadline.In(TimeSpan.FromMilliseconds(milliseconds));

    private static void RequireTransient(string operation)
    {
        if (Marshal.GetLastPInvokeError() is not (Libc.EINTR or Libc.EAGAIN))
            throw new IOException($"{operation}: {Libc.ErrorMessage}");
    }
}
