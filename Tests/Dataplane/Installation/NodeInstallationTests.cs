using System.Runtime.Versioning;
using Overlay.Dataplane.Cli;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Installation;

namespace Overlay.Tests.Dataplane.Installation;

/// <summary><c>overlay install</c> and <c>uninstall</c> below a folder that stands for a machine.</summary>
[Platform(Exclude = "Win", Reason = "This version installs on Linux only.")]
[UnsupportedOSPlatform("windows")]
public class NodeInstallationTests
{
    private const string Unit = "/etc/systemd/system/overlay.service";
    private const string List = "/usr/local/share/overlay/installed.sha256";

    private DirectoryInfo _folder = null!;

    [SetUp]
    public void Make_a_machine_and_a_download()
    {
        _folder = Directory.CreateTempSubdirectory("overlay-install-");
        Directory.CreateDirectory(Source);
        Directory.CreateDirectory(Root);
        Put($"{Source}/overlay", "agent 1");
        Put($"{Source}/overlay-cni", "plugin 1");
        Put($"{Root}/usr/local/bin/else", "somebody else's");
    }

    [TearDown]
    public void Remove_them() => _folder.Delete(recursive: true);

    [Test]
    public void Everything_is_where_it_belongs()
    {
        Assert.That(Install().ExitCode, Is.Zero);
        Assert.That(Files(), Is.EquivalentTo(new[]
        {
            "/etc/overlay/overlay.yaml", Unit, "/opt/cni/bin/loopback", "/opt/cni/bin/overlay-cni", "/usr/local/bin/else", "/usr/local/bin/overlay", "/usr/local/share/man/man8/overlay.8", List,
        }));
        Assert.That((Read("/usr/local/bin/overlay"), Read("/opt/cni/bin/loopback")), Is.EqualTo(("agent 1", "plugin 1")));
        foreach (var program in (string[])["/usr/local/bin/overlay", "/opt/cni/bin/overlay-cni"])
            Assert.That(Convert.ToString((int)File.GetUnixFileMode(Root + program), 8), Is.EqualTo("755"), program);
        Assert.That(Convert.ToString((int)File.GetUnixFileMode(Root + Unit), 8), Is.EqualTo("644"));
    }

    [Test]
    public void A_second_time_changes_nothing()
    {
        Install();
        var before = Times();
        Assert.That(Install().Output, Does.Not.Contain(" written").And.Contain("/opt/cni/bin/overlay-cni is already this one"));
        Assert.That(Times(), Is.EqualTo(before));
    }

    // Whoever runs the old program goes on with it: it is another file.
    [Test]
    public void Another_version_takes_its_place_in_one_step_and_gives_it_back()
    {
        Install();
        using (var running = File.OpenText(Root + "/usr/local/bin/overlay"))
        {
            Put($"{Source}/overlay", "agent 2");
            Put($"{Source}/overlay-cni", "plugin 2");
            Assert.That(Install(page: "new page").Output, Does.Contain("/usr/local/bin/overlay written"));
            Assert.That((running.ReadToEnd(), Read("/usr/local/bin/overlay"), Read("/opt/cni/bin/overlay-cni")), Is.EqualTo(("agent 1", "agent 2", "plugin 2")));
        }

        Put($"{Source}/overlay", "agent 1");
        Put($"{Source}/overlay-cni", "plugin 1");
        Install();
        Assert.That((Read("/usr/local/bin/overlay"), Read("/opt/cni/bin/overlay-cni"), Read("/usr/local/share/man/man8/overlay.8")), Is.EqualTo(("agent 1", "plugin 1", "page")));
        Uninstall();
        Assert.That(Files(), Is.EqualTo(new[] { "/usr/local/bin/else" }));
    }

    [Test]
    public void After_uninstall_the_machine_has_the_files_it_had()
    {
        var before = Files();
        Install();
        Assert.That(Uninstall().ExitCode, Is.Zero);
        Assert.That(Files(), Is.EqualTo(before));
        Assert.That(Uninstall().Output, Is.EqualTo($"No overlay install has put anything below {Root}/usr/local.\n"));
    }

    [Test]
    public void A_configuration_that_somebody_wrote_stays_unless_it_is_purged()
    {
        Put($"{Root}/etc/overlay/overlay.yaml", "cni: {binDir: /usr/lib/cni}\nstateDir: /srv/overlay\n");
        Assert.That(Install().Output, Does.Contain("/etc/overlay/overlay.yaml stays as it is"));
        Assert.That(Read("/usr/lib/cni/overlay-cni"), Is.EqualTo("plugin 1"));
        Assert.That(Read(Unit), Does.Match("ReadWritePaths=.*-/srv/overlay"));
        Assert.That(Directory.Exists(Root + "/srv/overlay"), "systemd makes only folders of its own kinds");
        Assert.That(Uninstall().Output, Does.Contain("/etc/overlay/overlay.yaml is yours, and stays"));
        Assert.That(Read("/etc/overlay/overlay.yaml"), Does.StartWith("cni:"));
        Uninstall(purge: true);
        Assert.That(File.Exists(Root + "/etc/overlay/overlay.yaml"), Is.False);
    }

    [Test]
    public void Of_the_sample_configuration_what_somebody_made_stays_too()
    {
        Install();
        File.AppendAllText(Root + "/etc/overlay/overlay.yaml", "mtu: 1400\n");
        Install();
        Uninstall();
        Assert.That(Read("/etc/overlay/overlay.yaml"), Does.EndWith("mtu: 1400\n"));
    }

