using System.Globalization;
using Overlay.PolicyEngine.Model;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Overlay.Dataplane.Cli.Demo;

/// <summary>
/// Prints the demo for people: colour and lines where the terminal has them, plain ASCII where not. 80 columns are enough; on fewer, what stands
/// side by side comes one below the other.
/// </summary>
/// <param name="console">Where to.</param>
internal sealed class DemoText(IAnsiConsole console)
{
    // Columns that two matrices take.
    private const int SideBySide = 78;

    private bool HasUnicode => console.Profile.Capabilities.Unicode && console.Profile.Capabilities.Ansi;

    /// <summary>What will be seen.</summary>
    public void Begin() => console.MarkupLine(CultureInfo.InvariantCulture,
        $"[bold]Overlay demo[/]: {DemoScenario.Nodes.Count} nodes, {DemoScenario.Pods.Count} pods, {DemoScenario.Policies.Count} policies, IPv4 and IPv6, on this machine alone");

    /// <summary>A step that is done.</summary>
    public void Step(DemoStep step) => console.MarkupLine(CultureInfo.InvariantCulture,
        $"[green]{(HasUnicode ? '✓' : '+')}[/] {Markup.Escape(step.What).PadRight(Math.Min(66, console.Profile.Width - 12))} [grey]{step.Milliseconds / 1000.0,6:0.00} s[/]");

    /// <summary>Nodes, their pods and addresses.</summary>
    public void Layout(IReadOnlyList<DemoPodResult> pods, Family underlay)
    {
        console.WriteLine();
        var table = new Table { Border = TableBorder.None }.AddColumns(Column(""), Column("pod"), Column("IPv4"), Column("IPv6"));
        foreach (var node in DemoScenario.Nodes)
        {
            var heading = $"[bold]{node.Name}[/] [grey]{node.Underlay.Single(prefix => prefix.Family == underlay).Address}[/]";
            foreach (var pod in pods.Where(pod => pod.Node == node.Name))
            {
                table.AddRow([new Markup(heading), new Text(pod.Name), .. pod.Addresses.Select(address => new Text(address))]);
                heading = "";
            }
        }

        console.Write(table);
    }

    /// <summary>The policies, a line each.</summary>
    public void Policies()
    {
        console.WriteLine();
        foreach (var policy in DemoScenario.Policies)
            console.MarkupLine(CultureInfo.InvariantCulture, $"[bold]{policy.Name.ToString(),-21}[/] {Markup.Escape(policy.Asks)}");
        console.WriteLine();
    }

    /// <summary>A measured matrix next to the one asked for.</summary>
    public void Matrices(string title, ReachabilityMatrix measured, ReachabilityMatrix asked)
    {
        console.WriteLine();
        console.MarkupLine(CultureInfo.InvariantCulture, $"[bold]{title}[/]: {measured.Answers} of {measured.Probes.Count()} probes answered");
        var differing = measured.DifferencesTo(asked).ToHashSet();
        IRenderable[] both = [Matrix("measured", measured, differing), Matrix("asked for", asked, [])];
        if (console.Profile.Width >= SideBySide)
            console.Write(new Grid().AddColumn(new GridColumn().PadRight(3)).AddColumn().AddRow(both));
        else
            console.Write(new Rows(both));
    }

    /// <summary>How to read a cell.</summary>
    public void Legend() => console.MarkupLine(
        $"[grey]rows send, columns answer; {string.Join(", ", DemoScenario.Ports.Select(port => $"{port.Letter} = {port}"))}, {(HasUnicode ? '·' : '.')} = no answer;{Environment.NewLine}a letter: IPv4 and IPv6, 4 or 6: that one only, !: not as asked[/]");

    /// <summary>The last line.</summary>
    public void Verdict(int cells, int differing, TimeSpan total)
    {
        console.WriteLine();
        console.MarkupLine(CultureInfo.InvariantCulture, differing == 0
            ? $"[bold green]All {cells} cells are as the policies ask[/], in {total.TotalSeconds:0.0} s; everything was removed again."
            : $"[bold red]{differing} of {cells} cells are not as the policies ask[/], in {total.TotalSeconds:0.0} s; everything was removed again.");
    }

    private Rows Matrix(string title, ReachabilityMatrix matrix, HashSet<(string, string)> differing)
    {
        // Each column has one place more than it needs: the gap, where a cell that differs has its mark.
        var table = new Table { Border = TableBorder.None }.AddColumn(Column("", matrix.Rows.Max(from => from.Length) + 1));
        foreach (var to in matrix.Columns.Select(Abbreviate))
            table.AddColumn(Column(to, Math.Max(to.Length, DemoScenario.Ports.Count) + 1));
        foreach (var from in matrix.Rows)
            table.AddRow([new Text(from), .. matrix.Columns.Select(to => Cell(matrix.Cells.TryGetValue((from, to), out var cell) ? cell : null, differing.Contains((from, to))))]);
        return new(new Markup($"[underline]{title}[/]"), table);
    }

    private Markup Cell(Reachability? cell, bool differs)
    {
        if (cell is null)
            return new("");
        var text = cell.Value.ToString();
        if (differs)
            return new($"[bold white on red]{text}[/]!");
        return new(string.Concat(text.Select(letter => letter == '.' ? $"[grey]{(HasUnicode ? '·' : '.')}[/]" : $"[green]{letter}[/]")));
    }

    private static TableColumn Column(string heading, int? width = null) => new TableColumn(new Markup($"[bold]{heading}[/]")) { Width = width }.Padding(0, 0, width is null ? 2 : 0, 0).NoWrap();

    private static string Abbreviate(string name) => name.Length <= 5 ? name : name[..3];
}
