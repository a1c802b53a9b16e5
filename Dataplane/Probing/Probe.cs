using System.Diagnostics;
using System.Net.Sockets;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Probing;

/// <summary>
/// One try of a way: an echo request of full size, one that is small, one on the underlay, until one is answered; and with the first the two datagrams that tell whether checksums that are left to a
/// device arrive. Asked again when only one of these was answered, since a datagram may be lost, and a kernel refuses six in a row and then one a second.
/// </summary>
internal sealed class Probe : IDisposable
{
    private const int TriesOfDatagrams = 3;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan BetweenDatagrams = TimeSpan.FromMilliseconds(1100);

    private readonly Dictionary<Family, ProbeSockets> _sockets = [];
    private readonly Dictionary<ushort, Question> _questions = []; // by the sequence number of their echo request
    private ushort _sequence;

    /// <summary>Opens the sockets.</summary>
    /// <exception cref="SocketException">They are refused.</exception>
    public Probe()
    {
        try
        {
            foreach (var family in FamilyFacts.Both)
            {
                if (ProbeSockets.Open(family) is { } sockets)
                    _sockets.Add(family, sockets);
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Takes in answers until cancelled.</summary>
    public async Task ReceiveAsync(CancellationToken stop) =>
        await Task.WhenAll([Task.Delay(Timeout.Infinite, stop), .. _sockets.Values.Select(sockets => sockets.ReceiveAsync((source, answer) => Hear(sockets, source, answer), stop))]).ConfigureAwait(false);

    /// <summary>Tries a way once. It takes up to six seconds.</summary>
    public async Task<ProbeOutcome> TryAsync(ProbeTarget target, CancellationToken stop)
    {
        var full = await AskAsync(target.Address, target.Mtu, Datagrams.AsTheyAre, stop).ConfigureAwait(false);
        if (!full.Echo)
        {
            var small = await AskAsync(target.Address, 0, Datagrams.None, stop).ConfigureAwait(false);
            var outer = !small.Echo && target.Outer != target.Address && (await AskAsync(target.Outer, 0, Datagrams.None, stop).ConfigureAwait(false)).Echo;
            return new(false, small.Echo, outer, Checksums.Unknown, small.RoundTrip);
        }

        var datagrams = full;
        for (var i = 1; i < TriesOfDatagrams && datagrams is { Made: true, Left: false }; i++)
        {
            await Task.Delay(BetweenDatagrams, stop).ConfigureAwait(false);
            datagrams = await AskAsync(target.Address, 0, i % 2 == 1 ? Datagrams.Swapped : Datagrams.AsTheyAre, stop).ConfigureAwait(false);
        }

        return new(true, true, true, (datagrams.Left, datagrams.Made) switch { (true, _) => Checksums.Right, (false, true) => Checksums.Wrong, _ => Checksums.Unknown }, full.RoundTrip);
    }

    /// <summary>Closes the sockets.</summary>
    public void Dispose()
    {
        foreach (var sockets in _sockets.Values)
            sockets.Dispose();
    }

    // Length 0: as short as it can be.
    private async Task<Question> AskAsync(InetAddress address, int length, Datagrams datagrams, CancellationToken stop)
    {
        var question = new Question(address, datagrams);
        if (!_sockets.TryGetValue(address.Family, out var sockets))
            return question;
        ushort sequence;
        lock (_questions)
            _questions[sequence = ++_sequence] = question;
        var taken = sockets.SendEcho(address, sequence, Math.Max(length, ProbePacket.HeaderLength(address.Family)));
        if (datagrams != Datagrams.None)
            sockets.SendDatagrams(address, datagrams == Datagrams.Swapped);
        if (taken)
            await Task.WhenAny(question.Answered, Task.Delay(Patience, stop)).ConfigureAwait(false);
        lock (_questions)
            _questions.Remove(sequence);
        stop.ThrowIfCancellationRequested();
        return question;
    }

    private void Hear(ProbeSockets sockets, InetAddress source, ProbeAnswer answer)
    {
        lock (_questions)
        {
            if (answer is ProbeAnswer.Echo echo && sockets.IsOurs(echo) && _questions.TryGetValue(echo.Sequence, out var asked) && asked.Address == source)
                asked.HearEcho();
            if (answer is not ProbeAnswer.Refused refused)
                return;
            foreach (var question in _questions.Values)
            {
                if (question.Address == source && question.Datagrams != Datagrams.None && sockets.IsLeft(refused, question.Datagrams == Datagrams.Swapped) is { } isLeft)
                    question.HearRefused(isLeft);
            }
        }
    }

    private enum Datagrams
    {
        None,
        AsTheyAre,
        Swapped,
    }

    // Answers come under the lock on all questions.
    private sealed class Question(InetAddress address, Datagrams datagrams)
    {
        private readonly TaskCompletionSource _answered = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly long _asked = Stopwatch.GetTimestamp();

        public InetAddress Address => address;

        public Datagrams Datagrams => datagrams;

        public Task Answered => _answered.Task;

        public bool Echo { get; private set; }

        public bool Left { get; private set; }

        public bool Made { get; private set; }

        public TimeSpan RoundTrip { get; private set; }

        public void HearEcho()
        {
            Echo = true;
            RoundTrip = Stopwatch.GetElapsedTime(_asked);
            Conclude();
        }

        public void HearRefused(bool isLeft)
        {
            Left |= isLeft;
            Made |= !isLeft;
            Conclude();
        }

        private void Conclude()
        {
            if (Echo && (datagrams == Datagrams.None || (Left && Made)))
                _answered.TrySetResult();
        }
    }
}
