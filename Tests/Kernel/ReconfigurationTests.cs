using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Overlay.Dataplane.Desired;
using Overlay.PolicyEngine.Model;
using Overlay.Tests.Guest;
using ProtocolType = System.Net.Sockets.ProtocolType;

namespace Overlay.Tests.Kernel;

/// <summary>
/// The configuration of running nodes becomes another: pods keep their addresses and connections, and no agent is restarted. What each change costs is printed: the longest time in which nothing
/// arrived of a datagram sent every 2 ms from a pod of one node to a pod of the other.
/// </summary>
public abstract class ReconfigurationTests(params string[] steps)
{
    private TestCluster _cluster = null!;
    private TestPod _web = null!;
    private TestPod _db = null!;

    private IEnumerable<string> Files => _cluster.Nodes.Select(node => Path.Combine(_cluster.Folder, $"{node.Name}.yaml"));

    [SetUp]
    public void Build()
    {
        if (Guest.Guest.Keeps(this))
            return;
        _cluster = TestCluster.CreateEmpty();
        for (var i = 1; i <= 2; i++)
        {
            _cluster.ApplyNode($"node-{i}", [$"192.168.7.{i}", $"fd07::{i}"], [$"10.42.{i}.0/24", $"fd00:42:{i}::/64"]);
            _cluster.Join($"node-{i}", $"192.168.7.{i}", $"fd07::{i}");
        }

        Write("encapsulation: vxlan");
        foreach (var (node, file) in _cluster.Nodes.Zip(Files))
            node.StartAgent("--config", file);
        (_web, _db) = (_cluster.Nodes[0].AddPod("shop/web"), _cluster.Nodes[1].AddPod("shop/db"));
    }

    [TearDown]
    public void End() => _cluster?.Dispose();

    [Test]
    public void Connections_go_on_whatever_the_configuration_becomes()
    {
        var families = (AddressFamily[])[AddressFamily.InterNetwork, AddressFamily.InterNetworkV6];
        var conversations = families.Select((family, i) => Conversation.Begin(ProtocolType.Tcp, _web, _db, 7100 + i, _db.Address(family))).ToList();
        conversations.ForEach(conversation => conversation.Exchange());
        using var stream = DatagramStream.Begin(_web, _db, 7200);
        foreach (var step in steps)
        {
            var from = stream.Received;
            TestCluster.Eventually(() => stream.Received > from, "datagrams arrive");
            Write(step);
            stream.Forget();
            foreach (var node in _cluster.Nodes)
                _ = Libc.Hangup(node.AgentId);
            foreach (var node in _cluster.Nodes)
                TestCluster.Eventually(() => IsDone(node, step), $"{node.Name}: {step}", () => $"{node.Log}\n{node.Net.Run("ip -d link")}");
            from = stream.Received;
            TestCluster.Eventually(() => stream.Received > from, $"datagrams arrive: {step}", () => string.Join('\n', _cluster.Nodes.Select(node => node.Log)));
            conversations.ForEach(conversation => conversation.Exchange());
            TestContext.Out.WriteLine($"{step}: nothing arrived for {stream.LongestGap.TotalMilliseconds:0} ms at most");
            var verified = _cluster.Nodes[0].Overlay("verify");
            Assert.That(verified.ExitCode, Is.Zero, $"{step}: {verified.Output}{verified.Error}");
        }

        conversations.ForEach(conversation => conversation.Dispose());
        Assert.That(_cluster.Nodes.Select(node => node.Log), Has.None.Contains("wired with 10.42.1.3"), "no pod was wired anew");
    }

