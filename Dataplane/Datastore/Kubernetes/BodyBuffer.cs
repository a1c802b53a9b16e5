using System.Buffers;

namespace Overlay.Dataplane.Datastore.Kubernetes;

/// <summary>The part of a response's body that has come and is not used yet: grows to the largest piece that has to be in one, no further.</summary>
/// <param name="body">Where it comes from.</param>
/// <param name="idle">How long the other end may be silent.</param>
internal sealed class BodyBuffer(Stream body, TimeSpan idle) : IDisposable
{
    private const int Smallest = 64 * 1024;
    private const int Largest = 64 * 1024 * 1024;

    private byte[] _buffer = ArrayPool<byte>.Shared.Rent(Smallest);
    private int _start;
    private int _end;

    /// <summary>What is there.</summary>
    public ReadOnlyMemory<byte> Unused => _buffer.AsMemory(_start, _end - _start);

    /// <summary>This much of it is done with.</summary>
    public void Use(int bytes) => _start += bytes;

    /// <summary>Gets more; what is there stays there, elsewhere in memory.</summary>
    /// <returns>False at the end of the body.</returns>
    /// <exception cref="IOException">The other end is silent for too long, or has left.</exception>
    public async ValueTask<bool> FillAsync(CancellationToken cancellation)
    {
        if (_start == _end)
            (_start, _end) = (0, 0);
        if (_end == _buffer.Length)
            MakeRoom();
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(idle);
        try
        {
            var read = await body.ReadAsync(_buffer.AsMemory(_end), deadline.Token).ConfigureAwait(false);
            _end += read;
            return read > 0;
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new IOException($"nothing came for {idle.TotalSeconds:0} s");
        }
    }

    /// <inheritdoc/>
    public void Dispose() => ArrayPool<byte>.Shared.Return(_buffer);

    private void MakeRoom()
    {
        var used = _end - _start;
        if (used <= _buffer.Length / 2)
        {
            _buffer.AsSpan(_start, used).CopyTo(_buffer);
        }
        else
        {
            if (_buffer.Length >= Largest)
                throw new IOException($"an object is longer than {Largest} bytes");
            var larger = ArrayPool<byte>.Shared.Rent(_buffer.Length * 2);
            _buffer.AsSpan(_start, used).CopyTo(larger);
            ArrayPool<byte>.Shared.Return(_buffer);
            _buffer = larger;
        }

        (_start, _end) = (0, used);
    }
}