    [Test]
    public void A_wrong_configuration_installs_nothing()
    {
        Put($"{Root}/etc/overlay/overlay.yaml", "mtu: much\n");
        var (exitCode, output, error) = Install();
        Assert.That((exitCode, output), Is.EqualTo((ExitCode.Usage, "")));
        Assert.That(error, Does.StartWith($"overlay install: {Root}/etc/overlay/overlay.yaml:1: "));
    }

    [TestCase("/usr/local/bin/overlay", "or choose another --prefix")]
    [TestCase(Unit, "no overlay install put it there")]
    public void A_strangers_file_of_our_name_is_not_replaced(string path, string says)
    {
        Put(Root + path, "theirs");
        var before = Files();
        var (exitCode, _, error) = Install();
        Assert.That(exitCode, Is.EqualTo(ExitCode.Failure));
        Assert.That(error, Does.StartWith($"overlay install: {Root}{path} is there").And.Contain(says));
        Assert.That((Read(path), string.Join(' ', Files())), Is.EqualTo(("theirs", string.Join(' ', before))));
    }

    [Test]
    public void What_was_changed_in_the_unit_is_not_lost()
    {
        Install();
        File.AppendAllText(Root + Unit, "# mine\n");
        Assert.That(Install().Output, Does.Contain($"{Unit} had been changed"));
        Assert.That((Read(Unit), Read(Unit + ".changed")), Is.EqualTo((new SystemdUnit("/usr/local/bin/overlay", new()).Text, new SystemdUnit("/usr/local/bin/overlay", new()).Text + "# mine\n")));
        File.AppendAllText(Root + Unit, "# mine\n");
        Assert.That(Uninstall().Output, Does.Contain($"{Unit} has been changed since it was installed, and stays"));
        Assert.That(File.Exists(Root + Unit));
    }

    [Test]
    public void The_loopback_of_somebody_else_stays()
    {
        Put($"{Root}/opt/cni/bin/loopback", "theirs");
        Install();
        Uninstall();
        Assert.That(Read("/opt/cni/bin/loopback"), Is.EqualTo("theirs"));
    }

    [Test]
    public void A_page_that_the_new_version_has_no_more_goes()
    {
        Install();
        Install(name: "overlay-other.8");
        Assert.That(Files(), Has.None.EndsWith("/overlay.8").And.One.EndsWith("/overlay-other.8"));
    }

    // The configuration has changed, so the unit has to: the installed program writes it, and the plugin is where it is.
    [Test]
    public void The_installed_program_installs_anew_from_itself()
    {
        Install();
        Put($"{Root}/etc/overlay/overlay.yaml", "stateDir: /srv/overlay\n");
        Assert.That(Install(source: $"{Root}/usr/local/bin").Output, Does.Contain($"{Unit} written").And.Contain("overlay-cni is already this one"));
    }

    [Test]
    public void The_list_is_one_that_sha256sum_checks()
    {
        Install();
        var lines = File.ReadAllLines(Root + List).Select(line => line.Insert(66, Root));
        Assert.That(Kernel.Programs.Execute("sh", "-c", $"printf '%s\\n' '{string.Join("' '", lines)}' | sha256sum -c --quiet"), Is.EqualTo((0, "")));
    }

    [Test]
    public void The_sample_configuration_is_the_defaults_and_every_line_of_it_is_accepted()
    {
        Assert.That(ConfigurationReader.Read("sample", SampleConfiguration.Text, new Dictionary<string, string>(), new Dictionary<string, string>()).Configuration, Is.EqualTo(new OverlayConfiguration()));
        var open = string.Join('\n', SampleConfiguration.Text.Split('\n').Select(line => line.StartsWith('#') && !line.StartsWith("# ") ? line[1..] : line));
        var reading = ConfigurationReader.Read("sample", open, new Dictionary<string, string>(), new Dictionary<string, string>());
        Assert.That((string.Join('\n', reading.Errors), reading.Configuration), Is.EqualTo(("", new OverlayConfiguration())));
        Assert.That(ConfigurationKey.All.Where(key => !SampleConfiguration.Text.Contains($"\n#{key.Name}:")), Is.Empty);
    }

    private string Source => Path.Combine(_folder.FullName, "download");

    private string Root => Path.Combine(_folder.FullName, "machine");

    private (int ExitCode, string Output, string Error) Install(string page = "page", string name = "overlay.8", string? source = null)
    {
        using var output = new StringWriter { NewLine = "\n" };
        using var error = new StringWriter { NewLine = "\n" };
        var code = InstallCommand.RunAll(source ?? Source, new(Root, "/usr/local"), prefix => [new($"{prefix}/share/man/man8/{name}", System.Text.Encoding.UTF8.GetBytes(page))], output, error);
        return (code, output.ToString(), error.ToString());
    }

    private (int ExitCode, string Output) Uninstall(bool purge = false)
    {
        using var output = new StringWriter { NewLine = "\n" };
        return (UninstallCommand.Run(new(Root, "/usr/local"), purge, force: false, output, TextWriter.Null), output.ToString());
    }

    private string Read(string path) => File.ReadAllText(Root + path);

    private static void Put(string path, string text)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, text);
    }

    private List<string> Files() => [.. Directory.EnumerateFiles(Root, "*", SearchOption.AllDirectories).Select(path => path[Root.Length..]).Order(StringComparer.Ordinal)];

    private List<string> Times() => [.. Files().Select(path => $"{path} {File.GetLastWriteTimeUtc(Root + path):O}")];
}
