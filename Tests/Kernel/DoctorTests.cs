using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Overlay.Dataplane.Doctor;
using Overlay.Tests.Fakes;

namespace Overlay.Tests.Kernel;

/// <summary><c>overlay doctor</c> as a user runs it, on a machine of which one thing is broken. The machine is a network namespace; no agent has ever run there.</summary>
public class DoctorTests
{
    private NetnsFixture _machine = null!;
    private string _folder = "";

    [SetUp]
    public void A_machine_that_can_be_a_node()
    {
        _machine = NetnsFixture.Create();
        _folder = Directory.CreateTempSubdirectory("overlay-doctor-").FullName;
        Directory.CreateDirectory(Manifests);
        Directory.CreateDirectory(ConfDir);
        File.WriteAllText(Path.Combine(Manifests, "nodes.yaml"), string.Join("\n---\n", Enumerable.Range(1, 2).Select(i => $$"""
            apiVersion: v1
            kind: Node
            metadata: { name: node-{{i}} }
            spec: { podCIDRs: ["10.42.{{i}}.0/24", "fd00:42:{{i}}::/64"] }
            status: { addresses: [{ type: InternalIP, address: 192.0.2.{{i}} }] }
            """)));
        _machine.Run("ip link set lo up");
        foreach (var (device, address) in new[] { ("eth0", "192.0.2.1/24"), ("eth1", "198.51.100.1/24") })
        {
            _machine.Run($"ip link add {device} type veth peer name {device}-far");
            foreach (var end in new[] { device, $"{device}-far" })
            {
                _machine.Run($"ip link set {end} addrgenmode none"); // or addresses would change by themselves for a second
                _machine.Run($"ip link set {end} up");
            }

            _machine.Run($"ip address add {address} dev {device}");
        }
    }

    [TearDown]
    public void End()
    {
        _machine?.Dispose();
        if (_folder.Length > 0)
            Directory.Delete(_folder, recursive: true);
    }

    private string Manifests => Path.Combine(_folder, "manifests");

    private string ConfDir => Path.Combine(_folder, "net.d");

    private string Flags => $"--node-name node-1 --datastore directory:{Manifests} --socket {_folder}/agent.sock --state-dir {_folder}/state --cni-conf-dir {ConfDir} --cni-ipam-dir {_folder}/networks";

    [Test]
    public void It_fails_nothing_and_changes_nothing()
    {
        var before = State();
        var findings = Doctor();
        Assert.That(Failed(findings), Is.Empty);
        foreach (var check in (string[])["kernel", "sysctl", "vxlan port", "underlay", "mtu", "pod network", "checksum", "other cni", "cni conf", "datastore", "disk"])
            Assert.That(Of(findings, check).Select(finding => finding.Severity), Is.Not.Empty.And.All.EqualTo(Severity.Pass), check);
        Assert.That(Of(findings, "peers").Single().What, Does.StartWith("not asked: no agent answers at"));
        Assert.That(State(), Is.EqualTo(before));
    }

    [Test]
    public void The_tunnels_port_taken_by_a_process()
    {
        using var taken = _machine.Netns.Run(() => new UdpClient(4789));
        Assert.That(Only("vxlan port"), Does.Contain($"pid {Environment.ProcessId} ("));
        Assert.That(Failed(Doctor("--vxlan-port 4790")), Is.Empty);
    }

    [Test]
    public void The_tunnels_port_taken_at_one_address_of_the_other_family()
    {
        using var taken = _machine.Netns.Run(() => new UdpClient(new IPEndPoint(IPAddress.IPv6Loopback, 4789)));
        Assert.That(Only("vxlan port"), Does.Contain($"pid {Environment.ProcessId} ("));
    }

    [TestCase("127.0.0.1", "127.0.0.1:9100")]
    [TestCase("::1", "[::1]:9100")]
    [TestCase("127.0.0.1", ":9100")]
    public void The_agents_own_port_taken_by_a_process(string taken, string wanted)
    {
        using var listener = _machine.Netns.Run(() =>
        {
            var made = new TcpListener(IPAddress.Parse(taken), 9100);
            made.Start();
            return made;
        });
        Assert.That(Only("ports", $"--metrics-address {wanted}"), Does.Contain($"pid {Environment.ProcessId} (").And.Contain("metrics.address"));
        Assert.That(Failed(Doctor("--metrics-address 127.0.0.2:9100 --health-address 127.0.0.1:9101")), Is.Empty);
    }

