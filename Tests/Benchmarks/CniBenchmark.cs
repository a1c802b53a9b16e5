using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Route;
using Overlay.Tests.Kernel;

namespace Overlay.Tests.Benchmarks;

/// <summary>
/// What ADD and DEL of our plugin and agent cost beside Debian's <c>ptp</c> with <c>host-local</c>: dual-stack, without duplicate address detection, in the same node's and the same pods'
/// namespaces, by turns, 1, 4 and 16 at a time. The CPU is that of the plugin with its children, and for ours that of the agent, from before the first call until it has nothing left
/// to do. Beside it the kernel's floor: what nobody can do without. <c>./build.ps1 bench cni [PODS]</c>; the suite runs it with few pods, to keep it working, and asserts no times.
/// </summary>
public class CniBenchmark
{
    private const string Folder = "/usr/lib/cni";
    private const int PodsPerRound = 40;
    private static readonly bool IsBench = Environment.GetEnvironmentVariable("OVERLAY_BENCH") == "1";
    private static readonly int Pods = !IsBench ? 4 : int.Parse(Environment.GetEnvironmentVariable("OVERLAY_BENCH_PODS") is { Length: > 0 } text ? text : "200", CultureInfo.InvariantCulture);
    private static readonly int[] Concurrencies = IsBench ? [1, 4, 16] : [2];

    [Test]
    public void Add_and_delete_beside_ptp()
    {
        if (!File.Exists(Path.Combine(Folder, "ptp")))
            Assert.Ignore($"There is no {Folder}/ptp to compare with; install Debian's package containernetworking-plugins.");
        using var cluster = TestCluster.Create(1);
        var node = cluster.Nodes[0];
        node.Net.Run("sysctl -q -w net.ipv6.conf.default.accept_dad=0");
        var pods = Enumerable.Range(0, Math.Min(Pods, PodsPerRound)).Select(_ => NetnsFixture.Create()).ToArray();
        try
        {
            // ptp waits for its addresses to be settled, which takes seconds otherwise.
            foreach (var pod in pods)
                pod.Run("sysctl -q -w net.ipv6.conf.default.accept_dad=0");
            Measure(cluster, node, pods);
            Floor.Print(node.Net, pods[0], Pods);
        }
        finally
        {
            foreach (var pod in pods)
                pod.Dispose();
        }
    }

    private static void Measure(TestCluster cluster, TestNode node, NetnsFixture[] pods)
    {
        var ours = new Contender("overlay", Programs.Usual.OverlayCni, node.Configuration([]), cluster.Folder, node.AgentId);
        var ptp = new Contender("ptp", Path.Combine(Folder, "ptp"), $$$"""
            {"cniVersion":"1.0.0","name":"bench","type":"ptp","mtu":1450,"ipam":{"type":"host-local","dataDir":"{{{cluster.Folder}}}/ptp-networks",
             "ranges":[[{"subnet":"10.99.0.0/20"}],[{"subnet":"fd00:99::/64"}]],"routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}]}}
            """, cluster.Folder, agent: null);
        Contender[] both = [ours, ptp];
        foreach (var contender in both)
            Turn(contender, node, pods[..2], 2); // what is done but once, and the page cache
        if (IsBench)
            TestContext.Progress.WriteLine("| at a time | verb | plugin | p50 ms | p99 ms | CPU ms a pod | pods a second |\n|---|---|---|---|---|---|---|");
        foreach (var concurrency in Concurrencies)
        {
            foreach (var contender in both)
                contender.Results.Clear();
            for (var done = 0; done < Pods; done += pods.Length)
                foreach (var contender in both)
                    Turn(contender, node, pods[..Math.Min(pods.Length, Pods - done)], concurrency);
            foreach (var verb in (string[])["ADD", "DEL"])
                Print(concurrency, verb, ours.Results[verb], ptp.Results[verb]);
        }
    }

