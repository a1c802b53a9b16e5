using System.Text.RegularExpressions;
using Overlay.CniShim.Protocol;

namespace Overlay.Tests.Kernel;

/// <summary>Plugin or agent die at every step of ADD and DEL. Afterwards nothing is left and the next ADD works: whether the runtime's DEL follows, or nobody calls any more and the namespace is dropped.</summary>
[Property("Issue", 5)]
[NonParallelizable]
public sealed partial class CrashTests
{
    private static readonly FaultPoint[] OfFailedAdd = [FaultPoint.ShimAddressUndone, FaultPoint.AgentStepUndone];
    private static readonly string[] BeforeTheAttachment = [.. new[] { FaultPoint.AgentPolicyCommitted, FaultPoint.AgentPairMade, FaultPoint.AgentHostEndUp, FaultPoint.AgentPodEndUp, FaultPoint.AgentRouted, FaultPoint.AgentPublished, FaultPoint.AgentStepUndone }.Select(point => point.ToString())];
    private static readonly FaultPoint[] OfDelete = [FaultPoint.ShimUnwired, FaultPoint.ShimAddressReleased, FaultPoint.AgentPairRemoved, FaultPoint.AgentAttachmentDeleted, FaultPoint.AgentPodForgotten, FaultPoint.AgentWithdrawn];
    private static readonly FaultPoint[] OfDeleteWithoutAgent = [FaultPoint.ShimShaperRemoved, FaultPoint.ShimPairRemoved, FaultPoint.ShimDeleteWritten, FaultPoint.ShimDeleteQueued];

    private static readonly FaultPoint[] OfLimits = [FaultPoint.AgentShaperMade, FaultPoint.AgentEgressLimited, FaultPoint.AgentIngressLimited];

    private static readonly string[] Points = Enum.GetNames<FaultPoint>();

    // One cluster for all, made anew after a failure.
    private TestCluster? _cluster;
    private string _empty = "";

    private TestNode Node => _cluster!.Nodes[0];

    [SetUp]
    public void MakeCluster()
    {
        if (Guest.Guest.IsHere)
            Assert.Ignore("The native programs have no fault points.");
        if (_cluster is not null)
            return;
        _cluster = TestCluster.CreateWithFaultPoints();
        _cluster.ApplyNode("node-1", ["192.168.7.1"], ["10.42.1.0/24", "fd00:42:1::/64"]);
        _cluster.Join("node-1", "192.168.7.1");
        StartAgent();
        _empty = Node.State;
    }

    [TearDown]
    public void EndClusterAfterFailure()
    {
        if (TestContext.CurrentContext.Result.Outcome.Status == NUnit.Framework.Interfaces.TestStatus.Failed)
            EndCluster();
    }

    [OneTimeTearDown]
    public void EndCluster()
    {
        _cluster?.Dispose();
        _cluster = null;
    }

    [Test]
    public void Nothing_is_left_and_the_next_ADD_works([ValueSource(nameof(Points))] string name, [Values] bool isDeleted)
    {
        var point = Enum.Parse<FaultPoint>(name);
        if (OfLimits.Contains(point) && !Shaping.IsPossible)
            Assert.Ignore("This kernel cannot limit bandwidth.");
        using (var pod = Crash(point))
        {
            if (isDeleted)
                Assert.That(pod.Remove() is { ExitCode: 0, Output: "" }, $"the runtime's DEL succeeds\n{Node.Log}");
        }

        if (IsAgents(point) || OfDeleteWithoutAgent.Contains(point))
            StartAgent();
        AssertNothingIsLeft();
    }

    // The agent's death has ended the ADD, and so the plugin has given the addresses back: another pod may have them at any moment.
    [TestCaseSource(nameof(BeforeTheAttachment))]
    public void A_pod_that_nobody_was_told_of_is_unwired_though_its_namespace_stays_and_nobody_calls(string name)
    {
        using var pod = Crash(Enum.Parse<FaultPoint>(name));
        StartAgent();
        AssertNothingIsLeft();
    }

    private void AssertNothingIsLeft()
    {
        foreach (var file in Node.PodFiles)
            File.SetLastWriteTimeUtc(file, DateTime.UtcNow.AddHours(-1)); // two minutes later; the reaper leaves alone what is younger
        TestCluster.Eventually(() => !Node.PodFiles.Any(), "no file is left", () => string.Join('\n', Node.PodFiles) + Node.Log);
        TestCluster.Eventually(() => Node.State == _empty, "no interface, route, neighbour or rule is left", () => $"{Node.State}\n--- instead of ---\n{_empty}\n{Node.Log}");

        using (var next = new TestPod(Node, "shop/web"))
        {
            next.Add([]);
            Assert.That(next.Check().ExitCode, Is.Zero);
            Assert.That(next.Remove().ExitCode, Is.Zero);
        }

        TestCluster.Eventually(() => Node.State == _empty, "the kernel is as it was", () => Node.State);
        Node.AssertNoPod();
    }

