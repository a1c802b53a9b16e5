using Overlay.Dataplane.Cli.Demo;
using Overlay.PolicyEngine.Model;
using Spectre.Console;

namespace Overlay.Tests.Dataplane.Cli;

public class DemoTextTests
{
    private static readonly DemoPodResult[] Pods = [.. DemoScenario.Pods.Select((pod, i) => new DemoPodResult(pod.ToString(), pod.Node.Name, [$"10.42.{pod.Node.Number}.{i + 2}", $"fd00:42:{pod.Node.Number}::{i + 2}"]))];

    [TestCase(80)]
    [TestCase(60)]
    public void Without_a_terminal_it_is_plain_ascii_that_fits(int width)
    {
        var text = Print(width, AnsiSupport.No, WholeDemo);
        TestContext.Out.WriteLine(text);
        Assert.That(text, Does.Match("^[ -~\n]*$"));
        Assert.That(text.Split('\n').Max(line => line.Length), Is.LessThanOrEqualTo(width));
    }

    [Test]
    public void At_80_columns_measured_and_asked_for_stand_side_by_side()
    {
        bool SideBySide(int width) => Print(width, AnsiSupport.No, Matrices).Split('\n').Any(line => line.Contains("measured") && line.Contains("asked for"));
        Assert.That(SideBySide(80), Is.True);
        Assert.That(SideBySide(60), Is.False);
    }

    [Test]
    public void A_terminal_gets_colour_and_lines()
    {
        var text = Print(80, AnsiSupport.Yes, WholeDemo);
        TestContext.Out.WriteLine(text);
        Assert.That(text, Does.Contain("\u001b[").And.Contain("·"));
    }

    [Test]
    public void A_cell_that_is_not_as_asked_is_marked()
    {
        var asked = DemoScenario.AskedAfter;
        var measured = asked.Of(asked.Probes.Where(probe => asked[probe] && probe != new Probe("web", "api", 0, Family.IPv6)));
        Assert.That(measured.DifferencesTo(asked), Is.EqualTo(new[] { ("web", "api") }));
        Assert.That(Print(80, AnsiSupport.No, text => text.Matrices("After", measured, asked)), Does.Contain(" 4..!hmd "));
        Assert.That(Print(80, AnsiSupport.No, text => text.Matrices("After", asked, asked)), Does.Not.Contain("!"));
    }

    private static void WholeDemo(DemoText text)
    {
        text.Begin();
        text.Step(new("overlay agent runs on every node", 1234));
        text.Layout(Pods, Family.IPv6);
        Matrices(text);
        text.Legend();
        text.Policies();
        text.Verdict(72, 0, TimeSpan.FromSeconds(4.2));
    }

    private static void Matrices(DemoText text) => text.Matrices("With the policies", DemoScenario.AskedAfter, DemoScenario.AskedAfter);

    private static string Print(int width, AnsiSupport ansi, Action<DemoText> print)
    {
        using var writer = new StringWriter { NewLine = "\n" };
        var console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(writer),
            Ansi = ansi,
            ColorSystem = ansi == AnsiSupport.Yes ? ColorSystemSupport.TrueColor : ColorSystemSupport.NoColors,
            Interactive = InteractionSupport.No,
        });
        console.Profile.Width = width;
        console.Profile.Capabilities.Unicode = ansi == AnsiSupport.Yes;
        print(new DemoText(console));
        return writer.ToString();
    }
}
