using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Runtime.Versioning;
using Overlay.Dataplane.Desired;
using Overlay.PolicyEngine.Model;
using Overlay.Tests.Guest;
using Overlay.Tests.Kernel;

namespace Overlay.Tests.Benchmarks;

/// <summary>
/// From a pod to a pod of another node, beside the same kernel devices made by hand and without a rule (<see cref="HandMadeTunnel"/>), and beside these with connection tracking, as kube-proxy turns it
/// on: a TCP stream, a request and its answer by turns, and small datagrams, with 0, 100 and 10,000 policies that select the receiver. Everything runs on one processor, so that it is not chance who shares
/// one, and what passes is counted per second of it; rounds are short and alternate, and ratios are those of medians. <c>./build.ps1 bench tunnel</c>; the suite runs it shortly, to keep it
/// working, and asserts no times.
/// </summary>
[SupportedOSPlatform("linux")]
public abstract class TunnelBenchmark(Encapsulation encapsulation)
{
    private const int Port = 7500;
    private static readonly bool IsBench = Environment.GetEnvironmentVariable("OVERLAY_BENCH") == "1";
    private static readonly int[] Counts = !IsBench ? [0, 3] : Guest.Guest.IsHere ? [0, 100] : [0, 100, 10_000];
    private static readonly int Rounds = IsBench ? 15 : 1;

    // The kernel keeps sets in a list and walks it for each rule that looks one up: 10,000 policies with a selector each take it 13 s.
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);
    private static readonly TimeSpan Round = TimeSpan.FromMilliseconds(IsBench ? 300 : 50);

    private static readonly (string Name, Func<Path, double> Measure)[] Kinds =
    [
        ("TCP stream, MB", path => path.Stream() / 1e6),
        ("request and answer", path => path.Exchanges()),
        ("datagrams of 64 bytes that arrive", path => path.Datagrams()),
    ];

    [Test]
    public void Ours_beside_one_made_by_hand()
    {
        if (Guest.Guest.Keeps(this))
            return;
        if (Guest.Guest.IsHere && !IsBench)
            Assert.Ignore("In the guest it is run by ./build.ps1 bench tunnel alone: it works as here, and takes long there.");
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
            cluster.AwaitPolicies(Patience);
            using var ours = new Path(client.Net, client.IPv4, server.Net, server.IPv4, Port);
            AwaitOffload(nodes, ours);
            foreach (var (name, measure) in Kinds)
                Compare($"{encapsulation.ToString().ToLowerInvariant()}, {count,5} policies, {name}", hand, measure, ours, made);
        }
    }

    // Whether connections take the short way is the kernel's to say; where they do, they do so some seconds after the pod came.
    private static void AwaitOffload(TestNode[] nodes, Path ours)
    {
        if (IsBench)
            TestContext.Out.WriteLine($"established connections: {nodes[0].Status.FlowOffload}");
        if (!nodes[0].Status.FlowOffload.StartsWith("none", StringComparison.Ordinal))
            TestCluster.Eventually(
                () =>
                {
                    ours.Touch();
                    return nodes.All(node => node.Net.Run("cat /proc/net/nf_conntrack").Split('\n').Count(line => line.Contains($"dport={Port} ", StringComparison.Ordinal) && line.Contains("[OFFLOAD]", StringComparison.Ordinal)) == 2);
                },
                "both connections are in the flowtables");
    }

    private static void Compare(string what, HandMadeTunnel hand, Func<Path, double> measure, Path ours, Path made)
    {
        var (one, bare, tracked) = (new List<double>(), new List<double>(), new List<double>());
        using var process = Process.GetCurrentProcess();
        var affinity = process.ProcessorAffinity;
        process.ProcessorAffinity = affinity & -affinity;
        try
        {
            for (var round = 0; round < Rounds; round++)
            {
                one.Add(measure(ours));
                bare.Add(measure(made));
                hand.Track();
                tracked.Add(measure(made));
                hand.Untrack();
            }
        }
        finally
        {
            process.ProcessorAffinity = affinity;
        }

        Assert.That((double[])[one.Min(), bare.Min(), tracked.Min()], Is.All.Positive, $"{what}: nothing passed");
        if (IsBench)
            TestContext.Out.WriteLine(FormattableString.Invariant($"{what}, a second of CPU: ours {Median(one):0.#}, made by hand {Median(bare):0.#}, ratio {Median(one) / Median(bare):0.000}; made by hand and tracked {Median(tracked):0.#}, ratio {Median(one) / Median(tracked):0.000}"));
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
            _datagramReceiver.Connect(_datagramSender.LocalEndPoint!);
        }

        /// <summary>Has both connections exchange something, so that both are established.</summary>
        public void Touch()
        {
            var room = new byte[64];
            foreach (var (one, other) in ((Socket, Socket)[])[(_sender, _receiver), (_receiver, _sender), (_datagramSender, _datagramReceiver), (_datagramReceiver, _datagramSender)])
            {
                one.Send(room.AsSpan(0, 1));
                other.Receive(room);
            }
        }

        /// <summary>Bytes of one stream, a second of CPU.</summary>
        public double Stream()
        {
            var (end, cpu) = (Stopwatch.StartNew(), Environment.CpuUsage.TotalTime);
            long sent = 0;
            var sending = Task.Factory.StartNew(
                () =>
                {
                    var buffer = new byte[256 * 1024];
                    do
                        sent += _sender.Send(buffer);
                    while (end.Elapsed < Round);
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
            return received / (Environment.CpuUsage.TotalTime - cpu).TotalSeconds;
        }

        /// <summary>Exchanges of a byte, one after the other, a second of CPU.</summary>
        public double Exchanges()
        {
            var (buffer, room) = (new byte[1], new byte[1]);
            var (clock, cpu) = (Stopwatch.StartNew(), Environment.CpuUsage.TotalTime);
            var count = 0;
            do
            {
                _sender.Send(buffer);
                _receiver.Receive(room);
                _receiver.Send(buffer);
                _sender.Receive(room);
                count++;
            }
            while (clock.Elapsed < Round);

            return count / (Environment.CpuUsage.TotalTime - cpu).TotalSeconds;
        }

        /// <summary>Small datagrams that arrive of as many as can be sent, a second of CPU.</summary>
        public double Datagrams()
        {
            var (clock, cpu) = (Stopwatch.StartNew(), Environment.CpuUsage.TotalTime);
            var sending = Task.Factory.StartNew(
                () =>
                {
                    var buffer = new byte[64];
                    do
                        _datagramSender.Send(buffer);
                    while (clock.Elapsed < Round);
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
            return count / (Environment.CpuUsage.TotalTime - cpu).TotalSeconds;
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

[SupportedOSPlatform("linux")]
public class VxlanTunnelBenchmark() : TunnelBenchmark(Encapsulation.Vxlan);

[SupportedOSPlatform("linux")]
public class PlainTunnelBenchmark() : TunnelBenchmark(Encapsulation.None);

/// <summary>The same with a kernel that has flowtables; this machine's may have none.</summary>
[InGuest, SupportedOSPlatform("linux")]
public class VxlanInGuestTunnelBenchmark() : TunnelBenchmark(Encapsulation.Vxlan);

[InGuest, SupportedOSPlatform("linux")]
public class IpInIpTunnelBenchmark() : TunnelBenchmark(Encapsulation.Ipip);
