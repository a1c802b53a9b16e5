using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Overlay.CniShim.Protocol;
using Overlay.Dataplane.Desired;
using Overlay.Tests.Guest;

namespace Overlay.Tests.Kernel;

/// <summary>
/// Limits of bandwidth by the real plugin and agent, measured by real packets. What is measured is bounded from above, as a token bucket promises: never more than rate × time and the burst,
/// however slow the machine is. That an unlimited pod beside it gets more is the control.
/// </summary>
public abstract class BandwidthTests
{
    private const int Port = 5001;
    private const long Rate = 2_000_000; // bits a second
    private const long Burst = 128_000; // bits
    private const int Bytes = 750_000; // 3 s at that rate

    private TestCluster _cluster = null!;
    private TestPod _other = null!;
    private TestPod _peer = null!;

    private protected TestNode Node => _cluster.Nodes[0];

    private TestPod Limited => Node.Pods[0];

    [OneTimeSetUp]
    public void Build()
    {
        if (Guest.Guest.Keeps(this))
            return;
        if (!Guest.Guest.IsHere && !Shaping.IsPossible)
            Assert.Ignore("This kernel cannot limit bandwidth.");
        _cluster = TestCluster.Create(1);
        Node.MakePod("shop/limited");
        AddLimited();
        (_other, _peer) = (Node.AddPod("shop/other"), Node.AddPod("shop/peer"));
    }

    [OneTimeTearDown]
    public void EndCluster() => _cluster?.Dispose();

    private protected void AddLimited() => Add(Limited, Shaping.Of(Rate, Burst));

    private protected void RemoveLimited() => Assert.That(Limited.Remove().ExitCode, Is.Zero);

    [Test]
    public void What_a_pod_receives_by_TCP_is_limited([Values] bool isIPv6) => AssertLimited(Stream(_peer, Limited, isIPv6), Stream(_peer, _other, isIPv6), Node.Net, Limited.HostInterface);

    [Test]
    public void What_a_pod_sends_by_TCP_is_limited([Values] bool isIPv6) => AssertLimited(Stream(Limited, _peer, isIPv6), Stream(_other, _peer, isIPv6), Node.Net, Ownership.Shaper(Limited.HostInterface));

    // Nobody slows down for it: what does not fit the queue is dropped.
    [Test]
    public void What_a_pod_receives_by_UDP_is_limited() => AssertDrops(_peer, Limited, Limited.HostInterface);

    [Test]
    public void What_a_pod_sends_by_UDP_is_limited() => AssertDrops(Limited, _peer, Ownership.Shaper(Limited.HostInterface));

    // With all rights in its own namespace it sees its own end only.
    [Test]
    public void A_pod_cannot_take_its_limits_off()
    {
        using var pod = new TestPod(Node, "shop/free");
        Add(pod, Shaping.Of(Rate));
        Assert.That(pod.Net.Run("tc qdisc show dev eth0"), Does.Not.Contain("tbf").And.Not.Contain("ingress"));
        Assert.That(pod.Net.Run("ip -o link"), Does.Not.Contain(Ownership.ShaperPrefix));
        pod.Net.Run("ip link set eth0 down");
        pod.Net.Run("ip link set eth0 up");
        Assert.That(Node.Net.Run($"tc qdisc show dev {pod.HostInterface}"), Does.Contain("tbf").And.Contain("ingress"));
        Assert.That(pod.Remove().ExitCode, Is.Zero);
    }

    [Test]
    public void Extremes_are_as_asked_and_CHECK_knows_them()
    {
        foreach (var (rate, burst) in ((long, long)[])[(8, 8 * 1464), (1_000, 4_294_967_295), (1_000_000, 34_359_738_360), (40_000_000_000, 0), (1_000_000_000_000_000, 4_294_967_295)])
        {
            using var pod = new TestPod(Node, "shop/extreme");
            Add(pod, Shaping.Of(rate, burst));
            foreach (var device in (string[])[pod.HostInterface, Ownership.Shaper(pod.HostInterface)])
                Assert.That(Shaping.Root(Node.Net, device).GetProperty("options").GetProperty("rate").GetInt64(), Is.EqualTo(rate / 8), device);
            var check = pod.Check();
            Assert.That(check.ExitCode, Is.Zero, $"{rate} {burst}: {check.Output}");
            Assert.That(pod.Remove().ExitCode, Is.Zero);
        }
    }

