using System.Diagnostics;
using System.Net.Sockets;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Probing;

/// <summary>
/// One try of a way: an echo request of full size; when it is not answered, a few more rounds of one of full size and a small one, since packets get lost, and at last one on the underlay. With the first go two
/// datagrams, which tell whether checksums that are left to a device arrive; where only the other is refused they are sent a few times more, no more than a kernel refuses in a second.
/// </summary>
internal sealed class Probe : IDisposable
{
    private const int Pairs = 6;
    private const int Rounds = 4;
    private const int RoundsOfSilence = 2;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan PatienceAfterEcho = TimeSpan.FromMilliseconds(300);
    private static readonly TimeSpan BetweenPairs = TimeSpan.FromMilliseconds(700);

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

    /// <summary>Tries a way once. It takes up to seven seconds.</summary>
    public async Task<ProbeOutcome> TryAsync(ProbeTarget target, CancellationToken stop)
    {
        var full = await AskAsync(target.Address, target.Mtu, Datagrams.AsTheyAre, stop).ConfigureAwait(false);
        if (full.Echo)
            return await PairAsync(target, full, stop).ConfigureAwait(false);
        var answered = full.Left || full.Made;
        Question? small = null;
        for (var i = 1; i <= Rounds && (i <= RoundsOfSilence || small is not null); i++)
        {
            var questions = await Task.WhenAll(AskAsync(target.Address, target.Mtu, Datagrams.None, stop), AskAsync(target.Address, 0, i == 1 ? Datagrams.Swapped : Datagrams.None, stop)).ConfigureAwait(false);
            if (questions[0].Echo)
                return ProbeOutcome.Reached(questions[0].RoundTrip);
            answered |= questions[1].Left || questions[1].Made;
            if (questions[1].Echo)
                small = questions[1];
        }

        // A node that refuses datagrams is there, and answers no echo requests: of what size packets may be it tells nothing.
        if (small is null && answered)
            return ProbeOutcome.Reached(TimeSpan.Zero);
        var outer = small is null && target.Outer != target.Address && (await AskAsync(target.Outer, 0, Datagrams.None, stop).ConfigureAwait(false)).Echo;
        return new(false, small is not null, outer, false, 0, small?.RoundTrip ?? TimeSpan.Zero);
    }

    private async Task<ProbeOutcome> PairAsync(ProbeTarget target, Question first, CancellationToken stop)
    {
        var (left, broken) = (first.Left, first is { Made: true, Left: false } ? 1 : 0);
        for (var i = 1; i < Pairs && broken > 0 && !left; i++)
        {
            await Task.Delay(BetweenPairs, stop).ConfigureAwait(false);
            var next = await AskAsync(target.Address, 0, i % 2 == 1 ? Datagrams.Swapped : Datagrams.AsTheyAre, stop).ConfigureAwait(false);
            left |= next.Left;
            broken += next is { Made: true, Left: false } ? 1 : 0;
        }

        return ProbeOutcome.Reached(first.RoundTrip) with { Left = left, Broken = broken };
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
            await Task.WhenAny(question.EchoHeard, Task.Delay(Patience, stop)).ConfigureAwait(false);
        if (question.Echo)
            await Task.WhenAny(question.Answered, Task.Delay(PatienceAfterEcho, stop)).ConfigureAwait(false);
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
        private readonly TaskCompletionSource _echo = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly long _asked = Stopwatch.GetTimestamp();

        public InetAddress Address => address;

        public Datagrams Datagrams => datagrams;

        public Task EchoHeard => _echo.Task;

        public Task Answered => _answered.Task;

        public bool Echo { get; private set; }

        public bool Left { get; private set; }

        public bool Made { get; private set; }

        public TimeSpan RoundTrip { get; private set; }

        public void HearEcho()
        {
            Echo = true;
            RoundTrip = Stopwatch.GetElapsedTime(_asked);
            _echo.TrySetResult();
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
