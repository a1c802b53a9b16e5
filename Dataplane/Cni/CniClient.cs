using System.Buffers;
using System.Net.Sockets;
using Overlay.CniShim.Protocol;

namespace Overlay.Dataplane.Cni;

/// <summary>One connection: a line comes, an answer goes, the client closes. The server's thread receives; whoever has the answer sends it at once, as it nearly always fits into the socket's buffer.</summary>
/// <param name="socket">Not blocking.</param>
/// <param name="wake">Makes the server's thread look at this one again.</param>
internal sealed class CniClient(Socket socket, Action wake) : IDisposable
{
    private readonly Lock _gate = new();
    private readonly CancellationTokenSource _gone = new();
    private readonly ArrayBufferWriter<byte> _line = new(4096);
    private Stage _stage = Stage.Reading;
    private long _since = Environment.TickCount64;
    private ReadOnlyMemory<byte> _unsent;
    private Action? _undelivered;
    private bool _hasEnded, _isClean;

    private enum Stage
    {
        Reading,
        Waiting,
        Answered,
        Over,
    }

    /// <summary>Cancelled when the client ends before it has an answer.</summary>
    public CancellationToken Gone => _gone.Token;

    /// <summary>What poll(2) is to wait for.</summary>
    public Netlink.Libc.Pollfd Poll
    {
        get
        {
            lock (_gate)
            {
                var events = (_hasEnded ? 0 : Netlink.Libc.POLLIN) | (_unsent.IsEmpty ? 0 : Netlink.Libc.POLLOUT);
                return new() { Descriptor = events == 0 || _stage == Stage.Over ? -1 : (int)socket.Handle, Events = (short)events };
            }
        }
    }

    /// <summary>Whether there is nothing left to do but <see cref="Dispose"/>.</summary>
    public bool IsOver
    {
        get
        {
            lock (_gate)
                return _stage == Stage.Over;
        }
    }

    /// <summary>Does what the connection is ready for.</summary>
    /// <returns>The request, once it is whole, too long, or broken off: to be answered. Otherwise null.</returns>
    public ReadOnlyMemory<byte>? Proceed()
    {
        lock (_gate)
        {
            if (_stage == Stage.Reading)
                return Read();
            Send();
            ReceiveEnd();
            Settle();
            if (_stage != Stage.Waiting || !_hasEnded)
                return null;
        }

        _gone.Cancel();
        return null;
    }

    /// <summary>Answers, on any thread; never blocks.</summary>
    /// <param name="answer">A line.</param>
    /// <param name="undelivered">Called when it turns out that the client has not read all of it: then or later, on this or the server's thread.</param>
    public void Answer(ReadOnlyMemory<byte> answer, Action? undelivered = null)
    {
        bool isForServer;
        lock (_gate)
        {
            if (_stage != Stage.Waiting)
                return;
            (_stage, _since, _unsent, _undelivered) = (Stage.Answered, Environment.TickCount64, answer, undelivered);
            Send();
            Settle();
            isForServer = _stage == Stage.Over || !_unsent.IsEmpty;
        }

        if (isForServer)
            wake();
    }

    /// <summary>Gives up a client that has taken longer than <paramref name="deadline"/> to send its request or to take its answer.</summary>
    public void Expire(TimeSpan deadline)
    {
        lock (_gate)
        {
            if (_stage is not (Stage.Reading or Stage.Answered) || Environment.TickCount64 - _since < deadline.TotalMilliseconds)
                return;
            Break();
            Settle();
        }
    }

    /// <summary>There will be no answer.</summary>
    public void Drop()
    {
        lock (_gate)
            _stage = Stage.Over;
        wake();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            _stage = Stage.Over;
            socket.Dispose();
        }

        _gone.Cancel();
        _gone.Dispose();
    }

    private ReadOnlyMemory<byte>? Read()
    {
        var read = socket.Receive(_line.GetSpan(4096), SocketFlags.None, out var error);
        if (error == SocketError.WouldBlock)
            return null;
        if (error != SocketError.Success)
        {
            _stage = Stage.Over;
            return null;
        }

        _line.Advance(read);
        if (read > 0 && _line.WrittenSpan[^1] != '\n' && _line.WrittenCount <= AgentRequest.MaxLength)
            return null;
        _stage = Stage.Waiting;
        return _line.WrittenMemory;
    }

    // A client that waits sends nothing more, so its end is whatever can be received next. ECONNRESET (unix(7): closed with unread bytes) says that it has not read everything.
    private void ReceiveEnd()
    {
        if (_hasEnded)
            return;
        Span<byte> one = stackalloc byte[1];
        var read = socket.Receive(one, SocketFlags.None, out var error);
        if (error != SocketError.WouldBlock)
            (_hasEnded, _isClean) = (true, error == SocketError.Success && read == 0);
    }

    // To one that has ended nothing can be sent (EPIPE).
    private void Send()
    {
        while (!_unsent.IsEmpty)
        {
            var sent = socket.Send(_unsent.Span, SocketFlags.None, out var error);
            if (error == SocketError.WouldBlock)
                return;
            if (error == SocketError.Success)
                _unsent = _unsent[sent..];
            else
                Break();
        }
    }

    private void Break() => (_unsent, _hasEnded, _isClean) = (default, true, false);

    // The client's clean end says that it has read everything.
    private void Settle()
    {
        if (!_hasEnded || !_unsent.IsEmpty || _stage is not (Stage.Reading or Stage.Answered))
            return;
        _stage = Stage.Over;
        if (!_isClean)
            _undelivered?.Invoke();
    }
}
