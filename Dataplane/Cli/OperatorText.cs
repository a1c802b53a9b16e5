namespace Overlay.Dataplane.Cli;

/// <summary>Plain text for people: on a terminal lines are broken between words at its width, elsewhere never, so that a tool finds what belongs together on one line.</summary>
/// <param name="output">Where to.</param>
/// <param name="width">Columns.</param>
internal sealed class OperatorText(TextWriter output, int width)
{
    private const int Narrowest = 40;

    /// <summary>For an output of this process.</summary>
    public static OperatorText On(TextWriter output) => new(output, Console.IsOutputRedirected ? int.MaxValue : Math.Max(Narrowest, Console.WindowWidth));

    /// <summary>A line; what does not fit goes on below, two columns deeper than <paramref name="indent"/>, or under the text behind <paramref name="label"/>.</summary>
    public void Line(string text, int indent = 0, string label = "")
    {
        var column = indent + label.Length;
        var hanging = label.Length > 0 && column < width / 2 ? column : indent + 2;
        output.Write(new string(' ', indent) + label);
        var isFirst = true;
        foreach (var word in text.Split(' '))
        {
            if (!isFirst && column + 1 + word.Length > width)
            {
                output.WriteLine();
                output.Write(new string(' ', hanging));
                column = hanging;
            }
            else if (!isFirst)
            {
                output.Write(' ');
                column++;
            }

            output.Write(word);
            column += word.Length;
            isFirst = false;
        }

        output.WriteLine();
    }

    /// <summary>An empty line.</summary>
    public void Line() => output.WriteLine();
}