    [TestCase(4096)]
    [TestCase(77)]
    public void The_tunnels_port_taken_by_anothers_vxlan_device(int vni)
    {
        _machine.Run($"ip link add tunnel9 type vxlan id {vni} dstport 4789 local 192.0.2.1");
        _machine.Run("ip link set tunnel9 up");
        Assert.That(Only("vxlan port"), Does.Contain("tunnel9").And.Contain($"VNI {vni}"));
        Assert.That(Failed(Doctor("--encapsulation none")), Is.Empty, "nobody needs the port");
    }

    [Test]
    public void A_strict_rp_filter_with_the_way_back_by_another_device()
    {
        _machine.Run("ip route add 192.0.2.2 via 198.51.100.2 dev eth1");
        Assert.That(Failed(Doctor()), Is.Empty);
        Sysctl("ipv4/conf/eth0/rp_filter", 1);
        Assert.That(Only("sysctl"), Does.Contain("strict on eth0").And.Contain("Node node-2 (192.0.2.2)").And.Contain("answer by eth1"));
        Sysctl("ipv4/conf/all/rp_filter", 2);
        Assert.That(Failed(Doctor()), Is.Empty, "the larger value counts");
        Sysctl("ipv4/conf/all/rp_filter", 1);
        _machine.Run("ip route delete 192.0.2.2 via 198.51.100.2 dev eth1");
        Assert.That(Failed(Doctor()), Is.Empty, "both ways by one device");
    }

    // The doctor's word against the kernel's: with the same settings a packet of node-2 is dropped, or arrives.
    [TestCase(1, 0, true)]
    [TestCase(0, 1, true)]
    [TestCase(1, 2, false)]
    [TestCase(0, 0, false)]
    public void What_it_says_of_rp_filter_is_what_becomes_of_packets(int all, int device, bool dropped)
    {
        using var far = NetnsFixture.Create();
        _machine.Run("ip link set eth0 address 02:00:00:00:00:01");
        _machine.Run($"ip link set eth0-far netns {far.Name}");
        far.Run("ip link set eth0-far up");
        far.Run("ip address add 192.0.2.2/24 dev eth0-far");
        far.Run("ip neigh add 192.0.2.1 lladdr 02:00:00:00:00:01 dev eth0-far");
        _machine.Run("ip route add 192.0.2.2 via 198.51.100.2 dev eth1");
        Sysctl("ipv4/conf/all/rp_filter", all);
        Sysctl("ipv4/conf/eth0/rp_filter", device);
        Assert.That(Failed(Doctor(exitCode: dropped ? 1 : 0)).Select(finding => finding.Check), Is.EqualTo(dropped ? ["sysctl"] : Array.Empty<string>()));

        using var receiver = _machine.Netns.Run(() => new UdpClient(new IPEndPoint(IPAddress.Parse("192.0.2.1"), 7000)));
        using var sender = far.Netns.Run(() => new UdpClient(AddressFamily.InterNetwork));
        sender.Send([1], "192.0.2.1", 7000);
        TestCluster.Eventually(() => Filtered() > 0 || receiver.Available > 0, "the packet comes to the machine");
        Assert.That((Filtered() > 0, receiver.Available > 0), Is.EqualTo((dropped, !dropped)));
    }

    [Test]
    public void IPv6_turned_off()
    {
        Sysctl("ipv6/conf/all/disable_ipv6", 1);
        Assert.That(Only("sysctl"), Does.Contain("disable_ipv6"));
    }

    [Test]
    public void Leftovers_of_other_providers()
    {
        _machine.Run("ip link add cali0123456789a type veth peer name far");
        _machine.Run("ip link add kube-bridge type bridge");
        _machine.Run("nft -f -", """
            table ip filter { chain cali-FORWARD { }; chain KUBE-FORWARD { }; chain KUBE-NWPLCY-A { }; }
            table ip6 nat { chain FLANNEL-POSTRTG { }; }
            """);
        var found = Of(Doctor(), "other cni").Where(finding => finding.Severity == Severity.Warn).Select(finding => finding.What).ToList();
        Assert.That(found, Is.EquivalentTo(new[]
        {
            "Calico runs here or was left: devices cali0123456789a",
            "kube-router runs here or was left: devices kube-bridge",
            "Calico runs here or was left: chain ip filter cali-FORWARD",
            "kube-router runs here or was left: chain ip filter KUBE-NWPLCY-A",
            "flannel runs here or was left: chain ip6 nat FLANNEL-POSTRTG",
        }));
    }

