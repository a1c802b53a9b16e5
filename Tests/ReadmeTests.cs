using System.Diagnostics;
using System.Text.RegularExpressions;
using Overlay.Dataplane.Capture;
using Overlay.Dataplane.Cli;
using Overlay.Dataplane.Cli.Demo;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Doctor;
using Overlay.Dataplane.Doctor.Checks;
using Overlay.Dataplane.Kernel;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;
using Overlay.Tests.Dataplane.Capture;
using PacketDotNet;

namespace Overlay.Tests;

/// <summary>What the README says is so.</summary>
public partial class ReadmeTests
{
    private static readonly string Readme = File.ReadAllText(Path.Combine(SourceTree.Root, "README.md"));

    [Test]
    public void It_starts_with_the_two_commands()
    {
        var commands = CodeLine().Matches(Readme).Select(match => match.Value).Take(2);
        Assert.That(commands, Is.EqualTo(new[] { "sudo ./build.ps1 demo", "sudo ./build.ps1 test" }));
    }

    [Test]
    public void Every_verb_of_the_build_script_it_names_exists()
    {
        var script = File.ReadAllText(Path.Combine(SourceTree.Root, "build.ps1"));
        var verbs = BuildVerb().Matches(Readme).Select(match => match.Groups[1].Value).Distinct().ToList();
        Assert.That(verbs, Has.Count.GreaterThan(2));
        foreach (var verb in verbs)
            Assert.That(script, Does.Match($@"\n    {verb}( \||\)).*;;"), $"./build.ps1 {verb}");
    }

    [Test]
    public void It_lists_the_verbs_of_overlay()
    {
        using var help = Process.Start(new ProcessStartInfo(Path.Combine(TestContext.CurrentContext.TestDirectory, "overlay"), "--help") { RedirectStandardOutput = true })!;
        var text = help.StandardOutput.ReadToEnd();
        help.WaitForExit();
        var existing = HelpVerb().Matches(text[text.IndexOf("Commands:", StringComparison.Ordinal)..]).Select(match => match.Groups[1].Value);
        Assert.That(TableVerb().Matches(Readme).Select(match => match.Groups[1].Value), Is.EquivalentTo(existing));
    }

    [Test]
    public void It_lists_every_key_of_the_configuration()
    {
        var missing = ConfigurationKey.All.Select(Row).Where(row => !Readme.Contains(row));
        Assert.That(string.Join('\n', missing), Is.Empty);
    }

    [Test]
    public void Its_sample_shows_the_matrix_of_the_demo()
    {
        var sample = Readme[Readme.IndexOf("With the policies:", StringComparison.Ordinal)..].Split('\n');
        foreach (var from in DemoScenario.AskedAfter.Rows)
        {
            var cells = DemoScenario.AskedAfter.Columns.Where(to => to != from).Select(to => DemoScenario.AskedAfter.Cells[(from, to)].ToString()).ToList();
            var line = sample.First(line => line.StartsWith(from + " ")).Split(' ', StringSplitOptions.RemoveEmptyEntries);
            Assert.That(line, Is.EqualTo((string[])[from, .. cells, from, .. cells]));
        }
    }

    // Of a node that comes from kube-router, whose kernel lacks a module, and whose way back to another node is not the way there.
    [Test]
    public void Its_sample_of_the_doctor_is_what_the_doctor_says()
    {
        var address = InetAddress.Parse("192.0.2.2");
        var configuration = new OverlayConfiguration { NodeName = "node-1", Encapsulation = Encapsulation.Ipip };
        Node[] nodes = [new("node-1", [Cidr.Parse("10.42.1.0/24")], [InetAddress.Parse("192.0.2.1")]), new("node-2", [Cidr.Parse("10.42.2.0/24")], [address])];
        PeerWay[] ways = [new("node-2", address, "eth0", "eth1")];
        Finding[] findings =
        [
            .. KernelCheck.Judge(new("6.8.0-31-generic", null, [new("veth pairs", "veth", "", TryOutcome.Done, ""), new("a ruleset", "", "", TryOutcome.Done, ""), new("ipip devices", "ipip", "", TryOutcome.Absent, "EOPNOTSUPP")])),
            .. SysctlCheck.Judge(new(false, new Dictionary<Family, bool> { [Family.IPv4] = false }, false, false, new Dictionary<string, int> { ["eth0"] = 1 }, ways)),
            .. UnderlayCheck.Judge(new(configuration, nodes, new([new DeviceAddress("eth0", Cidr.Parse("192.0.2.1/24"), 1500)], []), ways)),
            .. OtherProviderCheck.OfDevices([new() { Index = 4, Name = "kube-bridge" }], []),
            ConflistCheck.Judge(new("/etc/cni/net.d", "05-overlay.conflist", ["10-kuberouter.conflist"])),
            .. DatastoreCheck.Judge(new("directory:/etc/overlay/cluster", [], nodes, []), configuration),
            .. AgentCheck.Judge(null, "No agent answers at /run/overlay/agent.sock"),
            ClockCheck.Judge(true, ""),
        ];
        using var output = new StringWriter { NewLine = "\n" };
        DoctorCommand.Print(DoctorReport.Of("node-1", findings), new(output, 110));
        Assert.That(Readme, Does.Contain($"```\n{output}```\n"));
    }

