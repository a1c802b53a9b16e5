using System.Diagnostics;
using Overlay.Dataplane.Kernel;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Conntrack;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Kernel;

/// <summary>Reading and marking connections in a live kernel, next to what conntrack(8) makes and says of them.</summary>
public class FlowTableTests
{
    private static readonly InetAddress Web = InetAddress.Parse("10.42.1.5"), Db = InetAddress.Parse("10.42.2.6"), Web6 = InetAddress.Parse("fd00:42:1::5"), Db6 = InetAddress.Parse("fd00:42:2::6");
    private static readonly HashSet<InetAddress> Pods = [Web, Web6];

    [Test]
    public void Connections_of_pods_are_found_with_what_policy_sees_of_them()
    {
        using var net = NetnsFixture.Create();
        Insert(net, "-p tcp -s 10.42.1.5 -d 10.96.0.1 --sport 40001 --dport 80 --reply-src 10.42.2.6 --reply-dst 10.42.1.5 --reply-port-src 8080 --reply-port-dst 40001 --state ESTABLISHED");
        Insert(net, "-p udp -s 10.42.2.6 -d 10.42.1.5 --sport 40001 --dport 53");
        Insert(net, "-p udp -s 10.42.2.6 -d 10.42.1.5 --sport 40002 --dport 53");
        Insert(net, "-p sctp -s fd00:42:1::5 -d fd00:42:2::6 --sport 40001 --dport 9 --state ESTABLISHED --orig-vtag 1 --reply-vtag 2");
        Insert(net, "-p icmp -s 10.42.1.5 -d 10.42.2.6 --icmp-type 8 --icmp-code 0 --icmp-id 7");
        Insert(net, "-p udp -s 10.42.2.6 -d 10.42.2.7 --sport 40001 --dport 53"); // of no pod of this node
        Insert(net, "-p tcp -s 10.42.1.1 -d 10.42.1.5 --sport 40001 --dport 80 --state ESTABLISHED"); // of the node itself
        Insert(net, "-p tcp -s 10.42.1.5 -d 10.42.1.1 --sport 40002 --dport 80 --state ESTABLISHED"); // to the node itself
        net.Run("ip link set lo up");
        net.Run("ip address add 10.42.1.1/32 dev lo");
        using var table = net.Netns.Run(FlowTable.Open);
        var survey = table.Survey(new(1, Pods, []));
        Assert.That(survey.Flows.Keys, Is.EquivalentTo(new Flow[]
        {
            new(Web, Db, 6, 8080),
            new(Db, Web, 17, 53),
            new(Web6, Db6, 132, 9),
            new(Web, Db, 1, 0, 8),
            new(Web, InetAddress.Parse("10.42.1.1"), 6, 80, ToOwnNode: true),
        }));
        Assert.That(survey.Flows.Values, Is.All.False);
        Assert.That((survey.Connections, survey.Marked), Is.EqualTo((6, 0)));
    }

    [Test]
    public void Our_bit_is_set_and_cleared_and_all_others_stay()
    {
        using var net = NetnsFixture.Create();
        Insert(net, "-p udp -s 10.42.1.5 -d 10.42.2.6 --sport 1 --dport 53 --mark 0x81");
        Insert(net, "-p udp -s 10.42.1.5 -d 10.42.2.6 --sport 2 --dport 53 -w 7");
        Insert(net, "-p udp -s 10.42.1.5 -d 10.42.2.6 --sport 3 --dport 54 --mark 0x7");
        Insert(net, "-p udp -s fd00:42:1::5 -d fd00:42:2::6 --sport 1 --dport 53");
        using var table = net.Netns.Run(FlowTable.Open);
        string[] before = ["1 129", "1 0", "2 0", "3 7"];
        Assert.That(Marks(net), Is.EquivalentTo(before));

        var survey = table.Survey(new(1, Pods, []));
        foreach (var flow in survey.Flows.Keys)
            survey.Flows[flow] = flow.DestinationPort == 53;
        Assert.That(table.Apply(survey), Is.EqualTo(new FlowChanges(3, 0)));
        Assert.That(Marks(net), Is.EquivalentTo(new[] { $"1 {0x20000081}", $"1 {0x20000000}", $"2 {0x20000000}", "3 7" }));
        Assert.That(table.Apply(survey), Is.EqualTo(default(FlowChanges)), "once is enough");

        survey = table.Survey(new(1, Pods, []));
        Assert.That(survey.Marked, Is.EqualTo(3));
        survey.Flows[new(Web6, Db6, 17, 53)] = true;
        Assert.That(table.Apply(survey), Is.EqualTo(new FlowChanges(0, 2)));
        Assert.That(table.Clear(), Is.EqualTo(1));
        Assert.That(Marks(net), Is.EquivalentTo(before));
    }

