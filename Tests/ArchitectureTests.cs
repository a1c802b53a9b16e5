using System.Text.RegularExpressions;
using Match = Overlay.PolicyEngine.Nftables.Match;
using Statement = Overlay.PolicyEngine.Nftables.Statement;

namespace Overlay.Tests;

/// <summary>The rules of the house that can be read off the source files.</summary>
public partial class ArchitectureTests
{
    private const int MaximumFile = 400;
    private const int MaximumMethod = 60;

    private static readonly string[] Projects = ["CniShim", "Dataplane", "Packaging", "PolicyEngine", "Tests"];

    private static readonly List<SourceFile> Sources =
    [
        .. from project in Projects
           from path in Directory.EnumerateFiles(Path.Combine(SourceTree.Root, project), "*.cs", SearchOption.AllDirectories)
           let relative = Path.GetRelativePath(SourceTree.Root, path).Replace('\\', '/')
           where !relative.Contains("/obj/") && !relative.Contains("/bin/")
           orderby relative
           select new SourceFile(relative, File.ReadAllLines(path)),
    ];

    [Test]
    public void Files_are_short() =>
        Assert.That(Sources.Where(file => file.Lines.Length > MaximumFile).Select(file => $"{file.Path} has {file.Lines.Length} lines"), Is.Empty);

    [Test]
    public void Methods_are_short() =>
        Assert.That(Sources.SelectMany(file => file.Members().Where(member => member.Length > MaximumMethod)), Is.Empty);

    // The measure itself must not go blind.
    [Test]
    public void The_measure_of_methods_sees_them()
    {
        var seen = Sources.Single(file => file.Path == "PolicyEngine/Explain/PacketTracer.cs").Members().ToList();
        Assert.That(seen, Has.Count.GreaterThan(7));
        Assert.That(seen.Max(member => member.Length), Is.InRange(25, MaximumMethod));
    }

    [Test]
    public void Namespace_is_folder()
    {
        var wrong = from file in Sources
                    let declared = file.Lines.Select(line => NamespaceLine().Match(line)).FirstOrDefault(match => match.Success)?.Groups[1].Value
                    let folder = "Overlay." + Path.GetDirectoryName(file.Path)!.Replace('/', '.')
                    where declared is not null && declared != folder
                    select $"{file.Path} declares {declared}";
        Assert.That(wrong, Is.Empty);
    }

    [Test]
    public void No_type_has_a_banned_name()
    {
        var wrong = from file in Sources
                    from line in file.Lines
                    let match = TypeLine().Match(line)
                    // Netlink speaks the kernel's language: IFLA_INFO_DATA is IflaInfo.
                    where match.Success && BannedName().IsMatch(match.Groups[2].Value) && !file.Path.StartsWith("Dataplane/Netlink/", StringComparison.Ordinal)
                    select $"{file.Path}: {match.Groups[2].Value}";
        Assert.That(wrong, Is.Empty);
    }

    // Who may not name whom: style.md 6.1, "Dependencies point one way".
    [TestCase("PolicyEngine/", @"Overlay\.(Dataplane|CniShim)|Serilog|Microsoft\.|k8s|System\.(IO|Threading|Diagnostics\.Process)|\b(File|Directory|Console|Environment|DateTime|Stopwatch)\.|async ")]
    [TestCase("CniShim/", @"Overlay\.(Dataplane|PolicyEngine\.(?!Model))")]
    [TestCase("Dataplane/", @"using Overlay\.(CniShim\.(?!Protocol)|Tests)")]
    [TestCase("Dataplane/Store/", @"\b(Datastore|Kernel|Windows|Netlink|Reconcile|Cni|Cli)[.;]")]
    [TestCase("Dataplane/Desired/", @"Overlay\.Dataplane\.(Datastore|Kernel|Windows|Netlink|Reconcile|Cni|Cli)\b")]
    [TestCase("Dataplane/Datastore/", @"Overlay\.Dataplane\.(Kernel|Windows|Netlink|Reconcile|Cni|Cli)\b")]
    [TestCase("Dataplane/Reconcile/DeltaTable", @"Overlay\.Dataplane\.(Datastore|Kernel|Windows|Netlink|Cni|Cli)\b")]
    [TestCase("Dataplane/Kernel/", @"Overlay\.Dataplane\.(Datastore|Store|Windows|Cli)\b")]
    [TestCase("Dataplane/Netlink/", @"Overlay\.Dataplane\.(Datastore|Store|Kernel|Windows|Reconcile|Cni|Cli)\b")]
    [TestCase("Dataplane/Doctor/Checks/", @"\b(File|Directory|Path|Environment|DateTime|Stopwatch|Console|Sysctl|Netns|NetlinkSocket|Libc)\.|\basync |Doctor\.Machine")]
    public void Dependencies_point_one_way(string folder, string forbidden)
    {
        var pattern = new Regex(forbidden);
        Assert.That(Matching(file => file.Path.StartsWith(folder, StringComparison.Ordinal), pattern), Is.Empty);
    }

