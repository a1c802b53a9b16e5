using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Runtime.Versioning;
using System.Text.Json;
using Overlay.Tests.Dataplane.Capture;
using SharpPcap;
using SharpPcap.LibPcap;

namespace Overlay.Tests.Kernel;

/// <summary><c>overlay capture</c> on a node of a running cluster, while pods talk: shop/web and shop/idle on node-1, shop/db and ops/prom on node-2.</summary>
[UnsupportedOSPlatform("windows")]
public class CaptureTests
{
    private const int Port = 5432;

    private TestCluster _cluster = null!;
    private TestPod _web = null!;
    private TestPod _idle = null!;
    private TestPod _db = null!;
    private TestPod _prom = null!;
    private string _folder = "";

    private static AddressFamily[] Families => [AddressFamily.InterNetwork, AddressFamily.InterNetworkV6];

    private TestNode Node => _cluster.Nodes[0];

    [OneTimeSetUp]
    public void Build()
    {
        _cluster = TestCluster.Create(2);
        _folder = Directory.CreateDirectory(Path.Combine(_cluster.Folder, "captures")).FullName;
        (string Pod, int Node)[] pods = [("shop/web", 1), ("shop/idle", 1), ("shop/db", 2), ("ops/prom", 2)];
        foreach (var (pod, node) in pods)
            _cluster.Apply($"pod-{pod.Replace('/', '-')}.yaml", $$"""{ apiVersion: v1, kind: Pod, metadata: { name: {{pod.Split('/')[1]}}, namespace: {{pod.Split('/')[0]}} }, spec: { nodeName: node-{{node}}, containers: [{ name: c }] } }""");
        (_web, _idle, _db, _prom) = (Node.AddPod("shop/web"), Node.AddPod("shop/idle"), _cluster.Nodes[1].AddPod("shop/db"), _cluster.Nodes[1].AddPod("ops/prom"));
        foreach (var pod in (TestPod[])[_db, _prom])
            pod.Serve(Port);
        TestCluster.Eventually(() => Node.Ask("NAMES", $"\"asked\":[\"{_db.IPv4}\",\"{_prom.IPv6}\"]")?.Contains("ops/prom") == true, "node-1 knows the pods of node-2", () => Node.Log);
    }

    [OneTimeTearDown]
    public void End() => _cluster?.Dispose();

    [TestCaseSource(nameof(Families))]
    public void The_tunnel_shows_packets_by_the_names_of_pods(AddressFamily family)
    {
        using var run = Start();
        Talk(_web, _db, family);
        var length = family == AddressFamily.InterNetwork ? 60 : 80;
        run.Await($@"^\d\d:\d\d:\d\d\.\d{{6}} out shop/web:\d+ → shop/db:5432 tcp \[S\] {length}$");
        run.Await($@" in  shop/db:5432 → shop/web:\d+ tcp \[S\.\] {length}$");
        Assert.That(run.Interrupt(), Is.Zero, run.Said);
        Assert.That(run.Said, Does.Match(@"\Aoverlay capture: on overlay-vxlan; Ctrl-C ends it\.\noverlay capture: \d+ packets shown, \d+ seen, 0 dropped by the kernel for lack of room\.\n\z"));
    }

    [TestCaseSource(nameof(Families))]
    public void The_underlay_shows_what_is_in_the_tunnel_and_which_nodes_it_joins(AddressFamily family)
    {
        using var run = Start("--underlay", "--port", "5432", "-o", "json");
        Talk(_web, _db, family);
        run.Await("\"flags\":\"S\\.\"");
        Assert.That(run.Interrupt(), Is.Zero, run.Said);
        using var json = JsonDocument.Parse(run.Lines[0]);
        var (root, tunnel) = (json.RootElement, json.RootElement.GetProperty("tunnels")[0]);
        Assert.That((root.GetProperty("device").GetString(), root.GetProperty("direction").GetString(), root.GetProperty("flags").GetString()), Is.EqualTo(("uplink", "out", "S")));
        Assert.That(root.GetProperty("source").GetProperty("pod").GetString(), Is.EqualTo("shop/web"));
        Assert.That((root.GetProperty("destination").GetProperty("address").GetString(), root.GetProperty("destination").GetProperty("node").GetString()), Is.EqualTo((_db.Address(family).ToString(), "node-2")));
        Assert.That((tunnel.GetProperty("encapsulation").GetString(), tunnel.GetProperty("vni").GetInt32()), Is.EqualTo(("vxlan", 4096)));
        Assert.That((tunnel.GetProperty("source").GetProperty("node").GetString(), tunnel.GetProperty("destination").GetProperty("node").GetString()), Is.EqualTo(("node-1", "node-2")));
    }

    [Test]
    public void A_pod_here_has_its_own_packets_only_and_directions_are_its_own()
    {
        using var run = Start("--pod", "shop/idle");
        Talk(_web, _db, AddressFamily.InterNetwork);
        Talk(_idle, _db, AddressFamily.InterNetwork);
        run.Await(@" out shop/idle:\d+ → shop/db:5432 tcp \[S\]");
        run.Await(@" in  shop/db:5432 → shop/idle:\d+ tcp \[S\.\]");
        Assert.That(run.Interrupt(), Is.Zero);
        Assert.That(run.Said, Does.Contain($"on {_idle.HostInterface}; "));
        Assert.That(run.Lines, Has.None.Contains("shop/web"));
    }

