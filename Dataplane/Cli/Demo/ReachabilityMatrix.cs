using System.Numerics;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Cli.Demo;

/// <summary>Who answered whom: one bit per <see cref="DemoScenario.Ports"/> entry, for each family.</summary>
/// <param name="IPv4">Bit i: port i answered over IPv4.</param>
/// <param name="IPv6">Bit i: port i answered over IPv6.</param>
internal readonly record struct Reachability(byte IPv4, byte IPv6)
{
    /// <summary>Whether a port answered.</summary>
    public bool this[int port, Family family] => (((family == Family.IPv4 ? IPv4 : IPv6) >> port) & 1) != 0;

    /// <summary>This with one port answered.</summary>
    public Reachability With(int port, Family family) =>
        family == Family.IPv4 ? this with { IPv4 = (byte)(IPv4 | (1 << port)) } : this with { IPv6 = (byte)(IPv6 | (1 << port)) };

    /// <summary>Number of (port, family) pairs that answered.</summary>
    public int Count => BitOperations.PopCount((uint)(IPv4 << 8 | IPv6));

    /// <summary>One character per port: its letter when both families answered, <c>4</c> or <c>6</c> when only that one did, a dot when none.</summary>
    public override string ToString()
    {
        var self = this;
        return string.Concat(DemoScenario.Ports.Select((port, i) => (self[i, Family.IPv4], self[i, Family.IPv6]) switch
        {
            (true, true) => port.Letter,
            (true, false) => '4',
            (false, true) => '6',
            _ => '.',
        }));
    }
}

/// <summary>One thing to try: a connection or a datagram from a pod.</summary>
/// <param name="From">Row: the sending pod.</param>
/// <param name="To">Column: a pod, or <see cref="DemoScenario.Outside"/>.</param>
/// <param name="Port">Index in <see cref="DemoScenario.Ports"/>.</param>
/// <param name="Family">IPv4 or IPv6.</param>
internal readonly record struct Probe(string From, string To, int Port, Family Family);

/// <summary>Reachability from every pod (rows) to every pod and the outside (columns). A pod to itself is not asked.</summary>
/// <param name="Rows">Senders.</param>
/// <param name="Columns">Receivers.</param>
/// <param name="Cells">By sender and receiver; none for a pod to itself.</param>
internal sealed record ReachabilityMatrix(IReadOnlyList<string> Rows, IReadOnlyList<string> Columns, IReadOnlyDictionary<(string From, string To), Reachability> Cells)
{
    /// <summary>Everything to try.</summary>
    public IEnumerable<Probe> Probes =>
        from cell in Cells.Keys
        from port in Enumerable.Range(0, DemoScenario.Ports.Count)
        from family in FamilyFacts.Both
        select new Probe(cell.From, cell.To, port, family);

    /// <summary>Number of probes that were, or should be, answered.</summary>
    public int Answers => Cells.Values.Sum(cell => cell.Count);

    /// <summary>Whether a probe was, or should be, answered.</summary>
    public bool this[Probe probe] => Cells[(probe.From, probe.To)][probe.Port, probe.Family];

    /// <summary>A matrix of the same shape with the answers of <paramref name="answered"/>.</summary>
    public ReachabilityMatrix Of(IEnumerable<Probe> answered)
    {
        var cells = Cells.Keys.ToDictionary(key => key, _ => default(Reachability));
        foreach (var probe in answered)
            cells[(probe.From, probe.To)] = cells[(probe.From, probe.To)].With(probe.Port, probe.Family);
        return this with { Cells = cells };
    }

    /// <summary>Cells that are not as in <paramref name="other"/>, which has the same shape.</summary>
    public IEnumerable<(string From, string To)> DifferencesTo(ReachabilityMatrix other) => Cells.Where(cell => cell.Value != other.Cells[cell.Key]).Select(cell => cell.Key);

    /// <summary>Reads a table whose first line names the columns and whose other lines begin with a sender: letters of the ports answered over both families, dots for the others, <c>-</c> for nothing to ask.</summary>
    /// <exception cref="FormatException">A cell does not have the letters of <see cref="DemoScenario.Ports"/> in their places.</exception>
    public static ReachabilityMatrix Parse(string table)
    {
        var lines = table.Split('\n').Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries)).ToList();
        var cells = new Dictionary<(string, string), Reachability>();
        foreach (var line in lines.Skip(1))
            foreach (var (column, text) in lines[0].Zip(line.Skip(1)).Where(cell => cell.Second != "-"))
                cells.Add((line[0], column), ParseCell(text));
        return new([.. lines.Skip(1).Select(line => line[0])], lines[0], cells);
    }

    private static Reachability ParseCell(string text)
    {
        var cell = default(Reachability);
        for (var i = 0; i < Math.Min(text.Length, DemoScenario.Ports.Count); i++)
            if (text[i] == DemoScenario.Ports[i].Letter)
                cell = cell.With(i, Family.IPv4).With(i, Family.IPv6);
        return cell.ToString() == text ? cell : throw new FormatException($"'{text}' does not have the letters of the ports in their places.");
    }
}