    // Only three places may start a program: the plugin that ipam.type names; our own plugin's DEL, which the agent owes to pods whose addresses came from such a one; and the demo, which runs our own agent and plugin.
    [Test]
    public void The_product_starts_no_program_and_imports_by_source_generation() => Assert.That(
        Matching(
            file => !file.Path.StartsWith("Tests/", StringComparison.Ordinal) && Path.GetFileName(file.Path) is not ("DelegatedIpam.cs" or "PluginProcess.cs" or "DemoProcess.cs"),
            new(@"\bProcess\.Start|\bnew Process\b|ProcessStartInfo|\[DllImport")),
        Is.Empty);

    [Test]
    public void The_plugin_and_the_engine_reference_nothing()
    {
        foreach (var project in new[] { "CniShim", "PolicyEngine" })
            Assert.That(File.ReadAllText(Path.Combine(SourceTree.Root, project, project + ".csproj")), Does.Not.Contain("Reference Include"), project);
    }

    [Test]
    public void Log_event_ids_are_unique()
    {
        var ids = Sources.Where(file => Path.GetFileName(file.Path).StartsWith("Log.", StringComparison.Ordinal))
            .SelectMany(file => file.Lines).Select(line => EventId().Match(line)).Where(match => match.Success).Select(match => match.Groups[1].Value).ToList();
        Assert.That(ids, Is.Unique);
    }

    // A case that the tracer lacks would only show when a test happens to meet it.
    [TestCase(typeof(Match))]
    [TestCase(typeof(Statement))]
    public void Tracer_names_every_case(Type family)
    {
        var tracer = string.Join('\n', Sources.Single(file => file.Path == "PolicyEngine/Explain/PacketTracer.cs").Lines);
        Assert.That(family.GetNestedTypes().Where(type => !tracer.Contains($"{family.Name}.{type.Name} ") && !tracer.Contains($"{family.Name}.{type.Name}:")).Select(type => type.Name), Is.Empty);
    }

    private static IEnumerable<string> Matching(Func<SourceFile, bool> where, Regex pattern) =>
        from file in Sources
        where @where(file)
        from line in file.Lines.Select((text, index) => (Text: text, Number: index + 1))
        where !line.Text.TrimStart().StartsWith("//", StringComparison.Ordinal) && pattern.IsMatch(line.Text)
        select $"{file.Path}:{line.Number}: {line.Text.Trim()}";

    [GeneratedRegex(@"^namespace ([\w.]+);")]
    private static partial Regex NamespaceLine();

    [GeneratedRegex(@"^\s*(?:(?:public|internal|private|protected|file|sealed|static|abstract|partial|readonly|ref|unsafe)\s+)*\b(class|record struct|record|struct|interface|enum)\s+(\w+)")]
    private static partial Regex TypeLine();

    [GeneratedRegex("(Manager|Helpers?|Utils?|Info|Data|Handler|Service|Processor|Common|Base)$")]
    private static partial Regex BannedName();

    [GeneratedRegex(@"(?:EventId\s*=\s*|LoggerMessage\(\s*|new EventId\(\s*)(\d+)")]
    private static partial Regex EventId();

    /// <summary>A member and where it stands.</summary>
    private sealed record Member(string Path, int Line, int Length)
    {
        public override string ToString() => $"{Path}:{Line} is {Length} lines long";
    }

    /// <summary>A source file, laid out as .editorconfig asks for: a brace that opens a block stands alone, and its partner stands in the same column.</summary>
    private sealed record SourceFile(string Path, string[] Lines)
    {
        /// <summary>The outermost blocks that are no type's and no namespace's: methods, constructors, properties, switch expressions.</summary>
        public IEnumerable<Member> Members()
        {
            var insideText = false;
            var end = -1;
            for (var i = 0; i < Lines.Length; i++)
            {
                if ((Lines[i].Split("\"\"\"").Length - 1) % 2 == 1)
                    insideText = !insideText;
                if (insideText || i <= end || Lines[i].TrimStart() != "{")
                    continue;
                var header = Header(i);
                if (TypeLine().IsMatch(Lines[header]))
                    continue;
                var indent = Lines[i][..^1];
                end = Array.FindIndex(Lines, i, line => line.StartsWith(indent + "}", StringComparison.Ordinal));
                yield return new(Path, header + 1, end - header + 1);
            }
        }

        // The first line of the declaration that the block belongs to: upwards while lines are indented deeper than the block.
        private int Header(int brace)
        {
            var column = Lines[brace].Length - 1;
            var line = brace - 1;
            while (line > 0 && (Lines[line].Length == 0 || Lines[line].Length - Lines[line].TrimStart().Length > column))
                line--;
            return line;
        }
    }
}