    // Wires all the pods, then unwires them; what is measured is added to the results.
    private static void Turn(Contender contender, TestNode node, NetnsFixture[] pods, int concurrency)
    {
        contender.NextTurn();
        foreach (var verb in (string[])["ADD", "DEL"])
        {
            var result = contender.Results.TryGetValue(verb, out var known) ? known : contender.Results[verb] = new();
            var before = contender.AgentTicks();
            var outcomes = new ConcurrentBag<ChildOutcome>();
            var next = -1;
            var clock = Stopwatch.StartNew();
            var threads = Enumerable.Range(0, concurrency).Select(_ => Task.Factory.StartNew(
                () => node.Net.Netns.Run(() =>
                {
                    for (int pod; (pod = Interlocked.Increment(ref next)) < pods.Length;)
                        outcomes.Add(contender.Run(verb, pod, pods[pod].Path));
                }),
                TaskCreationOptions.LongRunning)).ToArray();
            Task.WaitAll(threads);
            result.Elapsed += clock.Elapsed;
            result.Outcomes.AddRange(outcomes);
            if (verb == "DEL")
                AwaitNoPair(node);
            result.Agent += contender.Settled() - before;
        }
    }

    private static void AwaitNoPair(TestNode node)
    {
        using var socket = node.Net.Open(NetlinkProtocol.NETLINK_ROUTE);
        TestCluster.Eventually(() => LinkMessage.Dump(socket, "veth").Count == 1, "nothing but the uplink is left", () => node.Net.Run("ip -br link") + node.Log);
    }

    private static void Print(int concurrency, string verb, Result ours, Result ptp)
    {
        foreach (var (name, result) in new[] { ("overlay", ours), ("ptp", ptp) })
        {
            Assert.That(result.Outcomes, Has.Count.EqualTo(Pods));
            if (IsBench)
                TestContext.Progress.WriteLine(FormattableString.Invariant($"| {concurrency} | {verb} | {name} | {result.Wall(0.5):0.0} | {result.Wall(0.99):0.0} | {result.Cpu:0.0}{(name == "ptp" ? "" : FormattableString.Invariant($" ({result.AgentCpu:0.0} in the agent)"))} | {result.PerSecond:0} |"));
        }

        if (IsBench)
            TestContext.Progress.WriteLine(FormattableString.Invariant($"| {concurrency} | {verb} | ratio | {ours.Wall(0.5) / ptp.Wall(0.5):0.00} | {ours.Wall(0.99) / ptp.Wall(0.99):0.00} | {ours.Cpu / ptp.Cpu:0.00} | {ours.PerSecond / ptp.PerSecond:0.00} |"));
    }

    private sealed class Result
    {
        public List<ChildOutcome> Outcomes { get; } = [];

        public TimeSpan Elapsed { get; set; }

        public TimeSpan Agent { get; set; }

        /// <summary>Milliseconds a pod.</summary>
        public double AgentCpu => Agent.TotalMilliseconds / Outcomes.Count;

        /// <summary>Milliseconds a pod.</summary>
        public double Cpu => Outcomes.Average(outcome => outcome.Cpu.TotalMilliseconds) + AgentCpu;

        public double PerSecond => Outcomes.Count / Elapsed.TotalSeconds;

        public double Wall(double quantile) => Quantile(Outcomes.Select(outcome => outcome.Wall.TotalMilliseconds), quantile);
    }

    internal static double Quantile(IEnumerable<double> values, double quantile)
    {
        var sorted = values.Order().ToArray();
        return sorted[Math.Min(sorted.Length - 1, (int)(quantile * sorted.Length))];
    }

    private sealed class Contender
    {
        private readonly string _name;
        private readonly string _program;
        private readonly string _configuration;
        private readonly string _folder;
        private readonly int? _agent;
        private int _turn;

        public Contender(string name, string program, string configuration, string folder, int? agent)
        {
            (_name, _program, _folder, _agent) = (name, program, folder, agent);
            _configuration = Path.Combine(folder, $"{name}.json");
            File.WriteAllText(_configuration, configuration);
        }

        public Dictionary<string, Result> Results { get; } = [];

        // Every pod is a new container, as with a runtime.
        public void NextTurn() => _turn++;

        public ChildOutcome Run(string verb, int pod, string netns)
        {
            var output = Path.Combine(_folder, $"{_name}-{pod}.out");
            var outcome = ChildProcess.Run(
                _program,
                [
                    $"CNI_COMMAND={verb}", $"CNI_CONTAINERID={_name}-{_turn}-{pod}", $"CNI_NETNS={netns}", "CNI_IFNAME=eth0", $"CNI_PATH={Folder}", "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                    $"CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=bench;K8S_POD_NAME=pod-{pod}",
                ],
                _configuration,
                output);
            return outcome.ExitCode == 0 ? outcome : throw new InvalidOperationException($"{_name} {verb}: {File.ReadAllText(output)}");
        }

