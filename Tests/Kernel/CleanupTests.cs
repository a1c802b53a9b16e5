using System.Text.Json;
using System.Text.RegularExpressions;
using Overlay.CniShim.Protocol;

namespace Overlay.Tests.Kernel;

/// <summary><c>overlay cleanup</c> as a user runs it, on a machine on which strangers have things like ours.</summary>
public partial class CleanupTests
{
    private TestCluster _cluster = null!;
    private string _before = "";

    [SetUp]
    public void A_machine_of_strangers_becomes_a_node()
    {
        _cluster = TestCluster.CreateEmpty();
        _cluster.Join("node-1", "192.168.7.1", "fd07::1");
        foreach (var command in (string[])
        [
            "ip link add ovlan0 type bridge", // our prefix, and neither our kind nor our form
            "ip link add ovl-stranger type veth peer name ovb-stranger",
            "ip link add overlay-ipip type bridge", // our very name on another kind, with what we would take for ours
            "ip address add 198.51.100.1/24 dev overlay-ipip",
            "ip neigh add 198.51.100.7 lladdr 02:00:00:00:00:07 dev overlay-ipip nud permanent",
            "ip link set overlay-ipip up",
            "ip route add 203.0.113.0/24 via 192.168.7.9 proto 80",
            "ip route add 203.0.113.0/24 via 192.168.7.9 proto 79 table 100",
            "nft add table inet other",
            "nft add chain inet other forward { type filter hook forward priority 0; }",
            "nft add table ip overlay", // another family's
            "conntrack -I -t 600 -p udp -s 192.0.2.7 -d 192.0.2.8 --sport 1 --dport 53 --mark 0x7",
        ])
            Node.Net.Run(command);
        _before = Machine();
        _cluster.ApplyNode("node-1", ["192.168.7.1", "fd07::1"], ["10.42.1.0/24", "fd00:42:1::/64"]);
        _cluster.ApplyNode("node-2", ["192.168.7.2", "fd07::2"], ["10.42.2.0/24", "fd00:42:2::/64"]);
        Node.StartAgent();
    }

    [TearDown]
    public void End() => _cluster?.Dispose();

    [Test]
    public void The_machine_is_as_it_was_before_the_agent_and_its_pods()
    {
        Node.AddPod("shop/web");
        Node.AddPod("shop/db", [new PortMapping { HostPort = 8053, ContainerPort = 53, Protocol = "udp" }]);
        Node.AddPod("shop/gone").Remove();
        Node.StopAgent(kill: true);
        var (address, mark) = (Node.Pods[1].IPv4, $"{0x20000007}");
        Node.Net.Run($"conntrack -I -t 600 -p udp -s 192.0.2.7 -d 192.168.7.1 --sport 2 --dport 8053 --reply-src {address} --reply-dst 192.0.2.7 --reply-port-src 53 --reply-port-dst 2");
        Node.Net.Run($"conntrack -U -p udp -s 192.0.2.7 -d 192.0.2.8 --sport 1 --dport 53 --mark {mark}");

        var full = Machine();
        var listed = Json(Cleanup("--dry-run", "-o", "json")); // with the pair of shop/gone, when the agent was killed before it had removed it
        Assert.That(Machine(), Is.EqualTo(full), "a look changes nothing");
        Assert.That(listed.GetProperty("objects").EnumerateArray().Select(found => found.GetProperty("kind").GetString()).Where(kind => kind != "retired").Distinct(), Is.EquivalentTo(new[] { "table", "tunnel", "pod", "route", "connection", "file" }));
        Assert.That(listed.ToString(), Does.Contain("shop/web").And.Contain(Node.Conflist).And.Not.Contain("overlay-ipip").And.Not.Contain("ovlan0").And.Not.Contain("203.0.113.0"));

        Assert.That(Json(Cleanup("-o", "json")).GetProperty("objects").ToString(), Is.EqualTo(listed.GetProperty("objects").ToString()));
        Assert.That(Machine(), Is.EqualTo(_before));
        Assert.That(File.Exists(Node.Conflist), Is.False);
        Assert.That(Cleanup().Output, Is.EqualTo("Nothing of Overlay is on this node.\n"));
        Assert.That(Directory.EnumerateFiles(Node.Attachments), Is.Not.Empty, "what is remembered stays");

        Cleanup("--state");
        Node.AssertNoPod();
        Assert.That(Cleanup("--state").Output, Is.EqualTo("Nothing of Overlay is on this node.\n"));
    }