    [Test]
    public void What_belongs_to_another_connection_goes_with_that_one()
    {
        using var net = NetnsFixture.Create();
        using var socket = net.Open(NetlinkProtocol.NETLINK_NETFILTER);
        var control = new ConntrackTuple(Web, Db, 17, 40000, 69);
        Connections.Create(socket, [control]);
        Connections.Create(socket, [new(Db, Web, 17, 50000, 40000)], control);
        using var table = net.Netns.Run(FlowTable.Open);
        var survey = table.Survey(new(1, Pods, []));
        Assert.That(survey.Flows.Keys, Is.EqualTo(new[] { new Flow(Web, Db, 17, 69) }));
        survey.Flows[new(Db, Web, 17, 40000)] = true;
        Assert.That(table.Apply(survey), Is.EqualTo(default(FlowChanges)));
    }

    // More than one datagram of answers, and of changes. The times are for people; what is held to is that memory depends on flows, not on connections.
    [Test]
    public void A_hundred_thousand_connections_are_read_without_memory_for_each()
    {
        using var net = NetnsFixture.Create();
        using (var socket = net.Open(NetlinkProtocol.NETLINK_NETFILTER))
            Connections.Create(socket, Enumerable.Range(0, 100_000).Select(i => new ConntrackTuple(Db, Web, 6, (ushort)(1000 + i / 1000), (ushort)(1 + i % 1000))));
        using var table = net.Netns.Run(FlowTable.Open);
        table.Survey(new(1, Pods, []));
        var memory = GC.GetAllocatedBytesForCurrentThread();
        var survey = Timed("survey", () => table.Survey(new(1, Pods, [])));
        memory = GC.GetAllocatedBytesForCurrentThread() - memory;
        TestContext.Out.WriteLine($"{survey.Connections} connections, {survey.Flows.Count} flows, {memory} bytes");
        Assert.That((survey.Connections, survey.Flows.Count), Is.EqualTo((100_000, 1000)));
        Assert.That(memory, Is.LessThan(1_000_000));

        foreach (var flow in survey.Flows.Keys)
            survey.Flows[flow] = flow.DestinationPort <= 100;
        Assert.That(Timed("mark 10,000", () => table.Apply(survey)), Is.EqualTo(new FlowChanges(10_000, 0)));
        Assert.That(Timed("survey", () => table.Survey(new(1, Pods, []))).Marked, Is.EqualTo(10_000));
        Assert.That(Timed("clear 10,000", table.Clear), Is.EqualTo(10_000));
    }

    private static T Timed<T>(string what, Func<T> action)
    {
        var (clock, before) = (Stopwatch.StartNew(), Environment.CpuUsage);
        var result = action();
        var after = Environment.CpuUsage;
        TestContext.Out.WriteLine($"{what}: {clock.Elapsed.TotalMilliseconds:0} ms; CPU {(after.UserTime - before.UserTime).TotalMilliseconds:0} ms here, {(after.PrivilegedTime - before.PrivilegedTime).TotalMilliseconds:0} ms in the kernel");
        return result;
    }

    private static void Insert(NetnsFixture net, string connection) => net.Run($"conntrack -I -t 600 {connection}");

    // Source port and mark of each.
    private static IEnumerable<string> Marks(NetnsFixture net) =>
        from line in net.Run("conntrack -L -f ipv4").Split('\n').Concat(net.Run("conntrack -L -f ipv6").Split('\n'))
        where line.Length > 0
        let words = line.Split(' ')
        select $"{words.First(word => word.StartsWith("sport=", StringComparison.Ordinal))[6..]} {words.Single(word => word.StartsWith("mark=", StringComparison.Ordinal))[5..]}";
}
