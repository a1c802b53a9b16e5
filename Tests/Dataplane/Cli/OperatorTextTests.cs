using Overlay.Dataplane.Cli;
using Overlay.Dataplane.Operator;

namespace Overlay.Tests.Dataplane.Cli;

/// <summary>What the verbs that ask an agent print on a narrow terminal, and where nothing is a terminal.</summary>
public class OperatorTextTests
{
    private static readonly Verification Found = new(
        "node-1",
        ["set ingress-v4 lacks 1 element: 10.42.1.5 : goto pods-in-ubqhy4zxoqh42sha", "missing: 10.42.2.0/24 via 10.42.2.0 dev overlay-vxlan proto 79 onlink"],
        new(9, 40, 20, 300, 12),
        null);

    [Test]
    public void On_sixty_columns_lines_are_broken_between_words()
    {
        var lines = Print(60).Split('\n');
        Assert.That(lines.Select(line => line.Length), Is.All.LessThanOrEqualTo(60));
        Assert.That(lines[0], Is.EqualTo("! set ingress-v4 lacks 1 element: 10.42.1.5 : goto"));
        Assert.That(lines[1], Is.EqualTo("  pods-in-ubqhy4zxoqh42sha"));
    }

    [Test]
    public void In_a_pipe_a_difference_is_a_line()
    {
        var lines = Print(int.MaxValue).Split('\n');
        Assert.That(lines[0], Is.EqualTo("! " + Found.Differences[0]));
        Assert.That(lines[2], Does.StartWith("2 differences on node node-1: compared 9 chains with 40 rules"));
    }

    private static string Print(int width)
    {
        using var output = new StringWriter { NewLine = "\n" };
        VerifyCommand.Print(Found, new(output, width));
        return output.ToString();
    }
}