    [Test]
    public void Anothers_configuration_before_ours()
    {
        File.WriteAllText(Path.Combine(ConfDir, "00-other.conflist"), "{}");
        Assert.That(Of(Doctor(), "cni conf").Single().Severity, Is.EqualTo(Severity.Warn));
        File.WriteAllText(Path.Combine(ConfDir, "05-overlay.conflist"), "{}");
        Assert.That(Only("cni conf"), Does.Contain("00-other.conflist"));
        File.Delete(Path.Combine(ConfDir, "00-other.conflist"));
        Assert.That(Failed(Doctor()), Is.Empty);
    }

    [Test]
    public void Modules_that_the_encapsulation_needs()
    {
        using var empty = NetnsFixture.Create();
        if (empty.TryRun("ip link add probe type ipip local 192.0.2.1").ExitCode == 0)
            Assert.Ignore("This kernel has ipip, so nothing is missing.");
        var findings = Doctor("--encapsulation ipip", exitCode: 1);
        Assert.That(Failed(findings).Select(finding => finding.Check), Is.All.EqualTo("kernel"));
        Assert.That(Failed(findings)[0].Remedy, Does.Contain("modprobe ipip").And.Contain("/etc/modules-load.d/overlay.conf"));
        Assert.That(Failed(findings).Select(finding => finding.Remedy.Split('(')[0]), Is.EqualTo(new[] { "Load ipip ", "Load sit " }), "IPv6 pods over IPv4");
    }

    [TestCase("ip address add 10.42.1.1/24 dev eth1", "address 10.42.1.1/24 of eth1")]
    [TestCase("ip route add 10.42.2.0/24 via 198.51.100.2", "route 10.42.2.0/24 via 198.51.100.2 dev eth1")]
    [TestCase("ip -6 route add fd00:42:1::/64 dev eth1", "route fd00:42:1::/64 dev eth1")]
    public void Something_that_overlaps_podCIDRs(string command, string named)
    {
        _machine.Run(command);
        Assert.That(Only("pod network"), Does.Contain(named));
    }

    [Test]
    public void Addresses_and_MTU()
    {
        Assert.That(Only("mtu", "--mtu 1500"), Does.Contain("1500"));
        _machine.Run("ip link set eth0 mtu 9000");
        Assert.That(Of(Doctor(), "mtu").Single().What, Is.EqualTo("pods get 8950 bytes: 9000 of eth0, less 50 for VXLAN over IPv4"));
        _machine.Run("ip address delete 192.0.2.1/24 dev eth0");
        Assert.That(Failed(Doctor(exitCode: 1)).Select(finding => finding.What), Has.Some.EqualTo("no device of this machine has the node's address 192.0.2.1"));
    }

    [Test]
    public void A_datastore_that_is_not_there()
    {
        Directory.Delete(Manifests, recursive: true);
        Assert.That(Only("datastore"), Does.Contain($"the folder {Manifests} does not exist"));
    }

    // In a mount namespace that ends with the command.
    [TestCase("-o ro", "cannot be made in")]
    [TestCase("-o size=8m", "MiB left")]
    [TestCase("-o nr_inodes=100", "files more")]
    public void A_disk_that_cannot_be_written_or_is_full(string options, string complaint)
    {
        Directory.CreateDirectory(Path.Combine(_folder, "disk"));
        var script = Path.Combine(_folder, "script");
        File.WriteAllText(script, $"mount -t tmpfs {options} none {_folder}/disk && exec {Programs.Usual.Overlay} doctor {Flags} --state-dir {_folder}/disk/overlay -o json".Replace($"--state-dir {_folder}/state ", ""));
        var findings = Read(_machine.TryRun($"unshare --mount sh {script}"), 1);
        Assert.That(Failed(findings).Single().What, Does.StartWith("stateDir").Or.StartWith("the file system of stateDir").And.Contain(complaint));
        Assert.That(Failed(findings).Single().What, Does.Contain(complaint));
    }