    [Test]
    public void One_direction_alone_makes_nothing_for_the_other()
    {
        using var receiver = new TestPod(Node, "shop/receiver");
        using var sender = new TestPod(Node, "shop/sender");
        Add(receiver, new() { ["bandwidth"] = new { ingressRate = Rate } });
        Add(sender, new() { ["bandwidth"] = new { egressRate = Rate } });
        Assert.That(Node.Net.Run($"tc qdisc show dev {receiver.HostInterface}"), Does.Contain("tbf").And.Not.Contain("ingress"));
        Assert.That(Node.Net.Run($"tc qdisc show dev {sender.HostInterface}"), Does.Contain("ingress").And.Not.Contain("tbf"));
        Assert.That(Node.Net.Run("ip -o link"), Does.Not.Contain(Ownership.Shaper(receiver.HostInterface)).And.Contain(Ownership.Shaper(sender.HostInterface)));
        foreach (var pod in (TestPod[])[receiver, sender])
        {
            Assert.That(pod.Check().ExitCode, Is.Zero, pod.Name);
            Assert.That(pod.Remove().ExitCode, Is.Zero);
        }
    }

    private static readonly TestCaseData[] Damages =
    [
        Damage("tc qdisc del dev OVL root", "what the pod receives is not limited as asked: OVL has not the root qdisc tbf rate 250000bps burst 16000b limit 22250b"),
        Damage("tc qdisc replace dev OVL root handle 1: tbf rate 3mbit burst 16000b limit 22250b", "what the pod receives is not limited as asked"),
        Damage("tc qdisc del dev OVL ingress", "what the pod sends is not limited: OVL lacks the qdisc ingress"),
        Damage("tc filter del dev OVL parent ffff: prio 1", "what the pod sends is not limited: OVL has not just the one filter that redirects all to OVB"),
        Damage("tc filter add dev OVL parent ffff: protocol ip prio 2 u32 match u32 0 0 action mirred egress redirect dev lo", "has not just the one filter"),
        Damage("tc qdisc del dev OVB root", "what the pod sends is not limited as asked: OVB has not"),
        Damage("tc qdisc replace dev OVB root handle 1: tbf rate 2mbit burst 17000b limit 22250b", "what the pod sends is not limited as asked: OVB has not"),
        Damage("ip link set OVB down", "what the pod sends is lost: OVB is down"),
        Damage("ip link del OVB", "what the pod sends is lost: the host has no ifb OVB"),
    ];

    // A restarted agent knows from the attachment's file what was asked for.
    [TestCaseSource(nameof(Damages))]
    public void Damage_is_found(string command, string expected)
    {
        using var pod = new TestPod(Node, "shop/damaged");
        Add(pod, Shaping.Of(Rate, Burst));
        Assert.That(pod.Check().ExitCode, Is.Zero);
        Node.Net.Run(In(command));
        Node.StopAgent();
        Node.StartAgent();
        var answer = pod.Check();
        Assert.That(answer.ExitCode, Is.Not.Zero);
        Assert.That(answer.Output, Does.Contain($"\"code\":{CniErrorCode.CheckFailed}").And.Contain(In(expected)));
        Assert.That(pod.Remove().ExitCode, Is.Zero);
        AwaitNothingOf(pod);

        string In(string text) => text.Replace("OVL", pod.HostInterface).Replace("OVB", Ownership.Shaper(pod.HostInterface));
    }

    [Test]
    public void A_bandwidth_that_the_runtime_knows_otherwise_is_found()
    {
        var check = new AgentRequest
        {
            Command = "CHECK",
            ContainerId = Limited.ContainerId,
            IfName = "eth0",
            Netns = Limited.Net.Path,
            Network = "overlay",
            Addresses = [new() { Address = $"{Limited.IPv4}/32" }, new() { Address = $"{Limited.IPv6}/128" }],
            Bandwidth = new() { IngressRate = Rate, IngressBurst = Burst, EgressRate = Rate, EgressBurst = Burst },
        };
        Assert.That(Node.Ask(check).Error, Is.Null);
        Assert.That(Node.Ask(check with { Bandwidth = check.Bandwidth with { EgressBurst = Burst + 8 } }).Error?.Msg, Does.Contain("the bandwidth asked for is not what the pod was wired with"));
    }

    [Test]
    public void Nothing_is_left_of_a_pod_with_or_without_agent_and_its_name_is_free()
    {
        using var pod = new TestPod(Node, "shop/leaves");
        for (var time = 0; time < 3; time++) // at once: the devices of the last time may still be on their way out
        {
            Add(pod, Shaping.Of(Rate));
            Assert.That(pod.Remove().ExitCode, Is.Zero);
        }

        AwaitNothingOf(pod);
        Add(pod, Shaping.Of(Rate));
        Node.StopAgent(kill: true);
        Assert.That(pod.Remove().ExitCode, Is.Zero);
        AssertNothingOf(pod);
        Node.StartAgent();
        Add(pod, Shaping.Of(Rate));
        Assert.That(pod.Remove().ExitCode, Is.Zero);
        AwaitNothingOf(pod);
    }

