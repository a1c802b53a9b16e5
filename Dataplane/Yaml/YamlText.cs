using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace Overlay.Dataplane.Yaml;

/// <summary>A document of a YAML text.</summary>
/// <param name="Line">1-based line of its first content, or of its error.</param>
/// <param name="Root">Null when it is broken.</param>
/// <param name="Error">One clear sentence when it is broken.</param>
/// <param name="Flaws">What is wrong in a document that can be read nevertheless: a key that is there twice (the first counts) or is no single word (it is left out), an alias that
/// names nothing. Whoever reads on decides what to make of it.</param>
public sealed record YamlDocument(int Line, YamlNode? Root, string? Error, IReadOnlyList<FieldProblem> Flaws);

/// <summary>
/// Reads YAML, and JSON as part of it, into <see cref="YamlNode"/>s over YamlDotNet's parser: no reflection, lines kept, nesting bounded.
/// Aliases share the node they name; what all of them stand for, were it written out, is bounded too, since whoever walks the nodes meets it again and again.
/// </summary>
public static class YamlText
{
    private const int MaxDepth = 64;
    private const int MaxAliased = 100_000;
    private const int MaxFlaws = 100;
    private const int MaxKey = 64; // of each key in the path of a flaw

    /// <summary>All documents that hold something. A line <c>---</c> always begins a new document, so a broken one does not hide the next.</summary>
    public static IReadOnlyList<YamlDocument> Read(string text)
    {
        var documents = new List<YamlDocument>();
        foreach (var (line, part) in Split(text))
            ReadPart(part, line, documents);
        return documents;
    }

    private static List<(int Line, string Text)> Split(string text)
    {
        var parts = new List<(int, string)>();
        var (start, startLine, line) = (0, 1, 1);
        for (var i = 0; i < text.Length; line++)
        {
            var rest = text.AsSpan(i);
            if (i > start && rest.StartsWith("---") && (rest.Length == 3 || rest[3] is ' ' or '\t' or '\r' or '\n'))
            {
                parts.Add((startLine, text[start..i]));
                (start, startLine) = (i, line);
            }

            var end = rest.IndexOf('\n');
            i = end < 0 ? text.Length : i + end + 1;
        }

        parts.Add((startLine, text[start..]));
        return parts;
    }

    private static void ReadPart(string part, int firstLine, List<YamlDocument> documents)
    {
        if (IsPreamble(part))
            return;
        var offset = firstLine - 1;
        var parser = new Parser(new StringReader(part));
        var isEmpty = true;
        try
        {
            while (parser.MoveNext())
            {
                if (parser.Current is not DocumentStart)
                    continue;
                isEmpty = false;
                parser.MoveNext();
                var tree = new Tree(parser, offset);
                var root = tree.Read(0);
                if (root is not YamlNode.Scalar { IsNull: true })
                    documents.Add(new(root.Line, root, null, tree.Flaws));
            }

            if (isEmpty)
                Broken(Mark.Empty, "a line that begins with % is a directive, and no document follows it");
        }
        catch (YamlException e)
        {
            Broken(e.Start, e.Message);
        }
        catch (Exception e) when (e is InvalidOperationException or ArgumentException)
        {
            // YamlDotNet throws these, instead of its own, for some plain scalars that cannot go on (Scanner.ScanPlainScalar) and for tags that are no
            // URIs (TagName) (18.1.0).
            Broken(parser.Current?.End ?? Mark.Empty, "a value is cut off or continued wrongly after this line");
        }

        void Broken(Mark mark, string reason)
        {
            // The parser counts one line on at the end of the text.
            var line = Math.Min((int)mark.Line, part.AsSpan().TrimEnd().Count('\n') + 1);
            documents.Add(new(line + offset, null, $"not valid YAML: {reason.TrimEnd('.')}.", []));
        }
    }

    // Comments and directives before the first "---".
    private static bool IsPreamble(string part)
    {
        foreach (var line in part.AsSpan().EnumerateLines())
        {
            if (line.TrimStart() is not ([] or ['#', ..]) && !line.StartsWith("%YAML") && !line.StartsWith("%TAG"))
                return false;
        }

        return true;
    }

    private sealed class Tree(Parser parser, int offset)
    {
        private readonly Dictionary<AnchorName, (YamlNode Node, long Size, bool IsFlawed)> _anchors = [];
        private readonly List<string> _path = [];

