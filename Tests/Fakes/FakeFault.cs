namespace Overlay.Tests.Fakes;

/// <summary>What goes wrong with an answer. Positions are in bytes of the body.</summary>
public abstract record FakeFault
{
    private FakeFault()
    {
    }

    /// <summary>Another answer.</summary>
    /// <param name="Code">HTTP status code.</param>
    /// <param name="RetryAfterSeconds">Header Retry-After, if any.</param>
    /// <param name="Body">The body; null for a Status object that tells of the code.</param>
    public sealed record Answer(int Code, int? RetryAfterSeconds = null, string? Body = null) : FakeFault;

    /// <summary>The connection is reset, with everything else that is under way on it.</summary>
    /// <param name="AfterBytes">Once the headers and so much of the body are sent; null: before anything is.</param>
    /// <param name="StreamOnly">Over HTTP/2, only the stream of this one answer: as when kube-apiserver fails within.</param>
    public sealed record Reset(int? AfterBytes = null, bool StreamOnly = false) : FakeFault;

    /// <summary>The body ends too early, in the regular way: only its content tells.</summary>
    public sealed record Truncate(int AfterBytes) : FakeFault;

    /// <summary>The server falls silent, with the connection open, until <see cref="FakeApiServer.Release"/>.</summary>
    /// <param name="AfterBytes">Once the headers and so much of the body are sent; null: before anything is.</param>
    public sealed record Silence(int? AfterBytes = null) : FakeFault;

    /// <summary>The body comes in small pieces, each in a TLS record and a chunk of its own: with one byte, every line and every character is cut wherever it can be.</summary>
    public sealed record Slow(int BytesPerWrite, TimeSpan Pause = default) : FakeFault;

    /// <summary>Every event of a watch comes twice.</summary>
    public sealed record Twice : FakeFault;
}