    // A point that nobody passes proves nothing, and one that is passed twice dies at the first only.
    [Test]
    public void Every_point_is_passed_at_one_place()
    {
        var passed = Sources().SelectMany(source => PassPattern().Matches(source.Text).Select(match => match.Groups[1].Value)).ToList();
        Assert.That(passed, Is.EquivalentTo(Enum.GetNames<FaultPoint>()));
        foreach (var point in Enum.GetValues<FaultPoint>())
            Assert.That(point.ToString(), Does.StartWith("Shim").Or.StartWith("Agent"));
    }

    // What changes files or kernel, in the files that hold the steps of ADD and DEL. A step is followed by its point, within the next lines; steps pushed as undoing are
    // passed by AgentStepUndone.
    [TestCase("Dataplane/Cni/CniVerbs.cs", @"attachments\.(Write|Delete)\(|\.CommitPolicy\(\)|wiring\.(Wire|Route|Unwire)\(|^ +(Forget|Publish)\(.*\);")]
    [TestCase("Dataplane/Cni/PodWiring.cs", @"= Create\(attachment|SetUpOutside\(attachment, index\);|SetUpInside\(netns, attachment, index\);")]
    [TestCase("Dataplane/Cni/PodShaping.cs", @"= CreateShaper\(shaper|FilterMessage\.WriteNewRedirect\(|Bucket\(name, index, ingress\);")]
    [TestCase("CniShim/HostInterface.cs", @"^ +Remove\(stream, ShaperPrefix")]
    [TestCase("CniShim/Verbs.cs", @"= ipam\.Add\(|= Ask\(wanted|HostInterface\.Remove\(|deadline\.Part\(AgentPart\)\);$")]
    [TestCase("CniShim/DeleteQueue.cs", @"\.Flush\(|File\.Move\(")]
    [TestCase("CniShim/Ipam/BuiltInIpam.cs", @"^ {12}folder\.Release\(")]
    [TestCase("CniShim/Ipam/AllocationFolder.cs", @"WriteText\(folder\.FileOfClaim|Libc\.link\(|^ +folder\.Release\(")]
    public void Every_step_has_its_point(string file, string steps)
    {
        const int near = 6;
        var lines = File.ReadAllLines(Path.Combine(SourceTree.Root, file));
        var found = Enumerable.Range(0, lines.Length).Where(i => Regex.IsMatch(lines[i], steps) && !lines[i].Contains("undo.Push(")).ToList();
        Assert.That(found, Is.Not.Empty);
        Assert.That(found.Where(i => !lines[i..Math.Min(i + near, lines.Length)].Any(line => line.Contains("Fault.Pass("))).Select(i => $"{file}:{i + 1}: {lines[i].Trim()}"), Is.Empty);
    }

    [Test]
    public void Native_programs_have_no_fault_points()
    {
        foreach (var project in new[] { "CniShim", "Dataplane" })
            Assert.That(File.ReadAllText(Path.Combine(SourceTree.Root, project, project + ".csproj")), Does.Contain("--feature:Overlay.FaultPoints=false"));
    }

    private static IEnumerable<(string Path, string Text)> Sources() =>
        from project in new[] { "CniShim", "Dataplane" }
        from path in Directory.EnumerateFiles(Path.Combine(SourceTree.Root, project), "*.cs", SearchOption.AllDirectories)
        where !path.Contains("/obj/") && !path.Contains("/bin/")
        select (path, File.ReadAllText(path));

    private static bool IsAgents(FaultPoint point) => point.ToString().StartsWith("Agent", StringComparison.Ordinal);

    private TestPod Crash(FaultPoint point)
    {
        var pod = new TestPod(Node, "shop/web");
        var isDelete = OfDelete.Contains(point) || OfDeleteWithoutAgent.Contains(point);
        // Every pod has limits, so that what they need is left behind nowhere.
        var wanted = Node.Configuration(Shaping.IsPossible ? Shaping.Of(1_000_000) : []);
        if (isDelete)
            Assert.That(pod.AddAs(wanted).ExitCode, Is.Zero, Node.Log);
        if (OfFailedAdd.Contains(point))
            pod.Net.Run("ip link add eth0 type bridge");
        if (OfDeleteWithoutAgent.Contains(point))
            Node.StopAgent(kill: true);

        File.WriteAllText(Node.FaultFile, point.ToString());
        var answer = isDelete ? pod.Remove() : pod.AddAs(wanted);
        if (IsAgents(point))
            Assert.That(Node.AwaitDeath(), $"the agent dies at {point}\n{answer}\n{Node.Log}");
        else
            Assert.That(answer.ExitCode, Is.EqualTo(128 + 9), $"the plugin dies at {point}\n{answer}\n{Node.Log}");
        File.Delete(Node.FaultFile);
        return pod;
    }

    private void StartAgent()
    {
        Node.StopAgent(kill: true);
        Node.StartAgent("--resync-interval", "1s");
    }

    [GeneratedRegex(@"Fault\.Pass\(FaultPoint\.(\w+)\)")]
    private static partial Regex PassPattern();
}