    [Test]
    public void Without_rights_it_says_what_it_could_not_look_at_and_goes_on()
    {
        var nobody = $"setpriv --reuid=65534 --regid=65534 --clear-groups {Programs.Usual.Overlay}";
        if (_machine.TryRun($"{nobody} --version") is { ExitCode: not 0 } unable)
            Assert.Ignore($"Needs setpriv, and a build that everybody may run: {unable.Error}");
        var findings = Read(_machine.TryRun($"{nobody} doctor {Flags} -o json"), 0);
        Assert.That(findings.Where(finding => finding.Remedy.Contains("as root")).Select(finding => finding.Check).Distinct(), Is.SupersetOf(new[] { "kernel", "other cni", "datastore", "disk" }));
        Assert.That(findings.Where(finding => finding.Remedy.Contains("as root")).Select(finding => finding.Severity), Is.All.EqualTo(Severity.Warn));
        Assert.That(Of(findings, "vxlan port").Single().Severity, Is.EqualTo(Severity.Pass), "what everybody may see is looked at");
    }

    [Test]
    public void Interrupted_it_leaves_nothing()
    {
        using var silent = _machine.Netns.Run(() =>
        {
            var listener = new TcpListener(IPAddress.Loopback, 0);
            listener.Start();
            return listener;
        });
        var kubeconfig = KubeconfigFile.Write(_folder, new Uri($"http://{silent.LocalEndpoint}"), "", "token");
        var before = State();

        // A suite that runs in the background of a shell has SIGINT ignored, and so would its children.
        using var doctor = _machine.Start("env", ["--default-signal=INT", Programs.Usual.Overlay, "doctor", "--kubeconfig", kubeconfig, "--node-name", "node-1", "--socket", $"{_folder}/agent.sock"]);
        using (silent.AcceptTcpClient())
        {
            _machine.Run($"kill -s INT {doctor.Id}");
            Assert.That(doctor.WaitForExit(TimeSpan.FromSeconds(30)), Is.True);
        }

        Assert.That((doctor.ExitCode, doctor.StandardOutput.ReadToEnd(), doctor.StandardError.ReadToEnd()), Is.EqualTo((130, "", "overlay doctor: interrupted.\n")));
        Assert.That(State(), Is.EqualTo(before));
    }

    [Test]
    public void A_wrong_flag_is_refused_before_anything_is_looked_at()
    {
        var answer = _machine.TryRun($"{Programs.Usual.Overlay} doctor {Flags} --vxlan-port 0");
        Assert.That((answer.ExitCode, answer.Output), Is.EqualTo((2, "")));
        Assert.That(answer.Error, Does.StartWith("overlay doctor: ").And.Contain("--vxlan-port"));
    }

    [Test]
    public void For_people_each_finding_is_a_line_and_its_remedy_another()
    {
        _machine.Run("ip link add tunnel9 type vxlan id 4096 dstport 4789 local 192.0.2.1");
        var answer = _machine.TryRun($"{Programs.Usual.Overlay} doctor {Flags}");
        Assert.That(answer.ExitCode, Is.EqualTo(1));
        Assert.That(answer.Output, Does.Match(@"(?m)^fail  vxlan port   device tunnel9 .*\n      -> .*ip link delete tunnel9"));
        Assert.That(answer.Output, Does.Match(@"\n1 failed, [0-9]+ warnings?, [0-9]+ passed on node node-1\.\n\z"));
    }

    // Packets that rp_filter dropped (proc_net(5), netstat: a line of names, a line of numbers).
    private long Filtered()
    {
        var lines = _machine.Run("cat /proc/net/netstat").Split('\n').Where(line => line.StartsWith("TcpExt:", StringComparison.Ordinal)).Select(line => line.Split(' ')).ToArray();
        return long.Parse(lines[1][Array.IndexOf(lines[0], "IPReversePathFilter")]);
    }

    private void Sysctl(string key, int value) => _machine.Netns.Run(() => File.WriteAllText($"/proc/sys/net/{key}", $"{value}"));

