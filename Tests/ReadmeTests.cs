using System.Diagnostics;
using System.Text.RegularExpressions;
using Overlay.Dataplane.Cli.Demo;
using Overlay.Dataplane.Desired;

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