    [Test]
    public void What_a_crash_left_by_the_name_of_a_shaping_device_is_replaced()
    {
        using var pod = new TestPod(Node, "shop/again");
        Node.Net.Run($"ip link add {Ownership.Shaper(Ownership.PodInterface(pod.ContainerId, "eth0"))} type ifb");
        Add(pod, Shaping.Of(Rate));
        Assert.That(pod.Check().ExitCode, Is.Zero);
        Assert.That(pod.Remove().ExitCode, Is.Zero);
        AwaitNothingOf(pod);
    }

    // The kernel removes the pair with the pod's namespace, and nothing else; an agent that starts takes a pod without its pair for gone.
    [Test]
    public void What_shaped_a_pod_whose_namespace_is_gone_is_removed_without_DEL([Values] bool isAgentThere)
    {
        using var pod = new TestPod(Node, "shop/dropped");
        Add(pod, Shaping.Of(Rate));
        Node.StopAgent();
        if (isAgentThere)
            Node.StartAgent("--resync-interval", "1s"); // The reaper comes as often.
        pod.Net.Dispose();
        if (!isAgentThere)
            Node.StartAgent();
        AwaitNothingOf(pod);
    }

    private protected static void Add(TestPod pod, Dictionary<string, object> asked)
    {
        var answer = pod.AddAs(pod.Node.Configuration(asked));
        Assert.That(answer.ExitCode, Is.Zero, $"{answer.Output}{answer.Error}\n{pod.Node.Log}");
    }

    private protected void AwaitNothingOf(TestPod pod) =>
        TestCluster.Eventually(() => !HasDevices(pod), "the pod's devices are gone", () => $"{Node.Net.Run("ip -o link")}\n{Node.Log}");

    private void AssertNothingOf(TestPod pod) => Assert.That(HasDevices(pod), Is.False, Node.Net.Run("ip -o link"));

    private bool HasDevices(TestPod pod)
    {
        var links = Node.Net.Run("ip -o link");
        var pair = Ownership.PodInterface(pod.ContainerId, "eth0");
        return links.Contains(pair, StringComparison.Ordinal) || links.Contains(Ownership.Shaper(pair), StringComparison.Ordinal);
    }

    private static void AssertLimited(Transfer limited, Transfer control, NetnsFixture net, string device)
    {
        Assert.That((limited.Bytes, control.Bytes), Is.EqualTo((Bytes, Bytes)), "all arrives: it is shaped, not cut");
        Assert.That(limited.Bytes, Is.LessThanOrEqualTo(limited.Allowed), $"{limited}; {Shaping.Root(net, device)}");
        Assert.That(control.Bytes, Is.GreaterThan(control.Allowed), $"unlimited: {control}");
        Assert.That(Shaping.Root(net, device).GetProperty("overlimits").GetInt64(), Is.Positive);
    }

