namespace Overlay.Tests.Kernel;

/// <summary><c>overlay install</c> and <c>uninstall</c> on a whole machine: a network namespace of its own, and folders that are its own as well.</summary>
public class InstallTests
{
    private const string Folders = "/etc /usr/local /opt /var/lib /run";

    private NetnsFixture _machine = null!;

    [SetUp]
    public void Make_a_machine() => _machine = NetnsFixture.Create();

    [TearDown]
    public void End() => _machine?.Dispose();

    [Test]
    public void A_machine_gets_it_and_gets_it_off_again()
    {
        var said = Run($"""
            overlay install
            echo "--- twice"
            overlay install
            echo "--- a pod"
            ip link add ovl0123456789a type veth peer name far
            overlay uninstall || echo "refused $?"
            echo "--- off"
            overlay uninstall --force
            echo "--- left"
            find {Folders} -type f -o -type l
            ip -o link show type veth
            overlay uninstall
            """).Split("--- ");
        Assert.That(said, Has.Length.EqualTo(5), string.Join("--- ", said));
        foreach (var line in Sample())
            Assert.That(said[0].Split('\n'), Does.Contain(line));
        Assert.That(said[1], Does.Not.Contain(" written").And.Not.Contain("systemctl"));
        Assert.That(said[2], Does.Contain("overlay uninstall: 1 interfaces of pods are wired on this node").And.EndWith("refused 1\n"));
        Assert.That(said[3], Does.Contain("pod         ovl0123456789a").And.Contain("/usr/local/bin/overlay removed").And.EndWith("systemctl daemon-reload\n"));
        Assert.That(said[4], Is.EqualTo("left\nNothing of Overlay is on this node.\nNo overlay install has put anything below /usr/local.\n"));
    }

    // What the README shows of it; it leaves out most of the man pages.
    private static IEnumerable<string> Sample()
    {
        var readme = File.ReadAllText(Path.Combine(SourceTree.Root, "README.md"));
        var begin = readme.IndexOf("/usr/local/bin/overlay written", StringComparison.Ordinal);
        return readme[begin..readme.IndexOf("```", begin, StringComparison.Ordinal)].Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }

    private string Run(string script)
    {
        var prepare = string.Concat(Folders.Split(' ').Select(folder => $"mount -t tmpfs tmpfs {folder}\n"));
        using var process = _machine.Start(
            new Dictionary<string, string> { ["DOTNET_ROOT"] = Programs.DotnetRoot, ["PATH"] = $"{Programs.Usual.Folder}:/usr/sbin:/usr/bin:/sbin:/bin" },
            "unshare", "--mount", "sh", "-ec", $"{prepare}exec 2>&1\n{script}");
        var said = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.That(process.ExitCode, Is.Zero, said);
        return said;
    }
}