    private List<Finding> Doctor(string more = "", int exitCode = 0) => Read(_machine.TryRun($"{Programs.Usual.Overlay} doctor {Flags} {more} -o json"), exitCode);

    // That nothing but this check fails, and what it says.
    private string Only(string check, string more = "")
    {
        var failed = Failed(Doctor(more, exitCode: 1));
        Assert.That(failed.Select(finding => finding.Check), Is.EqualTo(new[] { check }), string.Join('\n', failed));
        Assert.That(failed[0].Remedy, Is.Not.Empty);
        return failed[0].What;
    }

    private static List<Finding> Read(CommandOutput answer, int exitCode)
    {
        Assert.That((answer.ExitCode, answer.Error), Is.EqualTo((exitCode, "")), answer.Output);
        using var json = JsonDocument.Parse(answer.Output);
        Assert.That(json.RootElement.GetProperty("failed").GetInt32() > 0, Is.EqualTo(exitCode == 1));
        return
        [
            .. json.RootElement.GetProperty("findings").EnumerateArray().Select(finding => new Finding(
                finding.GetProperty("check").GetString()!,
                finding.GetProperty("severity").GetString() switch { "pass" => Severity.Pass, "warn" => Severity.Warn, "fail" => Severity.Fail, var other => throw new AssertionException($"severity {other}") },
                finding.GetProperty("what").GetString()!,
                finding.GetProperty("remedy").GetString()!)),
        ];
    }

    private static List<Finding> Failed(List<Finding> findings) => [.. findings.Where(finding => finding.Severity == Severity.Fail)];

    private static IEnumerable<Finding> Of(List<Finding> findings, string check) => findings.Where(finding => finding.Check == check);

    private string State() => string.Join('\n', (string[])
    [
        .. new[] { "ip -d -j link", "ip -j address", "ip -j route show table all", "ip -6 -j route show table all", "ip -j neighbour", "nft list ruleset", "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/ip_forward_use_pmtu", "grep -r . /proc/sys/net/ipv4/conf /proc/sys/net/ipv6/conf" }
            .Select(command => string.Join('\n', _machine.TryRun(command).Output.Split('\n').Where(line => !line.Contains("stable_secret")))),
        .. Directory.GetFileSystemEntries(_folder, "*", SearchOption.AllDirectories).Order(),
    ]);
}

/// <summary><c>overlay doctor</c> on a node whose agent runs.</summary>
public class DoctorWithAgentTests
{
    private TestCluster _cluster = null!;

    [TearDown]
    public void End() => _cluster?.Dispose();

    [Test]
    public void It_finds_the_node_well_and_a_peer_that_is_not()
    {
        _cluster = TestCluster.Create(2);
        var node = _cluster.Nodes[0];
        node.AddPod("shop/web");
        var before = node.State;
        var well = Doctor(node);
        Assert.That(well.ExitCode, Is.Zero, well.Output + well.Error);
        Assert.That(well.Output, Does.Contain("is that of our overlay-vxlan").And.Contain("1 other node sends full-size packets back").And.Contain("net.ipv4.ip_forward=1").And.Contain("05-overlay.conflist is the first").And.Contain("overlay-vxlan (driver vxlan)"));
        Assert.That(well.Output, Does.Match("(?m)^pass  pod network"));
        Assert.That(node.State, Is.EqualTo(before));

        _cluster.ApplyNode("node-3", ["192.168.7.3"], ["10.42.1.0/25"]);
        TestCluster.Eventually(() => node.Log.Contains("degraded: Node node-3"), "the agent knows that node-3 is wrong", () => node.Log);
        var ill = Doctor(node);
        Assert.That(ill.ExitCode, Is.EqualTo(1));
        Assert.That(ill.Output, Does.Match("(?m)^fail  peers +Node node-3: podCIDR 10.42.1.0/25 overlaps one of node-1"));
    }

    private CommandOutput Doctor(TestNode node) => node.Net.TryRun(
        $"{Programs.Usual.Overlay} doctor --node-name {node.Name} {string.Join(' ', _cluster.Datastore)} --socket {node.Socket} --state-dir {Path.GetDirectoryName(node.Attachments)} --cni-conf-dir {Path.GetDirectoryName(node.Conflist)} --cni-ipam-dir {node.IpamDir}");
}
