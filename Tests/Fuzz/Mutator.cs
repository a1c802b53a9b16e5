using System.Text;

namespace Overlay.Tests.Fuzz;

/// <summary>Damages inputs: bytes, words, and the structure that brackets, indentation and quotes make. The same seed, the same damage.</summary>
internal sealed class Mutator(Random random, IReadOnlyList<byte[]> corpus)
{
    private const int MaxLength = 32_768;

    private static readonly string[] Splinters =
    [
        "", ":", "-", "- ", "{", "}", "[", "]", ",", "\"", "'", "\n", "\r\n", "\n---\n", "\n...\n", "\t", "  ", "#", "&a ", "*a", "!!binary ", "!x", "|", ">", "%", "@", "`", "? ", "<<: ", "null", "~", "true",
        "0", "-1", "65536", "99999999999999999999", "1e9", "1e999", "0x10", "0o7", "\0", "\u00e9", "\ud83d\ude00", "\ufeff", "%YAML 9.9\n", "\\", "\\u0000", "::", "/", "/0", "/33", "/129", "::ffff:1.2.3.4/96", "10.0.0.0/8", "x: ", "\"x\": ",
        "Ingress", "Egress", "In", "NotIn", "Exists", "podSelector", "namespaceSelector", "except", "endPort", "List", "items", "ClusterNetworkPolicy",
    ];

    /// <summary>An input of the corpus, or a splice of two, with a few wounds.</summary>
    public byte[] Next()
    {
        var input = corpus[random.Next(corpus.Count)].ToList();
        for (var wounds = random.Next(1, 6); wounds > 0; wounds--)
            Wound(input);
        return [.. input.Take(MaxLength)];
    }

    private void Wound(List<byte> input)
    {
        var at = random.Next(input.Count + 1);
        var length = Math.Min(random.Next(random.Next(4) == 0 ? 200 : 8), input.Count - at);
        switch (random.Next(9))
        {
            case 0:
                input.InsertRange(at, Splinter());
                break;
            case 1:
                input.RemoveRange(at, length);
                break;
            case 2:
                input.InsertRange(random.Next(input.Count + 1), input.GetRange(at, length));
                break;
            case 3:
                for (var i = at; i < at + length; i++)
                    input[i] = (byte)random.Next(256);
                break;
            case 4:
                ReplaceWord(input, at);
                break;
            case 5:
                Repeat(input, at, length);
                break;
            case 6:
                var other = corpus[random.Next(corpus.Count)];
                var from = random.Next(other.Length + 1);
                input.InsertRange(at, other[from..Math.Min(other.Length, from + random.Next(300))]);
                break;
            case 7:
                input.RemoveRange(at, random.Next(20) == 0 ? input.Count - at : 0);
                break;
            default:
                if (at < input.Count)
                    input[at] ^= (byte)(1 << random.Next(8));
                break;
        }
    }

    private byte[] Splinter() => Encoding.UTF8.GetBytes(Splinters[random.Next(Splinters.Length)]);

    // From the beginning of a word to its end.
    private void ReplaceWord(List<byte> input, int at)
    {
        var (first, last) = (at, at);
        while (first > 0 && IsOfWord(input[first - 1]))
            first--;
        while (last < input.Count && IsOfWord(input[last]))
            last++;
        input.RemoveRange(first, last - first);
        input.InsertRange(first, Splinter());
    }

    // Deep nesting, long lists, long words.
    private void Repeat(List<byte> input, int at, int length)
    {
        var piece = input.GetRange(at, length);
        var times = random.Next(random.Next(10) == 0 ? 2000 : 4);
        if (piece.Count * times < MaxLength)
            input.InsertRange(at, Enumerable.Repeat(piece, times).SelectMany(bytes => bytes));
    }

    private static bool IsOfWord(byte value) => char.IsAsciiLetterOrDigit((char)value) || value is (byte)'.' or (byte)'-' or (byte)'/' or (byte)'_';
}
