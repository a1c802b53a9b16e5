using System.Buffers;
using System.Text;
using System.Text.Json;

namespace Overlay.CniShim.Ipam;

/// <summary>What a child writes into a pipe, as it comes. Its end is no sign that the child has: a child of the child may hold the pipe open for ever.</summary>
internal sealed class ChildOutput
{
    private readonly ArrayBufferWriter<byte> collected = new();
    private readonly TaskCompletionSource document = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Begins to read.</summary>
    public ChildOutput(Stream pipe, CancellationToken stop) => Ended = CollectAsync(pipe, stop);

    /// <summary>Nobody can write any more.</summary>
    public Task Ended { get; }

    /// <summary>One JSON document is there as a whole, or nobody can write any more.</summary>
    public Task Document => Task.WhenAny(document.Task, Ended);

    /// <summary>What came so far.</summary>
    public string Text
    {
        get
        {
            lock (collected)
                return Encoding.UTF8.GetString(collected.WrittenSpan);
        }
    }

    private async Task CollectAsync(Stream pipe, CancellationToken stop)
    {
        var buffer = new byte[4096];
        while (await pipe.ReadAsync(buffer, stop).ConfigureAwait(false) is > 0 and var read)
        {
            lock (collected)
            {
                collected.Write(buffer.AsSpan(0, read));
                if (IsDocument(collected.WrittenSpan))
                    document.TrySetResult();
            }
        }
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
