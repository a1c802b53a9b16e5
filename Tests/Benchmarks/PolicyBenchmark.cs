using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Overlay.Tests.Kernel;

namespace Overlay.Tests.Benchmarks;

/// <summary>
/// What policies on one pod cost the first packet of a flow, in a real kernel: pods with 0, 1, 10 and 100 policies that each allow another peer, of which only the
/// last allows the sender, so that every one of them is asked. Each packet is a flow of its own. Rounds are short and alternate between the pods, and the fastest of each counts:
/// some are not disturbed, whatever else the machine does. <c>./build.ps1 bench policy</c>; the suite runs it shortly, to keep it working, and asserts no times.
/// </summary>
public class PolicyBenchmark
{
    private const int PacketsPerRound = 250;
    private const int FirstPort = 1_000;
    private static readonly int[] Counts = [0, 1, 10, 100];
    private static readonly AddressFamily[] Families = [AddressFamily.InterNetwork, AddressFamily.InterNetworkV6];
    private static readonly int Rounds = Environment.GetEnvironmentVariable("OVERLAY_BENCH") == "1" ? 200 : 1;

    [Test]
    public void First_packet_of_a_flow_to_a_pod_with_more_and_more_policies()
    {
        using var cluster = TestCluster.Create(1);
        cluster.Apply("cluster.yaml", string.Join("---\n", [PodOf("client", "client"), .. Counts.Select(count => PodOf($"server-{count}", "server")), .. Strangers(), .. Counts.SelectMany(Policies)]));
        var client = cluster.Nodes[0].AddPod("shop/client");
        var servers = Counts.ToDictionary(count => count, count => cluster.Nodes[0].AddPod($"shop/server-{count}"));

        // Flows are forgotten soon: a full table of connections would cost all of them.
        cluster.Nodes[0].Net.Netns.Run(() => File.WriteAllText("/proc/sys/net/netfilter/nf_conntrack_udp_timeout", "1"));

        // Packets end here, counted, before anybody answers that nobody listens. Neither end tracks connections.
        foreach (var pod in servers.Values)
            pod.Net.Run("nft -f -", "table inet sink {\n counter arrived { }\n chain prerouting { type filter hook prerouting priority raw; meta l4proto udp counter name arrived drop\n }\n}\n");
        cluster.AwaitPolicies();
        foreach (var family in Families)
        {
            var fastest = Counts.ToDictionary(count => count, _ => double.MaxValue);
            Send(client, servers[0], family); // neighbours, caches and the compiler have been here
            for (var round = 0; round < Rounds; round++)
                foreach (var (count, server) in servers)
                    fastest[count] = Math.Min(fastest[count], Send(client, server, family));
            if (Rounds > 1)
                Print(family, fastest);
        }

        foreach (var (count, pod) in servers)
        {
            var sent = PacketsPerRound * Families.Length * (Rounds + (count == 0 ? 1 : 0));
            var arrived = int.Parse(pod.Net.Run("nft list counter inet sink arrived").Split("packets ")[1].Split(' ')[0], CultureInfo.InvariantCulture);
            Assert.That(arrived, Is.InRange(sent * 9 / 10, sent + 10), $"packets that reach server-{count}: all its policies were asked and the last allowed them");
        }
    }

    private static void Print(AddressFamily family, Dictionary<int, double> fastest)
    {
        var bare = fastest[0];
        foreach (var (count, time) in fastest)
        {
            var each = count == 0 ? "" : FormattableString.Invariant($", {(time - bare) / count:0} ns for each policy");
            TestContext.Progress.WriteLine(FormattableString.Invariant($"{(family == AddressFamily.InterNetwork ? "IPv4" : "IPv6")}, {count,3} policies: {time / 1000:0.00} us a packet, {time / bare:0.00} times that without policies{each}"));
        }
    }

    // Nanoseconds a packet takes, from the system call to its end in the other namespace: all of the way is made within the call.
    private static double Send(TestPod client, TestPod server, AddressFamily family)
    {
        using var socket = client.Net.Netns.Run(() => new Socket(family, SocketType.Dgram, ProtocolType.Udp));
        socket.Bind(new IPEndPoint(client.Address(family), 0));
        var destinations = Enumerable.Range(FirstPort, PacketsPerRound).Select(port => new IPEndPoint(server.Address(family), port).Serialize()).ToArray();
        byte[] payload = [1, 2, 3, 4];
        var begin = Stopwatch.GetTimestamp();
        foreach (var destination in destinations)
            socket.SendTo(payload, SocketFlags.None, destination);
        return Stopwatch.GetElapsedTime(begin).TotalNanoseconds / PacketsPerRound;
    }

    private static IEnumerable<string> Policies(int count) => Enumerable.Range(1, count).Select(index => $$"""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata: { name: server-{{count}}-{{index:000}}, namespace: shop }
        spec:
          podSelector: { matchLabels: { name: server-{{count}} } }
          ingress: [{ from: [{ podSelector: { matchLabels: { app: {{(index == count ? "client" : $"stranger-{index}")}} } } }] }]

        """);

    // Who the other policies allow: pods elsewhere, so that their sets have an element.
    private static IEnumerable<string> Strangers() => Enumerable.Range(1, Counts.Max()).Select(index => PodOf($"stranger-{index}", $"stranger-{index}", $$"""
        status: { podIPs: [{ ip: 10.42.9.{{index}} }, { ip: "fd00:42:9::{{index}}" }] }

        """));

    private static string PodOf(string name, string app, string status = "") => $$"""
        apiVersion: v1
        kind: Pod
        metadata: { name: {{name}}, namespace: shop, labels: { name: {{name}}, app: {{app}} } }

        """ + status;
}