    [Test]
    public void It_refuses_while_an_agent_runs()
    {
        var state = Node.State;
        var refused = TryCleanup("--socket", "/nowhere/agent.sock");
        Assert.That((refused.ExitCode, refused.Output), Is.EqualTo((1, "")));
        Assert.That(refused.Error, Does.StartWith("overlay cleanup: an agent runs on this node (it holds ").And.Contain("systemctl disable --now overlay"));
        Assert.That(TryCleanup("--state-dir", "/nowhere").Error, Does.Contain($"(it answers at {Node.Socket})"));
        Assert.That(Node.State, Is.EqualTo(state));
        Assert.That(Cleanup("--dry-run").Output, Does.Contain("tunnel      overlay-vxlan  ").And.EndsWith("would be removed; sysctls stay as they are.\n"));
    }

    [Test]
    public void An_agent_that_comes_after_it_starts_from_nothing_and_pods_can_be_made_again()
    {
        var pod = Node.AddPod("shop/web");
        Node.StopAgent();
        Cleanup();
        Node.StartAgent();
        Assert.That(pod.Remove().ExitCode, Is.Zero);
        Node.AssertNoPod();
        pod.Add([]);
        Assert.That(pod.IPv4.ToString(), Does.StartWith("10.42.1."));
    }

    private TestNode Node => _cluster.Nodes[0];

    private CommandOutput TryCleanup(params string[] more)
    {
        var folder = Path.GetDirectoryName(Node.Socket)!;
        var flags = new Dictionary<string, string> { ["--node-name"] = "node-1", ["--datastore"] = $"directory:{_cluster.Manifests}", ["--socket"] = Node.Socket, ["--state-dir"] = $"{folder}/state", ["--cni-conf-dir"] = $"{folder}/net.d", ["--cni-ipam-dir"] = Node.IpamDir };
        foreach (var flag in more.Where(flags.ContainsKey))
            flags.Remove(flag);
        return Node.Net.TryRun($"{_cluster.Programs.Overlay} cleanup {string.Join(' ', flags.Select(flag => $"{flag.Key} {flag.Value}"))} {string.Join(' ', more)}");
    }

    private CommandOutput Cleanup(params string[] more)
    {
        var output = TryCleanup(more);
        Assert.That(output.ExitCode, Is.Zero, output.Error);
        return output;
    }

    private static JsonElement Json(CommandOutput output) => JsonDocument.Parse(output.Output).RootElement;

    // All that networking has here, whoever made it, but for what the kernel itself makes: of forwarding, a sysctl, anycast addresses; of a device that has come up, a moment later, its link-local one. Connections that the agent itself began, and neighbours that the kernel learned, are nobody's.
    private string Machine() => string.Join('\n',
        Node.Net.Run("nft -s list ruleset"),
        Node.Net.Run("ip -o link show"),
        Node.Net.Run("ip address show scope global"),
        Node.Net.Run("ip -4 route show table all"),
        string.Join('\n', Node.Net.Run("ip -6 route show table all").Split('\n').Where(route => !route.StartsWith("anycast ", StringComparison.Ordinal) && !route.Contains("fe80:", StringComparison.Ordinal))),
        Node.Net.Run("ip rule show"),
        Node.Net.Run("ip neigh show nud permanent"),
        Node.Net.Run("tc qdisc show"),
        Timeout().Replace(Node.Net.Run("conntrack -L -p udp -s 192.0.2.7"), ""));

    [GeneratedRegex("(?<=udp +17 )[0-9]+")]
    private static partial Regex Timeout();
}
