namespace Overlay.Tests.Fakes;

/// <summary>The body of an answer on its way to the client, with something going wrong.</summary>
/// <param name="body">The real one.</param>
/// <param name="fault">What goes wrong.</param>
/// <param name="reset">Resets the connection.</param>
/// <param name="released">Ends silence.</param>
internal sealed class FaultyBody(Stream body, FakeFault fault, Action reset, Task released) : Stream
{
    // Bytes until it happens; null: it has, or never will.
    private int? _left = fault switch
    {
        FakeFault.Reset reset => reset.AfterBytes,
        FakeFault.Truncate truncate => truncate.AfterBytes,
        FakeFault.Silence silence => silence.AfterBytes,
        _ => null,
    };

    /// <inheritdoc/>
    public override bool CanRead => false;

    /// <inheritdoc/>
    public override bool CanSeek => false;

    /// <inheritdoc/>
    public override bool CanWrite => true;

    /// <inheritdoc/>
    public override long Length => throw new NotSupportedException();

    /// <inheritdoc/>
    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <inheritdoc/>
    /// <exception cref="EndOfStreamException">Nothing more is to be written.</exception>
    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (_left is { } left && buffer.Length >= left)
        {
            await PassAsync(buffer[..left], cancellationToken);
            buffer = buffer[left..];
            await FailAsync(cancellationToken);
        }

        foreach (var piece in Pieces(buffer))
            await PassAsync(piece, cancellationToken);
    }

    /// <inheritdoc/>
    public override async Task FlushAsync(CancellationToken cancellationToken)
    {
        await body.FlushAsync(cancellationToken);
        if (_left == 0)
            await FailAsync(cancellationToken);
    }

    /// <inheritdoc/>
    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) => WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    /// <inheritdoc/>
    public override void Flush() => throw new NotSupportedException();

    /// <inheritdoc/>
    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override void SetLength(long value) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    private IEnumerable<ReadOnlyMemory<byte>> Pieces(ReadOnlyMemory<byte> buffer)
    {
        var size = fault is FakeFault.Slow slow ? slow.BytesPerWrite : Math.Max(1, buffer.Length);
        for (var copy = 0; copy < (fault is FakeFault.Twice ? 2 : 1); copy++)
        {
            for (var start = 0; start < buffer.Length; start += size)
                yield return buffer[start..Math.Min(start + size, buffer.Length)];
        }
    }

    private async Task PassAsync(ReadOnlyMemory<byte> piece, CancellationToken cancellationToken)
    {
        await body.WriteAsync(piece, cancellationToken);
        await body.FlushAsync(cancellationToken);
        _left -= piece.Length;
        if (fault is FakeFault.Slow { Pause: var pause } && pause > TimeSpan.Zero)
            await Task.Delay(pause, cancellationToken);
    }

    private async Task FailAsync(CancellationToken cancellationToken)
    {
        _left = null;
        if (fault is FakeFault.Silence)
        {
            await released.WaitAsync(cancellationToken);
            return;
        }

        if (fault is FakeFault.Reset)
            reset();
        throw new EndOfStreamException();
    }
}
