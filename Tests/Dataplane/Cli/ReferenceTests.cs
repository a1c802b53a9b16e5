using Overlay.Tests.Kernel;

namespace Overlay.Tests.Dataplane.Cli;

/// <summary>Man pages and shell completion, made by the program itself and read by those that they are for.</summary>
[Platform(Exclude = "Win", Reason = "Manual pages and these shells are of Unix.")]
public class ReferenceTests
{
    private static readonly Lazy<string> Documents = new(() =>
    {
        var folder = Directory.CreateTempSubdirectory("overlay-documents-").FullName;
        Assert.That(Programs.Execute(Programs.Usual.Overlay, "documents", folder), Is.EqualTo((0, "")));
        return folder;
    });

    [OneTimeTearDown]
    public void Remove()
    {
        if (Documents.IsValueCreated)
            Directory.Delete(Documents.Value, recursive: true);
    }

    [Test]
    public void Every_verb_has_a_page_that_man_can_print_without_a_warning()
    {
        if (!File.Exists("/usr/bin/man"))
            Assert.Ignore("Needs man (Debian's packages man-db and groff-base).");
        var pages = Directory.GetFiles($"{Documents.Value}/share/man/man8");
        var help = Programs.Execute(Programs.Usual.Overlay, "--help").Said;
        foreach (var verb in (string[])["agent", "status", "install", "uninstall", "cleanup", "completion"])
            Assert.That((help.Contains($"\n  {verb} ", StringComparison.Ordinal), pages.Count(page => page.EndsWith($"/overlay-{verb}.8", StringComparison.Ordinal))), Is.EqualTo((true, 1)), verb);
        Assert.That(pages.Select(Path.GetFileName), Has.One.EqualTo("overlay.8").And.None.EqualTo("overlay-documents.8"));
        foreach (var page in pages)
            Assert.That(Said("sh", "-c", $"LC_ALL=C.UTF-8 MANROFFSEQ= MANWIDTH=100 man --warnings -E UTF-8 -l -Tutf8 -Z '{page}' 2>&1 > /dev/null"), Is.Empty, page);
    }

    [Test]
    public void A_page_says_what_the_help_says()
    {
        if (!File.Exists("/usr/bin/man"))
            Assert.Ignore("Needs man (Debian's packages man-db and groff-base).");
        var text = Said("sh", "-c", $"LC_ALL=C.UTF-8 MANWIDTH=2000 man -E UTF-8 -l '{Documents.Value}/share/man/man8/overlay-cleanup.8' | col -bx");
        Assert.That(text, Does.Contain("overlay cleanup [OPTION ...]").And.Contain("--dry-run").And.Contain("only list what would go").And.Contain("--vxlan-port VALUE"));
    }

    [Test]
    public void Documents_of_one_program_are_the_same_bytes_each_time()
    {
        var other = Directory.CreateTempSubdirectory("overlay-documents-").FullName;
        try
        {
            Assert.That(Programs.Execute(Programs.Usual.Overlay, "documents", other).ExitCode, Is.Zero);
            Assert.That(Programs.Execute("diff", "-r", Documents.Value, other), Is.EqualTo((0, "")));
        }
        finally
        {
            Directory.Delete(other, recursive: true);
        }
    }

    [TestCase("overlay cle", "cleanup")]
    [TestCase("overlay cleanup --dry", "--dry-run")]
    [TestCase("overlay cleanup -o js", "json")]
    [TestCase("overlay completion b", "bash")]
    [TestCase("overlay doc", "doctor")] // and not the hidden verb
    [TestCase("overlay nothing-like-it", "")]
    public void Bash_completes(string line, string expected)
    {
        var program = Programs.Usual.Folder;
        Assert.That(Said("bash", "-c", $"""
            PATH={program}:$PATH
            source <(overlay completion bash)
            COMP_LINE='{line}' COMP_POINT={line.Length}
            read -ra COMP_WORDS <<< "$COMP_LINE"
            COMP_CWORD=$((${"{#"}COMP_WORDS[@]{"}"} - 1))
            _overlay
            printf '%s\n' "${"{"}COMPREPLY[@]{"}"}"
            """), Is.EqualTo(expected));
    }

    [TestCase("zsh")]
    [TestCase("fish")]
    public void The_script_is_one_that_the_shell_can_read(string shell)
    {
        if (Programs.Execute("sh", "-c", $"command -v {shell}").ExitCode != 0)
            Assert.Ignore($"Needs {shell} on PATH (Debian's package {shell}).");
        var script = Path.Combine(Documents.Value, shell == "zsh" ? "share/zsh/site-functions/_overlay" : "share/fish/vendor_completions.d/overlay.fish");
        Assert.That(Programs.Execute(shell, "-n", script), Is.EqualTo((0, "")));
    }

    private static string Said(string file, params string[] arguments)
    {
        var (code, said) = Programs.Execute(file, arguments);
        Assert.That(code, Is.Zero, said);
        return said.Trim();
    }
}