    [Test]
    public void A_pod_elsewhere_is_seen_on_the_way_there()
    {
        using var run = Start("--pod", "ops/prom");
        Talk(_web, _db, AddressFamily.InterNetwork);
        Talk(_web, _prom, AddressFamily.InterNetworkV6);
        run.Await(@" out shop/web:\d+ → ops/prom:5432 tcp \[S\]");
        Assert.That(run.Interrupt(), Is.Zero);
        Assert.That(run.Said, Does.Contain("on overlay-vxlan; "));
        Assert.That(run.Lines, Has.None.Contains("shop/db"));
    }

    [Test]
    public void A_namespace_a_count_and_an_error_about_what_is_looked_for()
    {
        using var run = Start("--namespace", "ops", "--protocol", "udp", "--count", "2", "--duration", "1h");
        Talk(_web, _db, AddressFamily.InterNetwork);
        _web.Net.Netns.Run(() =>
        {
            using var socket = new UdpClient();
            socket.Send([1, 2, 3], new IPEndPoint(_prom.IPv4, 7));
        });
        Assert.That(run.AwaitEnd(), Is.Zero, run.Said);
        Assert.That(run.Lines, Has.Count.EqualTo(2));
        Assert.That(run.Lines[0], Does.Match(@" out shop/web:\d+ → ops/prom:7 udp 31$"));
        Assert.That(run.Lines[1], Does.Match(@" in  ops/prom → shop/web icmp 59, port unreachable, about shop/web:\d+ → ops/prom:7 udp 31$"));
        Assert.That(run.Said, Does.Contain("2 packets shown"));
    }

    // The kernel needs no module of its own for it: another node sends it as it is.
    [Test]
    public void IP_in_IP_is_looked_into()
    {
        using var run = Start("--underlay", "--pod", "shop/db");
        var inner = Packets.Udp(_db.IPv4.ToString(), 1000, _web.IPv4.ToString(), 53).Bytes;
        using (var socket = _cluster.Nodes[1].Net.Netns.Run(() => Libc.OpenRaw(AddressFamily.InterNetwork, 4)))
            socket.SendTo(inner, new IPEndPoint(IPAddress.Parse(Node.Addresses[0]), 0));
        run.Await(@" in  shop/db:1000 → shop/web:53 udp 28 \(ipip, node-2 → node-1\)$");
    }

    [TestCase("--underlay")]
    [TestCase("--pod=shop/web")]
    public void What_is_written_wireshark_reads(string where)
    {
        var file = Path.Combine(_folder, $"{where}.pcap".Replace('/', '-').TrimStart('-'));
        using (var run = Start(where, "--protocol", "tcp", "-w", file))
        {
            Talk(_web, _db, AddressFamily.InterNetwork);
            TestCluster.Eventually(() => new FileInfo(file).Length > 200, "packets are in the file at once");
            Assert.That(run.Interrupt(), Is.Zero, run.Said);
            Assert.That(run.Lines, Is.Empty);
            Assert.That(run.Said, Does.Match(@"[1-9]\d* packets written, "));
        }

        Assert.That(File.GetUnixFileMode(file), Is.EqualTo(UnixFileMode.UserRead | UnixFileMode.UserWrite));
        var packets = Tshark(file, "ip.src", "ip.dst", "vxlan.vni", "tcp.dstport", "sll.pkttype");
        var addresses = where == "--underlay" ? ($"{Node.Addresses[0]},{_web.IPv4}", $"{_cluster.Nodes[1].Addresses[0]},{_db.IPv4}", "4096", "4") : (_web.IPv4.ToString(), _db.IPv4.ToString(), "", "0");
        Assert.That(packets[0].Split('\t'), Is.EqualTo(new[] { addresses.Item1, addresses.Item2, addresses.Item3, "5432", addresses.Item4 }), string.Join('\n', packets));
    }

    [Test]
    public void Standard_output_takes_it_too_and_tcpdumps_filters_choose()
    {
        var file = Path.Combine(_folder, "piped.pcap");
        using (var run = CaptureRun.Start(Node, _cluster.Programs.Overlay, false, "-w", "-", "--filter", "tcp dst port 5432 and ip6", "-c", "1"))
        using (var copy = File.Create(file))
        {
            Talk(_web, _db, AddressFamily.InterNetwork);
            Talk(_web, _db, AddressFamily.InterNetworkV6);
            run.Output.CopyTo(copy);
            Assert.That(run.AwaitEnd(), Is.Zero, run.Said);
        }

        Assert.That(Tshark(file, "ipv6.src", "tcp.dstport"), Is.EqualTo(new[] { $"{_web.IPv6}\t5432" }));
    }

