using System.Text;
using System.Threading.Channels;

namespace Overlay.Tests.Fakes;

/// <summary>One running watch: what is still to be written to it, in order.</summary>
internal sealed class FakeWatch(FakeKind kind, string? ns, bool wantsBookmarks, Action reset)
{
    private readonly Channel<byte[]> _lines = Channel.CreateUnbounded<byte[]>(new() { SingleReader = true });

    /// <summary>What it watches.</summary>
    public FakeKind Kind => kind;

    /// <summary>The lines; they end when the watch is to end.</summary>
    public ChannelReader<byte[]> Lines => _lines.Reader;

    /// <summary>Writes the change, if it is of the kind and in the namespace.</summary>
    public void Send(StoredVersion version)
    {
        if (version.Kind == kind && version.IsIn(ns))
            _lines.Writer.TryWrite(version.Line);
    }

    /// <summary>Writes a bookmark, if the client asked for them.</summary>
    public void SendBookmark(long revision)
    {
        if (!wantsBookmarks)
            return;
        var (created, blank) = kind.Blank is { } members ? (",\"creationTimestamp\":null", $",{members.Trim()}") : ("", "");
        Send("{\"type\":\"BOOKMARK\",\"object\":{" + $"\"kind\":\"{kind.Kind}\",\"apiVersion\":\"{kind.ApiVersion}\",\"metadata\":{{\"resourceVersion\":\"{revision}\"{created}}}{blank}" + "}}");
    }

    /// <summary>Writes any line.</summary>
    public void Send(string line) => _lines.Writer.TryWrite(Encoding.UTF8.GetBytes(line + "\n"));

    /// <summary>Resets its connection.</summary>
    public void Reset() => reset();

    /// <summary>Ends the stream as a server does that is done with it, after what is written.</summary>
    public void End() => _lines.Writer.TryComplete();
}
