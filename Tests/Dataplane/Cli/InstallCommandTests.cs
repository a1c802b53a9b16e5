using System.Runtime.Versioning;
using Overlay.Dataplane.Cli;

namespace Overlay.Tests.Dataplane.Cli;

[Platform(Exclude = "Win", Reason = "This version installs on Linux only.")]
[UnsupportedOSPlatform("windows")]
public class InstallCommandTests
{
    private const UnixFileMode Mode755 = (UnixFileMode)0b111_101_101;

    private DirectoryInfo _folder = null!;
    private string _source = null!;
    private string _target = null!;

    [SetUp]
    public void MakeFolders()
    {
        _folder = Directory.CreateTempSubdirectory("overlay-install-");
        _source = _folder.CreateSubdirectory("image").FullName;
        _target = Path.Combine(_folder.FullName, "opt/cni/bin");
        File.WriteAllText(Path.Combine(_source, "overlay-cni"), "new");
    }

    [TearDown]
    public void RemoveFolders() => _folder.Delete(recursive: true);

    [Test]
    public void The_plugin_is_there_and_can_be_executed_and_so_is_loopback()
    {
        Assert.That(Install(), Is.EqualTo((ExitCode.Success, $"{Plugin} written\n{Loopback} linked to overlay-cni\n", "")));
        Assert.That(File.ReadAllText(Plugin), Is.EqualTo("new"));
        Assert.That(File.GetUnixFileMode(Plugin), Is.EqualTo(Mode755));
        Assert.That(File.ReadAllText(Loopback), Is.EqualTo("new"));
        Assert.That(Directory.EnumerateFileSystemEntries(_target).Select(Path.GetFileName), Is.EquivalentTo(new[] { "overlay-cni", "loopback" }));
    }

    [Test]
    public void A_second_time_nothing_is_touched()
    {
        Install();
        var before = Written(Plugin);
        Assert.That(Install().Output, Is.EqualTo($"{Plugin} is already this one\n{Loopback} is already a link to overlay-cni\n"));
        Assert.That(Written(Plugin), Is.EqualTo(before));
    }

    // By rename: who has the old one open, or runs it, goes on with it.
    [Test]
    public void The_old_plugin_is_replaced_in_one_step_under_whoever_runs_it()
    {
        Install();
        using var running = File.OpenText(Plugin);
        File.WriteAllText(Path.Combine(_source, "overlay-cni"), "newer");
        Assert.That(Install().Output, Does.StartWith($"{Plugin} written\n"));
        Assert.That((running.ReadToEnd(), File.ReadAllText(Plugin)), Is.EqualTo(("new", "newer")));
    }

    [Test]
    public void The_same_bytes_with_another_mode_are_replaced()
    {
        Install();
        File.SetUnixFileMode(Plugin, UnixFileMode.UserRead);
        Install();
        Assert.That(File.GetUnixFileMode(Plugin), Is.EqualTo(Mode755));
    }

    [Test]
    public void What_an_interrupted_installation_left_is_no_obstacle()
    {
        Directory.CreateDirectory(_target);
        var left = Path.Combine(_target, ".overlay-cni.tmp");
        File.WriteAllText(left, "half");
        File.SetUnixFileMode(left, UnixFileMode.UserRead);
        Assert.That(Install().ExitCode, Is.Zero);
        Assert.That((File.ReadAllText(Plugin), File.Exists(left)), Is.EqualTo(("new", false)));
    }

    [Test]
    public void The_loopback_of_somebody_else_stays()
    {
        Directory.CreateDirectory(_target);
        File.WriteAllText(Loopback, "theirs");
        Assert.That(Install().Output, Does.EndWith($"{Loopback} of somebody else stays\n"));
        Assert.That(File.ReadAllText(Loopback), Is.EqualTo("theirs"));
    }

    [Test]
    public void A_loopback_that_leads_nowhere_is_replaced()
    {
        Directory.CreateDirectory(_target);
        File.CreateSymbolicLink(Loopback, "gone");
        Assert.That(Install().ExitCode, Is.Zero);
        Assert.That(File.ReadAllText(Loopback), Is.EqualTo("new"));
    }

    [Test]
    public void Without_a_plugin_beside_it_nothing_is_installed()
    {
        File.Delete(Path.Combine(_source, "overlay-cni"));
        var (exitCode, _, error) = Install();
        Assert.That(exitCode, Is.EqualTo(ExitCode.Failure));
        Assert.That(error, Does.StartWith("overlay install: Could not find file").And.Contain("overlay-cni"));
        Assert.That(File.Exists(Plugin), Is.False);
    }

    [Test]
    public void A_folder_that_cannot_be_is_one_clear_line()
    {
        File.WriteAllText(Path.Combine(_folder.FullName, "opt"), "a file");
        var (exitCode, _, error) = Install();
        Assert.That(exitCode, Is.EqualTo(ExitCode.Failure));
        Assert.That(error.TrimEnd().Split('\n'), Has.Length.EqualTo(1));
    }

    private string Plugin => Path.Combine(_target, "overlay-cni");

    private string Loopback => Path.Combine(_target, "loopback");

    private (int ExitCode, string Output, string Error) Install()
    {
        using var output = new StringWriter { NewLine = "\n" };
        using var error = new StringWriter { NewLine = "\n" };
        return (InstallCommand.Run(_source, _target, output, error), output.ToString(), error.ToString());
    }

    private static DateTime Written(string path) => File.GetLastWriteTimeUtc(path);
}
