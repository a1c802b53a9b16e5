using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Overlay.Dataplane.Netlink;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Cli.Demo;

/// <summary>Measures a <see cref="ReachabilityMatrix"/> with real connections and datagrams.</summary>
/// <param name="sources">Where each sender's sockets are opened.</param>
/// <param name="destinations">Addresses of each receiver.</param>
internal sealed class Prober(IReadOnlyDictionary<string, Netns> sources, IReadOnlyDictionary<string, EquatableArray<InetAddress>> destinations)
{
    // What should be answered may take its time on a busy machine, two retransmissions of a SYN among it; what should not be is given up soon,
    // for all of it is waited for together.
    private static readonly TimeSpan PatienceForAnswer = TimeSpan.FromSeconds(4);
    private static readonly TimeSpan PatienceForSilence = TimeSpan.FromSeconds(0.7);
    private static readonly TimeSpan Resend = TimeSpan.FromSeconds(0.2);

    /// <summary>Measures until it comes out as asked, at most for <paramref name="bound"/> and one last measurement.</summary>
    /// <param name="asked">What should be answered.</param>
    /// <param name="bound">How long a change may take to reach all nodes.</param>
    /// <param name="cancellation">Stops it.</param>
    /// <returns>The last measurement.</returns>
    public async Task<ReachabilityMatrix> MeasureUntilAsync(ReachabilityMatrix asked, TimeSpan bound, CancellationToken cancellation)
    {
        var deadline = DateTime.UtcNow + bound;
        while (true)
        {
            var isLast = DateTime.UtcNow >= deadline;
            var measured = await MeasureAsync(asked, cancellation);
            if (isLast || !measured.DifferencesTo(asked).Any())
                return measured;
        }
    }

    private async Task<ReachabilityMatrix> MeasureAsync(ReachabilityMatrix asked, CancellationToken cancellation)
    {
        var answered = new ConcurrentBag<Probe>();
        await Task.WhenAll(asked.Probes.Select(async probe =>
        {
            if (await IsAnsweredAsync(probe, asked[probe] ? PatienceForAnswer : PatienceForSilence, cancellation))
                answered.Add(probe);
        }));
        return asked.Of(answered);
    }

    private async Task<bool> IsAnsweredAsync(Probe probe, TimeSpan patience, CancellationToken cancellation)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(patience);
        try
        {
            while (true)
            {
                if (await AskAsync(probe, deadline.Token) is { } answer)
                    return answer == probe.To;
                await Task.Delay(Resend, deadline.Token);
            }
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            return false;
        }
    }

    // Null: refused, unreachable or broken off, which may pass.
    private async Task<string?> AskAsync(Probe probe, CancellationToken deadline)
    {
        var port = DemoScenario.Ports[probe.Port];
        var to = new IPEndPoint(destinations[probe.To].Single(address => address.Family == probe.Family).ToIPAddress(), port.Number);
        using var socket = sources[probe.From].Run(() => DemoListener.Open(probe.Family, port.Protocol));
        try
        {
            await socket.ConnectAsync(to, deadline);
            return port.Protocol == IpProtocol.Tcp ? await ReadAsync(socket, deadline) : await ExchangeAsync(socket, deadline);
        }
        catch (SocketException)
        {
            return null;
        }
    }

    private static async Task<string?> ReadAsync(Socket socket, CancellationToken deadline)
    {
        var answer = new byte[DemoListener.AnswerLength];
        var length = 0;
        while (length < answer.Length && await socket.ReceiveAsync(answer.AsMemory(length), deadline) is var read and not 0)
            length += read;
        return length == answer.Length ? Encoding.ASCII.GetString(answer).TrimEnd() : null;
    }

    private static async Task<string?> ExchangeAsync(Socket socket, CancellationToken deadline)
    {
        var answer = new byte[DemoListener.AnswerLength];
        using var soon = CancellationTokenSource.CreateLinkedTokenSource(deadline);
        soon.CancelAfter(Resend);
        await socket.SendAsync(new byte[1], deadline);
        try
        {
            return Encoding.ASCII.GetString(answer, 0, await socket.ReceiveAsync(answer, soon.Token));
        }
        catch (OperationCanceledException) when (!deadline.IsCancellationRequested)
        {
            return null; // Lost, or dropped: ask again.
        }
    }
}
