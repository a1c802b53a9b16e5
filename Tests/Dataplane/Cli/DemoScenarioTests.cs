using Overlay.Dataplane.Cli.Demo;

namespace Overlay.Tests.Dataplane.Cli;

public class DemoScenarioTests
{
    [Test]
    public void What_is_asked_covers_every_pair_but_a_pod_to_itself()
    {
        foreach (var asked in new[] { DemoScenario.AskedBefore, DemoScenario.AskedAfter })
        {
            Assert.That(asked.Rows, Is.EqualTo(DemoScenario.Pods.Select(pod => pod.Name)));
            Assert.That(asked.Columns, Is.EqualTo(DemoScenario.Pods.Select(pod => pod.Name).Append(DemoScenario.Outside)));
            Assert.That(asked.Cells.Keys, Is.EquivalentTo(asked.Rows.SelectMany(from => asked.Columns.Where(to => to != from).Select(to => (from, to)))));
        }

        Assert.That(DemoScenario.AskedBefore.Answers, Is.EqualTo(DemoScenario.AskedBefore.Probes.Count()), "without policies everything is asked to work");
    }

    [TestCase("hm")]
    [TestCase("hmdx")]
    [TestCase("dmh")]
    [TestCase("hm-")]
    public void A_cell_that_is_not_made_of_the_ports_letters_is_refused(string cell) =>
        Assert.That(() => ReachabilityMatrix.Parse($" b\na {cell}"), Throws.TypeOf<FormatException>());
}
