
namespace Overlay.Dataplane.Netlink;

/// <summary>Turns a reply into rows: none, one, or several (a message of set elements).</summary>
public delegate void NetlinkCollector<T>(NetlinkMessage message, List<T> rows);

/// <summary>
/// A netlink socket for requests and their answers. It stays in the network namespace it was opened in, whatever its user does later
/// (<see cref="Netns.Run{T}"/>). Calls are synchronous: the kernel does the work inside <c>sendmsg</c>, in microseconds, and the answers
/// are queued when it returns. Not for use by two threads at once. Notifications have a socket of their own.
/// </summary>
public sealed class NetlinkSocket : IDisposable
{
    private const int DumpAttempts = 10;

    // Acknowledgements are queued while the batch is being worked through, about 1.3 kB of receive buffer each; what does not fit is lost.
    private const int MessagesPerDatagram = 256;
    private const int ReceiveBuffer = 1 << 20;

    private readonly INetlinkEndpoint _endpoint;
    private readonly HashSet<uint> _awaited = [];
    private uint _sequence = (uint)Environment.TickCount;

    /// <summary>A socket over an endpoint, which it disposes.</summary>
    internal NetlinkSocket(INetlinkEndpoint endpoint) => _endpoint = endpoint;

    /// <summary>The family it speaks.</summary>
    public NetlinkProtocol Protocol => _endpoint.Protocol;

    /// <summary>How many messages it has sent, and how many bytes they were.</summary>
    internal (long Messages, long Bytes) Sent { get; private set; }

    /// <summary>Opens a socket in the calling thread's network namespace.</summary>
    /// <param name="protocol">The family.</param>
    /// <param name="timeout">How long an answer may take, 10 s when not given; it never does, but nothing may hang.</param>
    /// <exception cref="NetlinkException">The kernel has no such family, or there are no descriptors left.</exception>
    public static NetlinkSocket Open(NetlinkProtocol protocol, TimeSpan? timeout = null)
    {
        var endpoint = NetlinkEndpoint.Open(protocol);
        endpoint.SetReceiveBuffer(ReceiveBuffer);
        endpoint.SetReceiveTimeout(timeout ?? TimeSpan.FromSeconds(10));
        return new(endpoint);
    }

    /// <summary>A number for the next message of this socket; never 0, which is what notifications carry.</summary>
    public uint NextSequence() => ++_sequence == 0 ? ++_sequence : _sequence;

    /// <summary>Raises the receive buffer; the kernel counts about 1.3 kB for each queued acknowledgement.</summary>
    public void SetReceiveBuffer(int bytes) => _endpoint.SetReceiveBuffer(bytes);

    /// <summary>Raises the send buffer. Rarely needed: a datagram that does not fit raises it itself.</summary>
    public void SetSendBuffer(int bytes) => _endpoint.SetSendBuffer(bytes);

    /// <summary>Sends messages that carry NLM_F_ACK.</summary>
    /// <param name="messages">One message or several, in the order of their sequence numbers.</param>
    /// <param name="operation">What they do, for the exception.</param>
    /// <exception cref="NetlinkException">The first message refused; those after it were tried all the same.</exception>
    public void Request(NetlinkWriter messages, string operation)
    {
        var failures = Batch(messages);
        if (failures.Count > 0)
            throw failures[0].ToException(operation);
    }

    /// <summary>
    /// Sends messages, at least one with NLM_F_ACK, and returns those refused, in the kernel's order. rtnetlink's messages are independent
    /// of each other and are spread over as many datagrams as their acknowledgements need; an nfnetlink batch is one transaction and
    /// goes as one datagram, of which only the last message should ask for an acknowledgement (errors come for all).
    /// </summary>
    /// <exception cref="NetlinkException">No answer at all came (ETIMEDOUT), or the datagram was refused.</exception>
    public IReadOnlyList<NetlinkFailure> Batch(NetlinkWriter messages)
    {
        List<NetlinkFailure>? failures = null;
        var rest = messages.Written;
        while (!rest.IsEmpty)
        {
            var length = Protocol == NetlinkProtocol.NETLINK_ROUTE ? LengthOf(rest, MessagesPerDatagram) : rest.Length;
            Exchange(rest[..length], ref failures);
            rest = rest[length..];
        }
        return failures ?? (IReadOnlyList<NetlinkFailure>)[];
    }

    /// <summary>
    /// Sends one question and collects the rows of its answer: a dump (NLM_F_DUMP), repeated when what is dumped changed meanwhile, or the
    /// answer to a single GET, which must carry NLM_F_ACK.
    /// </summary>
    /// <param name="question">One message.</param>
    /// <param name="collect">Reads one reply; best a static lambda or method.</param>
    /// <param name="operation">What is asked, for the exception.</param>
    /// <exception cref="NetlinkException">The kernel refused; or the dump was interrupted ten times (EINTR); or no answer (ETIMEDOUT).</exception>
    /// <exception cref="NetlinkFormatException">What came is not netlink.</exception>
    public List<T> Query<T>(NetlinkWriter question, NetlinkCollector<T> collect, string operation)
    {
        var sequence = FirstOf(question.Written).Sequence;
        for (var attempt = 0; attempt < DumpAttempts; attempt++)
        {
            Sent = (Sent.Messages + 1, Sent.Bytes + question.Length);
            _endpoint.Send(question.Written, operation);
            var rows = new List<T>();
            if (CollectAnswer(sequence, collect, rows, operation))
                return rows;
        }
        throw new NetlinkException(Errno.EINTR, operation, $"the dump was interrupted by changes {DumpAttempts} times");
    }