        /// <summary>CPU that the agent has used; in clock ticks of 10 ms.</summary>
        public TimeSpan AgentTicks() => _agent is not { } agent ? default
            : TimeSpan.FromMilliseconds(10 * File.ReadAllText($"/proc/{agent}/stat").Split(") ")[1].Split(' ')[11..13].Sum(text => long.Parse(text, CultureInfo.InvariantCulture)));

        /// <summary>The same, once it has stood still for a moment.</summary>
        public TimeSpan Settled()
        {
            var ticks = AgentTicks();
            for (var clock = Stopwatch.StartNew(); _agent is not null && clock.ElapsedMilliseconds < 5000;)
            {
                Thread.Sleep(150);
                var now = AgentTicks();
                if (now == ticks)
                    break;
                ticks = now;
            }

            return ticks;
        }
    }

    /// <summary>What the kernel alone takes for the parts of which no ADD and DEL can do without, one after the other on one thread.</summary>
    private static class Floor
    {
        private const uint Group = 77;

        public static void Print(NetnsFixture node, NetnsFixture pod, int count)
        {
            using var socket = node.Open(NetlinkProtocol.NETLINK_ROUTE);
            var start = new List<(double Wall, double Cpu)>();
            for (var i = 0; i < count; i++)
            {
                var outcome = ChildProcess.Run("/bin/true", []);
                start.Add((outcome.Wall.TotalMilliseconds, outcome.Cpu.TotalMilliseconds));
            }

            Create(socket, pod, 0, 0, []); // once, for the compiler
            Request(socket, (writer, sequence) => LinkMessage.WriteDelete(writer, sequence, 5000));
            List<(double Wall, double Cpu)> made = [], deleted = [], grouped = [];
            for (var i = 1; i <= count; i++)
            {
                Create(socket, pod, i, 0, made);
                deleted.Add(Time(() => Request(socket, (writer, sequence) => LinkMessage.WriteDelete(writer, sequence, 5000 + i))));
            }

            for (var i = 1; i <= count; i++)
                Create(socket, pod, count + i, Group, made);
            var whole = Time(() => Request(socket, (writer, sequence) => LinkMessage.WriteDeleteGroup(writer, sequence, Group)));
            grouped.Add((whole.Wall / count, whole.Cpu / count));
            if (!IsBench)
                return;
            TestContext.Progress.WriteLine("\n| the kernel's floor | p50 ms | p99 ms | CPU ms |\n|---|---|---|---|");
            foreach (var (name, times) in new[] { ("a process: /bin/true", start), ("a pair of interfaces, one of them in the pod's namespace", made), ("its removal alone", deleted), ($"its removal with {count} others, each", grouped) })
                TestContext.Progress.WriteLine(FormattableString.Invariant($"| {name} | {Quantile(times.Select(time => time.Wall), 0.5):0.00} | {Quantile(times.Select(time => time.Wall), 0.99):0.00} | {times.Average(time => time.Cpu):0.00} |"));
        }

        private static void Create(NetlinkSocket socket, NetnsFixture pod, int number, uint group, List<(double Wall, double Cpu)> times) => times.Add(Time(() => Request(socket, (writer, sequence) => LinkMessage.WriteNewVeth(
            writer,
            sequence,
            new() { Name = $"floor{number}", Index = 5000 + number, Group = group },
            new() { Name = $"eth{number}", NetnsDescriptor = pod.Netns.Descriptor }))));

        private static void Request(NetlinkSocket socket, Action<NetlinkWriter, uint> write)
        {
            using var writer = new NetlinkWriter();
            write(writer, socket.NextSequence());
            socket.Request(writer, "the floor");
        }

        private static (double Wall, double Cpu) Time(Action action)
        {
            var (begin, cpu) = (Stopwatch.GetTimestamp(), ChildProcess.ThreadCpu());
            action();
            return (Stopwatch.GetElapsedTime(begin).TotalMilliseconds, (ChildProcess.ThreadCpu() - cpu).TotalMilliseconds);
        }
    }
}
