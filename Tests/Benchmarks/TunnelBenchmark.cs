using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Overlay.Dataplane.Desired;
using Overlay.PolicyEngine.Model;
using Overlay.Tests.Guest;
using Overlay.Tests.Kernel;

namespace Overlay.Tests.Benchmarks;

/// <summary>
/// From a pod to a pod of another node, beside the same kernel devices made by hand and without a rule (<see cref="HandMadeTunnel"/>): a TCP stream, a request and its answer by turns, and small
/// datagrams, with 0, 100 and 10,000 policies that select the receiver. Rounds are short and alternate between the two, and the ratio is that of their medians. <c>./build.ps1 bench tunnel</c>; the
/// suite runs it shortly, to keep it working, and asserts no times.
/// </summary>
public abstract class TunnelBenchmark(Encapsulation encapsulation)
{
    private const int Port = 7500;
    private static readonly bool IsBench = Environment.GetEnvironmentVariable("OVERLAY_BENCH") == "1";
    private static readonly int[] Counts = !IsBench ? [0, 3] : Guest.Guest.IsHere ? [0, 100] : [0, 100, 10_000];
    private static readonly int Rounds = IsBench ? 15 : 1;
    private static readonly TimeSpan Round = TimeSpan.FromMilliseconds(IsBench ? 300 : 50);

    private static readonly (string Name, Func<Path, double> Measure)[] Kinds =
    [
        ("TCP stream, MB/s", path => path.Stream() / 1e6),
        ("request and answer, a second", path => path.Exchanges()),
        ("datagrams of 64 bytes that arrive, a second", path => path.Datagrams()),
    ];

    [Test]
    public void Ours_beside_one_made_by_hand()
    {
        if (Guest.Guest.Keeps(this))
            return;
        using var cluster = TestCluster.CreateEmpty();
        cluster.Configuration = new() { Encapsulation = encapsulation };
        for (var i = 1; i <= 2; i++)
        {
            cluster.ApplyNode($"node-{i}", [$"192.168.7.{i}"], [$"10.42.{i}.0/24"]);
            cluster.Join($"node-{i}", $"192.168.7.{i}").StartAgent("--encapsulation", encapsulation.ToString().ToLowerInvariant());
        }

        cluster.Apply("pods.yaml", "{ apiVersion: v1, kind: Pod, metadata: { name: server, namespace: shop, labels: { app: server } } }\n---\n{ apiVersion: v1, kind: Pod, metadata: { name: client, namespace: shop, labels: { app: client } } }");
        var nodes = cluster.Nodes.ToArray();
        var (client, server) = (nodes[0].AddPod("shop/client"), nodes[1].AddPod("shop/server"));
        using var hand = new HandMadeTunnel(cluster, encapsulation, 1500 - PeerRows.Overhead(encapsulation, Family.IPv4));
        using var made = new Path(hand.Ends[0].Net, hand.Ends[0].Address, hand.Ends[1].Net, hand.Ends[1].Address, Port);
        foreach (var count in Counts)
        {
            cluster.Apply("policies.yaml", string.Join("---\n", Enumerable.Range(1, count).Select(Policy)));
            TestCluster.Eventually(() => nodes[1].Overlay("status", "-o", "json").Output.Contains($"\"networkPolicy\": {count}", StringComparison.Ordinal), $"{count} policies are known", () => nodes[1].Log);
            using var ours = new Path(client.Net, client.IPv4, server.Net, server.IPv4, Port);
            foreach (var (name, measure) in Kinds)
                Compare($"{encapsulation.ToString().ToLowerInvariant()}, {count,5} policies, {name}", () => measure(ours), () => measure(made));
        }
    }

    private static void Compare(string what, Func<double> ours, Func<double> made)
    {
        var (one, other) = (new List<double>(), new List<double>());
        for (var round = 0; round < Rounds; round++)
        {
            one.Add(ours());
            other.Add(made());
        }

        Assert.That((one.Min(), other.Min()), Is.Not.EqualTo((0.0, 0.0)), $"{what}: nothing passed");
        if (IsBench)
            TestContext.Out.WriteLine(FormattableString.Invariant($"{what}: ours {Median(one):0.#}, made by hand {Median(other):0.#}, ratio {Median(one) / Median(other):0.000}"));
    }

