using System.Runtime.Versioning;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Installation;
using Overlay.Tests.Kernel;

namespace Overlay.Tests.Dataplane.Installation;

[Platform(Exclude = "Win", Reason = "systemd is of Linux.")]
[UnsupportedOSPlatform("windows")]
public class SystemdUnitTests
{
    [Test]
    public void Folders_are_those_of_the_configuration()
    {
        var unit = new SystemdUnit("/usr/local/bin/overlay", new OverlayConfiguration());
        Assert.That(unit.Text, Does.Contain("\nRuntimeDirectory=overlay\nStateDirectory=overlay cni/networks\nConfigurationDirectory=cni/net.d\nReadWritePaths=-/etc/cni/net.d\n"));
        Assert.That(unit.FoldersToMake, Is.Empty);
        var other = new SystemdUnit("/opt/overlay", new OverlayConfiguration { StateDir = "/srv/state", Socket = "/srv/run/agent.sock", DatastoreDirectory = "/etc/overlay/cluster" });
        Assert.That(other.Text, Does.Contain("\nExecStart=/opt/overlay agent\n").And.Contain("\nStateDirectory=cni/networks\n").And.Contain("\nReadWritePaths=-/srv/run -/srv/state -/etc/cni/net.d -/etc/overlay/cluster\n"));
        Assert.That(other.Text, Does.Not.Contain("RuntimeDirectory="));
        Assert.That(other.FoldersToMake, Is.EqualTo(new[] { "/srv/run", "/srv/state" }));
    }

    [Test]
    public void Systemd_finds_nothing_wrong_with_it()
    {
        var folder = Directory.CreateTempSubdirectory("overlay-unit-");
        try
        {
            var path = Path.Combine(folder.FullName, SystemdUnit.Name);
            File.WriteAllText(path, Unit().Text);
            Assert.That(Analyze("verify", "--man=no", "--recursive-errors=no", path), Is.EqualTo((0, "")));
            var (code, said) = Analyze("security", "--offline=true", "--threshold=50", path);
            Assert.That(code, Is.Zero, said); // of 100, more is worse; without any of the sandbox it is 96
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    // The filter stands in the unit by the name of a group; what the agent needs of the kernel must be in it, or it would fail where nobody looks.
    [Test]
    public void Every_system_call_of_a_native_agent_is_one_that_the_unit_allows()
    {
        var allowed = Group("@system-service").ToHashSet();
        foreach (var group in Unit().Text.Split('\n').Where(line => line.StartsWith("SystemCallFilter=", StringComparison.Ordinal)))
            Assert.That(group, Is.EqualTo("SystemCallFilter=@system-service"));
        using var cluster = TestCluster.CreateEmpty();
        var node = cluster.Join("node-1", "192.168.7.1");
        cluster.ApplyNode("node-1", ["192.168.7.1"], ["10.42.1.0/24", "fd00:42:1::/64"]);
        var trace = Path.Combine(cluster.Folder, "trace");
        node.RunsUnder = ["strace", "-D", "-f", "-qq", "-o", trace];
        node.StartAgent();
        node.AddPod("shop/web").Remove();
        node.StopAgent();
        var called = File.ReadLines(trace).Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1].Split('(')[0]).Where(name => name.All(c => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) || c == '_')).Distinct().ToList();
        Assert.That(called, Does.Contain("setns"));
        Assert.That(called.Except(allowed), Is.Empty);
    }

    private static SystemdUnit Unit() => new("/bin/true", new OverlayConfiguration());

    private static IEnumerable<string> Group(string name) =>
        Analyze("syscall-filter", name).Said.Split('\n').Skip(1).Select(line => line.Trim()).Where(line => line.Length > 0 && line[0] != '#').SelectMany(line => line[0] == '@' ? Group(line) : [line]);

    private static (int ExitCode, string Said) Analyze(params string[] arguments)
    {
        if (!File.Exists("/usr/bin/systemd-analyze"))
            Assert.Ignore("Needs systemd-analyze (Debian's package systemd).");
        var (code, said) = Programs.Execute("systemd-analyze", arguments);
        return (code, said.Trim());
    }
}