    [Test]
    public void Its_sample_of_capture_is_what_capture_shows()
    {
        const string Node1 = "192.0.2.1", Node2 = "192.0.2.2", Node3 = "192.0.2.3", Web = "10.42.1.2", Db = "10.42.2.3", Bob = "10.42.3.3";
        Dictionary<string, string> pods = new() { [Web] = "shop/web", [Db] = "shop/db", [Bob] = "lab/bob" }, nodes = new() { [Node1] = "node-1", [Node2] = "node-2", [Node3] = "node-3" };
        (string Time, bool IsOutgoing, string From, string To, IPPacket Inner)[] packets =
        [
            ("21:03:11.402113", true, Node1, Node2, Packets.Tcp(Web, 43512, Db, 5432, tcp => tcp.Synchronize = true, payload: 20)),
            ("21:03:11.402590", false, Node2, Node1, Packets.Tcp(Db, 5432, Web, 43512, tcp => (tcp.Synchronize, tcp.Acknowledgment) = (true, true), payload: 20)),
            ("21:03:14.870021", true, Node1, Node3, Packets.Echo(Web, Bob, 1)),
            ("21:03:15.310877", false, Node2, Node1, Packets.Error(Node2, Web, 3, 4, 1400, Packets.Tcp(Web, 43512, Db, 5432, tcp => tcp.Acknowledgment = true, payload: 1410).Bytes[..548])),
        ];
        var lines = packets.Select(packet =>
        {
            var bytes = Packets.Vxlan(packet.From, packet.To, 4096, packet.Inner).Bytes;
            var frame = Packets.Frame(bytes, packet.IsOutgoing, time: TimeSpan.Parse(packet.Time).Ticks * TimeSpan.NanosecondsPerTick);
            var named = NamedPacket.Of(frame, Packets.Read(bytes), address => new(address.ToString(), pods.GetValueOrDefault(address.ToString()), nodes.GetValueOrDefault(address.ToString())));
            return PacketText.Line(named, TimeZoneInfo.Utc, withDevice: false) + "\n";
        });
        Assert.That(Readme, Does.Contain($"```\n{string.Concat(lines)}```\n"));
    }

    [Test]
    public void Its_sample_of_cleanup_is_what_cleanup_says()
    {
        var tunnel = NodeText.Print(new Link(Ownership.VxlanDevice, new LinkKind.Vxlan(4096, 4789, InetAddress.Parse("192.0.2.1")), Ownership.VtepMac("node-1"), 1450));
        OwnedObject[] objects =
        [
            new("table", "inet overlay", "nftables: 14 chains, 9 sets and maps"), new("tunnel", Ownership.VxlanDevice, tunnel[(Ownership.VxlanDevice.Length + 1)..]), new("pod", "ovl0c2e5a91b7d", "shop/web 8c1f5e0d"),
            new("route", "10.42.2.0/24 via 10.42.2.0 dev overlay-vxlan onlink"), new("connection", "2 connections", "cut by policy, or to a host port"),
            new("file", "/etc/cni/net.d/05-overlay.conflist", "runtimes send new pods to Overlay by it"),
        ];
        using var output = new StringWriter { NewLine = "\n" };
        CleanupCommand.Print(new(objects, []), dryRun: false, new(output, int.MaxValue));
        Assert.That(Readme, Does.Contain($"```\n{output}```\n"));
    }

    [Test]
    public void Every_file_and_folder_it_links_to_exists()
    {
        foreach (Match link in Link().Matches(Readme))
            Assert.That(Path.Exists(Path.Combine(SourceTree.Root, link.Groups[1].Value)), Is.True, link.Value);
    }

    private static string Row(ConfigurationKey key) => $"| `{key.Name}` | {(key.Default.Length == 0 ? "" : $"`{key.Default}`")} | {key.Accepted} | {key.Description} |";

    [GeneratedRegex("^(?:sudo )?\\./build\\.ps1 [a-z]+", RegexOptions.Multiline)]
    private static partial Regex CodeLine();

    [GeneratedRegex("\\./build\\.ps1 ([a-z]+)")]
    private static partial Regex BuildVerb();

    [GeneratedRegex("^  ([a-z]+)", RegexOptions.Multiline)]
    private static partial Regex HelpVerb();

    [GeneratedRegex("^\\| `overlay ([a-z]+)`", RegexOptions.Multiline)]
    private static partial Regex TableVerb();

    [GeneratedRegex("\\]\\((?!https?:)([^)#]+)\\)")]
    private static partial Regex Link();
}