    private static double Median(List<double> values) => values.Order().ElementAt(values.Count / 2);

    // Each allows somebody else, and the last the client, too.
    private static string Policy(int number) => $$"""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata: { name: server-{{number}}, namespace: shop }
        spec: { podSelector: { matchLabels: { app: server } }, ingress: [{ from: [{ podSelector: { matchLabels: { app: {{(number == 1 ? "client" : $"nobody-{number}")}} } } }] }] }

        """;

    /// <summary>A sender and a receiver with connected sockets of each kind.</summary>
    private sealed class Path : IDisposable
    {
        private readonly Socket _sender;
        private readonly Socket _receiver;
        private readonly Socket _datagramSender;
        private readonly Socket _datagramReceiver;

        public Path(NetnsFixture from, IPAddress source, NetnsFixture to, IPAddress destination, int port)
        {
            using var listener = to.Netns.Run(() => new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp));
            listener.Bind(new IPEndPoint(destination, port));
            listener.Listen();
            _sender = from.Netns.Run(() => new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true });
            TestCluster.Eventually(() => Connects(_sender, destination, port), $"{source} reaches {destination}");
            _receiver = listener.Accept();
            _receiver.NoDelay = true;
            _datagramReceiver = to.Netns.Run(() => new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp) { ReceiveTimeout = 100 });
            _datagramReceiver.Bind(new IPEndPoint(destination, port));
            _datagramSender = from.Netns.Run(() => new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp));
            _datagramSender.Connect(destination, port);
        }

        /// <summary>Bytes a second of one stream.</summary>
        public double Stream()
        {
            var end = Stopwatch.StartNew();
            long sent = 0;
            var sending = Task.Factory.StartNew(
                () =>
                {
                    var buffer = new byte[256 * 1024];
                    while (end.Elapsed < Round)
                        sent += _sender.Send(buffer);
                },
                TaskCreationOptions.LongRunning);
            long received = 0;
            var room = new byte[256 * 1024];
            while (!sending.IsCompleted || received < sent)
            {
                if (_receiver.Poll(TimeSpan.FromMilliseconds(50), SelectMode.SelectRead))
                    received += _receiver.Receive(room);
            }

            sending.GetAwaiter().GetResult();
            return received / end.Elapsed.TotalSeconds;
        }

        /// <summary>Exchanges of a byte a second, one after the other.</summary>
        public double Exchanges()
        {
            var (buffer, room) = (new byte[1], new byte[1]);
            var clock = Stopwatch.StartNew();
            var count = 0;
            while (clock.Elapsed < Round)
            {
                _sender.Send(buffer);
                _receiver.Receive(room);
                _receiver.Send(buffer);
                _sender.Receive(room);
                count++;
            }

            return count / clock.Elapsed.TotalSeconds;
        }

        /// <summary>Small datagrams a second that arrive of as many as can be sent.</summary>
        public double Datagrams()
        {
            var clock = Stopwatch.StartNew();
            var sending = Task.Factory.StartNew(
                () =>
                {
                    var buffer = new byte[64];
                    while (clock.Elapsed < Round)
                        _datagramSender.Send(buffer);
                },
                TaskCreationOptions.LongRunning);
            var (room, count) = (new byte[64], 0);
            while (!sending.IsCompleted || _datagramReceiver.Available > 0)
            {
                if (!_datagramReceiver.Poll(TimeSpan.FromMilliseconds(20), SelectMode.SelectRead))
                    continue;
                _datagramReceiver.Receive(room);
                count++;
            }

            sending.GetAwaiter().GetResult();
            return count / clock.Elapsed.TotalSeconds;
        }

        public void Dispose()
        {
            foreach (var socket in (Socket[])[_sender, _receiver, _datagramSender, _datagramReceiver])
                socket.Dispose();
        }

        private static bool Connects(Socket socket, IPAddress address, int port)
        {
            try
            {
                socket.Connect(address, port);
                return true;
            }
            catch (SocketException)
            {
                return false;
            }
        }
    }
}

public class VxlanTunnelBenchmark() : TunnelBenchmark(Encapsulation.Vxlan);

public class PlainTunnelBenchmark() : TunnelBenchmark(Encapsulation.None);

[InGuest]
public class IpInIpTunnelBenchmark() : TunnelBenchmark(Encapsulation.Ipip);