    [Test]
    public void Without_an_agent_pods_of_this_node_have_names_all_the_same()
    {
        var nobody = Path.Combine(_folder, "nobody.sock");
        using (var run = Start("--socket", nobody, "--pod", "shop/web"))
        {
            Talk(_web, _db, AddressFamily.InterNetwork);
            run.Await($@" out shop/web:\d+ → {_db.IPv4}:5432 tcp \[S\]");
            Assert.That(run.Interrupt(), Is.Zero);
            Assert.That(run.Said.Split('\n').Count(line => line.Contains("No agent answers at")), Is.EqualTo(1), run.Said);
        }

        Fails(1, "No agent answers at .*Without it pods of this node alone are known, and shop/db is none\\.", "--socket", nobody, "--pod", "shop/db");
        Fails(1, "Which device is the underlay, the agent knows, and none answers: name the device by --interface\\.", "--socket", nobody, "--underlay");
    }

    [Test]
    public void What_cannot_be_done_is_said_in_one_line()
    {
        Fails(1, @"There is no pod shop/wep; the nearest name is shop/web\.", "--pod", "shop/wep");
        Fails(1, @"There is no device eth9 here; .*", "--interface", "eth9");
        Fails(1, @"Could not find a part of the path .*", "-w", Path.Combine(_folder, "none", "file.pcap"));
        Fails(1, @"--filter 'tcp prt 1': .*; see pcap-filter\(7\)\.", "--filter", "tcp prt 1");
        Fails(2, @"Option '--pod': 'web' is not NAMESPACE/POD\. See overlay capture --help\.", "--pod", "web");
        Fails(2, @"Option '--port': '0' is no port: a number from 1 to 65535\. .*", "--port", "0");
        Fails(2, @"Option '--port' makes no sense with --protocol icmp, which has no ports\. .*", "--protocol", "icmp", "--port", "1");
        Fails(2, @"Option '--duration': '5' is no time such as 30s, 10m or 1h\. .*", "--duration", "5");
        Fails(2, @"Option '--count': 'x' is no count: a number from 1 on\. .*", "--count", "x");
    }

    [Test]
    public void Without_the_right_to_it_says_which()
    {
        var run = Node.Net.TryRun($"setpriv --bounding-set=-net_raw --inh-caps=-net_raw {_cluster.Programs.Overlay} capture --socket {Node.Socket}");
        Assert.That((run.ExitCode, run.Error, run.Output), Is.EqualTo((1, "overlay capture: No right to see packets: run this as root (sudo), or give it CAP_NET_RAW.\n", "")));
    }

    [Test]
    public void A_closed_pipe_ends_it_quietly()
    {
        using var run = CaptureRun.Start(Node, _cluster.Programs.Overlay, false);
        run.Output.Dispose();
        Assert.That(run.AwaitEnd(), Is.Zero);
        Assert.That(run.Said, Is.EqualTo("overlay capture: on overlay-vxlan; Ctrl-C ends it.\n"));
    }

    [Test]
    public void A_device_that_goes_away_ends_it_and_says_so()
    {
        Node.Net.Run("ip link add gone0 type veth peer name gone1");
        Node.Net.Run("ip link set gone0 up");
        using var run = Start("--interface", "gone0");
        Node.Net.Run("ip link del gone0");
        Assert.That(run.AwaitEnd(), Is.EqualTo(1));
        Assert.That(run.Said, Does.Contain("overlay capture: gone0 is gone; no more packets come from it.\n"));
    }

    private CaptureRun Start(params string[] arguments) => CaptureRun.Start(Node, _cluster.Programs.Overlay, arguments);

    private static void Talk(TestPod from, TestPod to, AddressFamily family) =>
        TestCluster.Eventually(() => from.Connects(to.Address(family), Port), $"{from.Name} reaches {to.Name}");

    private void Fails(int code, string pattern, params string[] arguments)
    {
        using var run = Start(arguments);
        Assert.That((run.AwaitEnd(), run.Lines.Count), Is.EqualTo((code, 0)), run.Said);
        Assert.That(run.Said, Does.Match($@"\Aoverlay capture: {pattern}\n\z"));
    }

    // A line for each packet, of the fields of Wireshark's names.
    private static string[] Tshark(string file, params string[] fields)
    {
        try
        {
            using var tshark = Process.Start(new ProcessStartInfo("tshark", ["-r", file, "-T", "fields", .. fields.SelectMany(field => (string[])["-e", field])]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
            var error = tshark.StandardError.ReadToEndAsync();
            var output = tshark.StandardOutput.ReadToEnd();
            tshark.WaitForExit();
            Assert.That(tshark.ExitCode, Is.Zero, error.GetAwaiter().GetResult());
            return output.TrimEnd('\n').Split('\n');
        }
        catch (System.ComponentModel.Win32Exception)
        {
            using var reader = new CaptureFileReaderDevice(file);
            reader.Open();
            Assert.That(reader.GetNextPacket(out _), Is.EqualTo(GetPacketStatus.PacketRead));
            Assert.Ignore("Needs tshark to say what is in it; libpcap reads it.");
            throw;
        }
    }
}