        // Nodes read so far, with those that aliases stand for; and the latter alone.
        private long _size;
        private long _aliased;

        public List<FieldProblem> Flaws { get; } = [];

        // The parser stands at the first event of the node; afterwards at its last.
        public YamlNode Read(int depth)
        {
            var mark = parser.Current!.Start;
            _size++;
            return parser.Current switch
            {
                Scalar scalar => Anchor(scalar.Anchor, new YamlNode.Scalar(LineOf(mark), scalar.Value, scalar.Style == ScalarStyle.Plain), (_size - 1, Flaws.Count)),
                AnchorAlias alias => Resolve(alias, mark),
                _ when depth == MaxDepth => throw Error(mark, $"nested deeper than {MaxDepth} levels"),
                SequenceStart => ReadSequence(mark, depth),
                MappingStart => ReadMapping(mark, depth),
                _ => throw Error(mark, "a value is expected here"),
            };
        }

        private YamlNode.Sequence ReadSequence(Mark start, int depth)
        {
            var (anchor, before) = (((NodeEvent)parser.Current!).Anchor, (_size - 1, Flaws.Count));
            var items = new List<YamlNode>();
            while (parser.MoveNext() && parser.Current is not SequenceEnd)
                items.Add(ReadAt($"[{items.Count}]", depth));
            return Anchor(anchor, new YamlNode.Sequence(LineOf(start), items), before);
        }

        private YamlNode.Mapping ReadMapping(Mark start, int depth)
        {
            var (anchor, before) = (((NodeEvent)parser.Current!).Anchor, (_size - 1, Flaws.Count));
            var entries = new List<KeyValuePair<YamlNode.Scalar, YamlNode>>();
            var keys = new HashSet<string>(StringComparer.Ordinal);
            while (parser.MoveNext() && parser.Current is not MappingEnd)
            {
                var mark = parser.Current!.Start;
                var key = Read(depth + 1) as YamlNode.Scalar;
                if (key is null)
                    Note(mark, "a key must be a single word.");
                parser.MoveNext();
                var value = key is null ? Read(depth + 1) : ReadAt(key.Text, depth);
                if (key is not null && keys.Add(key.Text))
                    entries.Add(new(key, value));
                else if (key is not null)
                    Note(mark, "the key is there twice; keep one.", key.Text);
            }

            return Anchor(anchor, new YamlNode.Mapping(LineOf(start), entries), before);
        }

        private YamlNode Resolve(AnchorAlias alias, Mark mark)
        {
            if (!_anchors.TryGetValue(alias.Value, out var named))
            {
                Note(mark, $"the alias *{alias.Value} names nothing before it.");
                return new YamlNode.Scalar(LineOf(mark), $"*{alias.Value}", IsPlain: true); // not nothing: something was meant
            }

            if (named.IsFlawed)
                Note(mark, $"the alias *{alias.Value} names what is wrong itself.");
            _size += named.Size - 1;
            _aliased += named.Size;
            return _aliased <= MaxAliased ? named.Node : throw Error(mark, $"aliases stand for more than {MaxAliased} values; write them out, in several documents");
        }

        // before: how much had been read when the node began.
        private T Anchor<T>(AnchorName anchor, T node, (long Size, int Flaws) before)
            where T : YamlNode
        {
            if (!anchor.IsEmpty)
                _anchors[anchor] = (node, _size - before.Size, Flaws.Count > before.Flaws);
            return node;
        }

        private YamlNode ReadAt(string step, int depth)
        {
            _path.Add(step.Length > MaxKey ? $"{step[..MaxKey]}…" : step);
            var node = Read(depth + 1);
            _path.RemoveAt(_path.Count - 1);
            return node;
        }

        // So many that they are no slips make the document one that cannot be read.
        private void Note(Mark mark, string reason, string? key = null)
        {
            if (Flaws.Count == MaxFlaws)
                throw Error(mark, $"more than {MaxFlaws} keys or aliases are wrong");
            var path = string.Concat((key is null ? _path : _path.Append(key)).Select(step => step.StartsWith('[') ? step : $".{step}"));
            Flaws.Add(new(LineOf(mark), path.TrimStart('.'), reason));
        }

        private int LineOf(Mark mark) => (int)mark.Line + offset;

        private static YamlException Error(Mark mark, string reason) => new(mark, mark, reason);
    }
}