    // One device of ours at most of each kind that is wanted, with the MTU that the pods have, too.
    private static bool IsDone(TestNode node, string step)
    {
        var reading = ConfigurationReader.Read("overlay.yaml", step, new Dictionary<string, string>(), new Dictionary<string, string>()).Configuration!;
        var links = node.Net.Run("ip -d -o link show");
        var mtu = reading.Mtu ?? 1500 - PeerRows.Overhead(reading.Encapsulation, Family.IPv4);
        var isThere = reading.Encapsulation switch
        {
            Encapsulation.Vxlan => links.Contains($"vxlan id {reading.VxlanVni} ", StringComparison.Ordinal) && links.Contains($"dstport {reading.VxlanPort} ", StringComparison.Ordinal),
            Encapsulation.Ipip => links.Contains("overlay-ipip", StringComparison.Ordinal) && links.Contains("overlay-sit", StringComparison.Ordinal),
            _ => !Ownership.Tunnels.Any(name => links.Contains($" {name}", StringComparison.Ordinal)),
        };
        return isThere
            && links.Contains("overlay-vxlan", StringComparison.Ordinal) == (reading.Encapsulation == Encapsulation.Vxlan)
            && node.Pods.All(pod => pod.Net.Run("ip link show eth0").Contains($"mtu {mtu} ", StringComparison.Ordinal) && node.Net.Run($"ip link show {pod.HostInterface}").Contains($"mtu {mtu} ", StringComparison.Ordinal));
    }

    private void Write(string text)
    {
        foreach (var file in Files)
        {
            File.WriteAllText(file + ".new", text + "\n");
            File.Move(file + ".new", file, overwrite: true);
        }
    }
}

public class VxlanReconfigurationTests() : ReconfigurationTests(
    "vxlan: { vni: 5000 }",
    "vxlan: { vni: 5000, port: 8472 }",
    "{ vxlan: { vni: 5000, port: 8472 }, mtu: 1400 }",
    "{ vxlan: { vni: 5000, port: 8472 }, mtu: auto }",
    "encapsulation: none",
    "{ encapsulation: none, mtu: 1300 }",
    "encapsulation: vxlan");

[InGuest]
public class IpInIpReconfigurationTests() : ReconfigurationTests("encapsulation: ipip", "encapsulation: none", "encapsulation: ipip", "encapsulation: vxlan");

/// <summary>A datagram every 2 ms, one way, and what arrives of them.</summary>
internal sealed class DatagramStream : IDisposable
{
    private readonly Socket _sender;
    private readonly Socket _receiver;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task[] _work;
    private long _received;
    private long _last = Stopwatch.GetTimestamp();
    private long _longest;

    private DatagramStream(Socket sender, Socket receiver)
    {
        (_sender, _receiver) = (sender, receiver);
        _work = [Task.Factory.StartNew(Send, TaskCreationOptions.LongRunning), Task.Factory.StartNew(Receive, TaskCreationOptions.LongRunning)];
    }

    /// <summary>Datagrams that arrived.</summary>
    public long Received => Interlocked.Read(ref _received);

    /// <summary>The longest time between two arrivals since <see cref="Forget"/>.</summary>
    public TimeSpan LongestGap => Stopwatch.GetElapsedTime(0, Interlocked.Read(ref _longest));

    /// <summary>Begins, over IPv4.</summary>
    public static DatagramStream Begin(TestPod from, TestPod to, int port)
    {
        var receiver = to.Net.Netns.Run(() => new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp));
        receiver.Bind(new IPEndPoint(to.IPv4, port));
        receiver.ReceiveTimeout = 200;
        var sender = from.Net.Netns.Run(() => new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp));
        sender.Bind(new IPEndPoint(from.IPv4, 0));
        sender.Connect(to.IPv4, port);
        return new(sender, receiver);
    }

    /// <summary>Gaps up to now count no more.</summary>
    public void Forget() => Interlocked.Exchange(ref _longest, 0);

    public void Dispose()
    {
        _stop.Cancel();
        Task.WaitAll(_work);
        _sender.Dispose();
        _receiver.Dispose();
        _stop.Dispose();
    }

    private void Send()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                _sender.Send([1]);
            }
            catch (SocketException)
            {
                // An ICMP error; the next one may pass.
            }

            Thread.Sleep(2);
        }
    }

    private void Receive()
    {
        var buffer = new byte[16];
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                _receiver.Receive(buffer);
            }
            catch (SocketException e) when (e.SocketErrorCode is SocketError.TimedOut or SocketError.WouldBlock)
            {
                continue;
            }

            var now = Stopwatch.GetTimestamp();
            Interlocked.Exchange(ref _longest, Math.Max(Interlocked.Read(ref _longest), now - _last));
            _last = now;
            Interlocked.Increment(ref _received);
        }
    }
}
