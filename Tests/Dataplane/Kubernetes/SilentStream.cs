namespace Overlay.Tests.Dataplane.Kubernetes;

/// <summary>A connection whose other end says nothing and does not close it.</summary>
internal sealed class SilentStream : MemoryStream
{
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        await Task.Delay(Timeout.Infinite, cancellationToken);
        return 0;
    }
}