    private void AssertDrops(TestPod from, TestPod to, string device)
    {
        using var receiver = to.Net.Netns.Run(() => new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp) { ReceiveTimeout = 500 });
        receiver.ReceiveBufferSize = 4 << 20;
        receiver.Bind(new IPEndPoint(IPAddress.Any, Port));
        using var sender = from.Net.Netns.Run(() => new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp));
        var datagram = new byte[1000];
        var before = Drops();
        var clock = Stopwatch.StartNew();
        var sent = 0;
        while (Drops() == before && clock.Elapsed < TimeSpan.FromSeconds(60))
        {
            for (var i = 0; i < 500; i++)
                sent += sender.SendTo(datagram, new IPEndPoint(to.IPv4, Port));
        }

        var (received, last) = (0, TimeSpan.Zero);
        try
        {
            while (true)
            {
                received += receiver.Receive(datagram);
                last = clock.Elapsed;
            }
        }
        catch (SocketException timeout) when (timeout.SocketErrorCode == SocketError.TimedOut)
        {
            // the last one is here
        }

        Assert.That(Drops(), Is.GreaterThan(before), $"{sent} bytes sent");
        Assert.That(received, Is.Positive.And.LessThan(sent));
        Assert.That(new Transfer(received, last).Allowed, Is.GreaterThanOrEqualTo(received), $"of {sent} sent");

        long Drops() => Shaping.Root(Node.Net, device).GetProperty("drops").GetInt64();
    }

    private static Transfer Stream(TestPod from, TestPod to, bool isIPv6)
    {
        var address = isIPv6 ? to.IPv6 : to.IPv4;
        using var listener = to.Net.Netns.Run(() => new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp));
        listener.Bind(new IPEndPoint(address, 0));
        listener.Listen();
        using var sender = from.Net.Netns.Run(() => new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp));
        var clock = Stopwatch.StartNew();
        sender.Connect(listener.LocalEndPoint!);
        using var receiver = listener.Accept();
        receiver.ReceiveTimeout = 60_000;
        var sending = Task.Run(() =>
        {
            for (var left = Bytes; left > 0;)
                left -= sender.Send(new byte[Math.Min(left, 50_000)]);
            sender.Shutdown(SocketShutdown.Send);
        });
        var (buffer, received) = (new byte[65536], 0);
        for (var read = 1; read > 0; received += read)
            read = receiver.Receive(buffer);
        var took = clock.Elapsed;
        sending.GetAwaiter().GetResult();
        return new(received, took);
    }

    private static TestCaseData Damage(string command, string expected) => new TestCaseData(command, expected).SetArgDisplayNames(command);

    private sealed record Transfer(int Bytes, TimeSpan Took)
    {
        /// <summary>What may have passed in that time at most, from a full bucket.</summary>
        public long Allowed => (long)((Rate * Took.TotalSeconds) + Burst) / 8;
    }
}

/// <summary>With this machine's kernel, when it can.</summary>
public sealed class HereBandwidthTests : BandwidthTests;

/// <summary>With Debian's kernel, which has every part as a module and loads them when they are asked for.</summary>
[InGuest]
public sealed class ModularBandwidthTests : BandwidthTests
{
    // How the kernel loads modules; of the whole guest.
    private const string Loader = "/proc/sys/kernel/modprobe";

    [TestCase("ifb", "RTM_NEWLINK OVB type ifb: EOPNOTSUPP")]
    [TestCase("sch_tbf", "RTM_NEWQDISC dev OVB root tbf rate 250000bps burst 65536b limit 71786b: ENOENT")]
    [TestCase("sch_ingress", "RTM_NEWQDISC dev OVL ingress: ENOENT")]
    [TestCase("cls_u32", "RTM_NEWTFILTER dev OVL u32 action mirred redirect dev OVB: ENOENT")]
    [TestCase("act_mirred", "RTM_NEWTFILTER dev OVL u32 action mirred redirect dev OVB: ENOENT")]
    public void A_kernel_without_a_part_of_it_is_told_and_nothing_is_left(string module, string expected)
    {
        if (!Guest.Guest.IsHere)
            Assert.Ignore("It would be this machine's kernel."); // never: InGuest
        using var pod = new TestPod(Node, "shop/refused");
        using var plain = new TestPod(Node, "shop/plain");
        var loader = File.ReadAllText(Loader).Trim();
        RemoveLimited();
        TestCluster.Eventually(() => !IsLoaded(module) || Node.Net.TryRun($"rmmod {module}").ExitCode == 0, $"{module} can be removed");
        File.WriteAllText(Loader, "/bin/false");
        try
        {
            var answer = pod.AddAs(Node.Configuration(Shaping.Of(2_000_000)));
            var pair = Ownership.PodInterface(pod.ContainerId, "eth0");
            Assert.That(answer.ExitCode, Is.Not.Zero);
            Assert.That(answer.Output, Does.Contain($"\"code\":{CniErrorCode.UnsupportedField}").And.Contain("runtimeConfig.bandwidth of pod shop/refused: this node's kernel cannot limit bandwidth")
                .And.Contain(expected.Replace("OVL", pair).Replace("OVB", Ownership.Shaper(pair))).And.Contain("modprobe -a").And.Contain(module));
            AwaitNothingOf(pod);
            TestCluster.Eventually(() => !Node.PodFiles.Any(file => file.Contains(pod.ContainerId, StringComparison.Ordinal)), "no file is left");
            plain.Add([]);
            Assert.That(plain.Remove().ExitCode, Is.Zero);
        }
        finally
        {
            File.WriteAllText(Loader, loader);
            AddLimited();
        }

        Add(pod, Shaping.Of(2_000_000));
        Assert.That(IsLoaded(module), "the kernel loads it by itself");
        Assert.That(pod.Remove().ExitCode, Is.Zero);
    }

    private static bool IsLoaded(string module) => Directory.Exists($"/sys/module/{module}");
}