    /// <summary>ioctl(2), which for devices is the same on every socket of their namespace; -1 with errno set when it fails.</summary>
    internal int Ioctl(nuint request, ref Libc.Ifreq argument) => Libc.ioctl(_endpoint.Handle, request, ref argument);

    /// <summary>Closes the socket.</summary>
    public void Dispose() => _endpoint.Dispose();

    // Reads to the end even when a reply cannot be read: what stays queued would be in the way of the next question. False: ask again.
    private bool CollectAnswer<T>(uint sequence, NetlinkCollector<T> collect, List<T> rows, string operation)
    {
        NetlinkFormatException? malformed = null;
        var whole = true;
        while (true)
        {
            var errno = _endpoint.Receive(wait: true, out var datagram);
            if (errno == Errno.EAGAIN)
                throw new NetlinkException(Errno.ETIMEDOUT, operation, "the kernel did not answer");
            if (errno is Errno.ENOBUFS or Errno.EMSGSIZE)
            {
                whole = false;
                continue;
            }
            if (errno != Errno.None)
                throw new NetlinkException(errno, operation);
            foreach (var message in new NetlinkMessages(datagram.Span))
            {
                if (message.Sequence != sequence)
                    continue;
                whole &= ((NlmF)message.Flags & NlmF.NLM_F_DUMP_INTR) == 0;
                if ((NlmsgType)message.Type is NlmsgType.NLMSG_ERROR or NlmsgType.NLMSG_DONE)
                    return malformed is not null ? throw malformed
                        : NetlinkAcknowledgement.Read(message) is { } failure ? Interrupted(failure, operation)
                        : whole;
                try
                {
                    collect(message, rows);
                }
                catch (NetlinkFormatException exception)
                {
                    malformed ??= exception;
                }
            }
        }
    }

    private static bool Interrupted(NetlinkFailure failure, string operation) =>
        failure.Errno == Errno.EINTR ? false : throw failure.ToException(operation);

    private void Exchange(ReadOnlySpan<byte> datagram, ref List<NetlinkFailure>? failures)
    {
        Await(datagram);
        _endpoint.Send(datagram, "netlink batch");
        var first = FirstOf(datagram).Sequence;
        var overrun = false;
        var failed = 0;
        for (var answered = false; _awaited.Count > 0; answered = true)
        {
            var errno = _endpoint.Receive(wait: !answered, out var received);
            if (errno == Errno.EAGAIN && answered)
                break;
            if (errno == Errno.EAGAIN)
                throw new NetlinkException(Errno.ETIMEDOUT, "netlink batch", "the kernel did not answer");
            if (errno is not (Errno.None or Errno.ENOBUFS or Errno.EMSGSIZE))
                throw new NetlinkException(errno, "netlink batch");
            overrun |= errno != Errno.None;
            foreach (var message in new NetlinkMessages(received.Span))
            {
                // Answers of an earlier, abandoned request have smaller numbers; unsigned distance survives the wrap.
                if ((NlmsgType)message.Type != NlmsgType.NLMSG_ERROR || message.Sequence - first > int.MaxValue)
                    continue;
                _awaited.Remove(message.Sequence);
                if (NetlinkAcknowledgement.Read(message) is not { } failure)
                    continue;
                (failures ??= []).Add(failure);
                failed++;
            }
        }

        // A transaction that was aborted acknowledges nothing past its errors; otherwise the acknowledgement is lost and the outcome unknown.
        if (overrun || failed == 0)
            foreach (var sequence in _awaited)
                (failures ??= []).Add(new(sequence, Errno.ENOBUFS, "the acknowledgement was lost, so it is unknown whether the change was made", null));
    }

    private void Await(ReadOnlySpan<byte> datagram)
    {
        _awaited.Clear();
        var count = 0;
        foreach (var message in new NetlinkMessages(datagram))
        {
            count++;
            if (((NlmF)message.Flags & NlmF.NLM_F_ACK) != 0)
                _awaited.Add(message.Sequence);
        }

        Sent = (Sent.Messages + count, Sent.Bytes + datagram.Length);
        if (_awaited.Count == 0)
            throw new InvalidOperationException("A netlink batch of which no message has NLM_F_ACK would be waited for in vain.");
    }

    private static NetlinkMessage FirstOf(ReadOnlySpan<byte> datagram)
    {
        var messages = new NetlinkMessages(datagram);
        return messages.MoveNext() ? messages.Current : throw new InvalidOperationException("There is no netlink message to send.");
    }

    private static int LengthOf(ReadOnlySpan<byte> messages, int count)
    {
        var length = 0;
        for (; count > 0 && length < messages.Length; count--)
            length += (BitConverter.ToInt32(messages[length..]) + 3) & ~3;
        return Math.Min(length, messages.Length);
    }
}
