using System.Globalization;

namespace Overlay.Dataplane.Yaml;

/// <summary>Something wrong with a field.</summary>
/// <param name="Line">1-based.</param>
/// <param name="Field">Path, such as <c>spec.ingress[0].ports[1].port</c>.</param>
/// <param name="Reason">One clear sentence.</param>
public readonly record struct FieldProblem(int Line, string Field, string Reason);

/// <summary>
/// The fields of one mapping, read by name; wrong types are noted as problems and read as absent. As in the API, a field whose value is null is absent.
/// Fields that were never asked for are unknown: <see cref="RejectUnknown"/>.
/// </summary>
internal sealed class Fields
{
    private readonly Dictionary<string, KeyValuePair<YamlNode.Scalar, YamlNode>> _entries = new(StringComparer.Ordinal);
    private readonly HashSet<string> _asked = new(StringComparer.Ordinal);
    private readonly List<FieldProblem> _problems;

    /// <summary>Reads <paramref name="node"/>; null and nothing make an object without fields.</summary>
    /// <param name="node">A mapping, or it is a problem.</param>
    /// <param name="path">Path of the object; empty for the document.</param>
    /// <param name="problems">Where problems go.</param>
    public Fields(YamlNode node, string path, List<FieldProblem> problems)
    {
        Line = node.Line;
        Path = path;
        _problems = problems;
        if (node is YamlNode.Mapping mapping)
        {
            foreach (var entry in mapping.Entries)
                _entries.Add(entry.Key.Text, entry);
        }
        else if (node is not YamlNode.Scalar { IsNull: true })
        {
            problems.Add(new(node.Line, path, $"{node.Noun} stands where fields are expected."));
        }
    }

    /// <summary>1-based line the object begins on.</summary>
    public int Line { get; }

    /// <summary>Path of the object.</summary>
    public string Path { get; }

    /// <summary>How many problems the document has so far.</summary>
    public int Problems => _problems.Count;

    /// <summary>The names of the fields, in order.</summary>
    public IEnumerable<string> Names => _entries.Keys;

    /// <summary>Whether the field is there and not null.</summary>
    public bool Has(string name) => Node(name) is not null;

    /// <summary>Makes fields known that are read later, or not at all.</summary>
    public void AskFor(params ReadOnlySpan<string> names)
    {
        foreach (var name in names)
            _asked.Add(name);
    }

    /// <summary>The field's value, or null when absent.</summary>
    public YamlNode? Node(string name)
    {
        _asked.Add(name);
        return _entries.TryGetValue(name, out var entry) && entry.Value is not YamlNode.Scalar { IsNull: true } ? entry.Value : null;
    }

    /// <summary>A text, or null.</summary>
    public string? Text(string name) => Node(name) switch
    {
        null => null,
        YamlNode.Scalar { IsText: true } scalar => scalar.Text,
        YamlNode.Scalar scalar => Reject<string>(name, $"{scalar.Noun} stands where text is expected; put it in quotes."),
        var node => Reject<string>(name, $"{node.Noun} stands where text is expected."),
    };

    /// <summary>A whole number written as such, or null.</summary>
    public long? Integer(string name)
    {
        switch (Node(name))
        {
            case null:
                return null;
            case YamlNode.Scalar { IsPlain: true } scalar when scalar.Text.TrimStart('+', '-') is ['0', _, ..] digits && digits.All(char.IsAsciiDigit):
                Reject(name, $"{scalar.Text} begins with a zero, which YAML 1.1 reads as octal; write it without.");
                return null;
            case YamlNode.Scalar { IsPlain: true } scalar when long.TryParse(scalar.Text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number):
                return number;
            case var node:
                Reject(name, $"{node.Noun} stands where a whole number is expected.");
                return null;
        }
    }

    /// <summary>A boolean, or null.</summary>
    public bool? Boolean(string name)
    {
        switch (Node(name))
        {
            case null:
                return null;
            case YamlNode.Scalar { IsPlain: true, Text: "true" or "True" or "TRUE" }:
                return true;
            case YamlNode.Scalar { IsPlain: true, Text: "false" or "False" or "FALSE" }:
                return false;
            case var node:
                Reject(name, $"{node.Noun} stands where true or false is expected.");
                return null;
        }
    }

    /// <summary>An object; one without fields when absent.</summary>
    public Fields Object(string name) => new(Node(name) ?? new YamlNode.Mapping(Line, []), PathOf(name), _problems);

    /// <summary>The items of a list; none when absent.</summary>
    public IReadOnlyList<YamlNode> List(string name) => Node(name) switch
    {
        null => [],
        YamlNode.Sequence sequence => sequence.Items,
        var node => Reject<IReadOnlyList<YamlNode>>(name, $"{node.Noun} stands where a list is expected.") ?? [],
    };

    /// <summary>The items of a list of objects, with paths such as <c>ports[1]</c>.</summary>
    public IEnumerable<Fields> Objects(string name) => List(name).Select((item, i) => new Fields(item, $"{PathOf(name)}[{i}]", _problems));

    /// <summary>The items of a list of texts, each with its line and path; others are problems and left out.</summary>
    public IEnumerable<(string Text, int Line, string Path)> Texts(string name)
    {
        foreach (var (i, item) in List(name).Index())
        {
            var path = $"{PathOf(name)}[{i}]";
            if (item is YamlNode.Scalar { IsText: true } scalar)
                yield return (scalar.Text, scalar.Line, path);
            else
                _problems.Add(new(item.Line, path, $"{item.Noun} stands where text is expected."));
        }
    }

    /// <summary>Notes a problem with a field, or with the object when <paramref name="name"/> is empty.</summary>
    public void Reject(string name, string reason) =>
        _problems.Add(new(_entries.TryGetValue(name, out var entry) ? entry.Value.Line : Line, name.Length == 0 ? Path : PathOf(name), reason));

    /// <summary>Notes a problem at a place of its own.</summary>
    public void Reject(int line, string path, string reason) => _problems.Add(new(line, path, reason));

    /// <summary>Notes every field that was never asked for.</summary>
    /// <returns>Whether there was one.</returns>
    public bool RejectUnknown()
    {
        var unknown = _entries.Values.Where(entry => !_asked.Contains(entry.Key.Text)).ToList();
        foreach (var (key, _) in unknown)
        {
            var meant = Spelling.Nearest(key.Text, _asked);
            _problems.Add(new(key.Line, PathOf(key.Text), meant is null ? "there is no such field." : $"there is no such field; is {meant} meant?"));
        }

        return unknown.Count > 0;
    }

    private string PathOf(string name) => Path.Length == 0 ? name : $"{Path}.{name}";

    private T? Reject<T>(string name, string reason)
        where T : class
    {
        Reject(name, reason);
        return null;
    }
}
