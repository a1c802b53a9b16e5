namespace Overlay.Tests.Dataplane.Kubernetes;

/// <summary>A body that comes in pieces of a given size, and may break off.</summary>
/// <param name="bytes">The body.</param>
/// <param name="piece">Bytes a read.</param>
/// <param name="breaks">Whether the connection breaks where the body ends.</param>
internal sealed class ChunkedStream(byte[] bytes, int piece, bool breaks = false) : Stream
{
    private int _position;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        var read = Math.Min(Math.Min(piece, buffer.Length), bytes.Length - _position);
        if (read == 0 && breaks)
            return ValueTask.FromException<int>(new IOException("Connection reset by peer"));
        bytes.AsSpan(_position, read).CopyTo(buffer.Span);
        _position += read;
        return ValueTask.FromResult(read);
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override void Flush() => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
}
