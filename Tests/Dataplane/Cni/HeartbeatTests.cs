using Overlay.Dataplane.Cni;

namespace Overlay.Tests.Dataplane.Cni;

[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class HeartbeatTests : IDisposable
{
    private static readonly TimeSpan Start = TimeSpan.FromSeconds(1000);
    private static readonly DateTime LongAgo = new(2020, 1, 1, 0, 0, 0, DateTimeKind.Utc);
    private readonly string _folder = Directory.CreateTempSubdirectory("overlay-cni-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Test]
    public void It_says_how_the_node_is_and_why()
    {
        var heartbeat = new Heartbeat(Path.Combine(_folder, "agent.sock"));
        heartbeat.Beat([], Start);
        Assert.That(Text, Is.EqualTo("ok\n"));
        heartbeat.Beat(["No tunnel.", "No\npolicies."], Start);
        Assert.That(Text, Is.EqualTo("unready\nNo tunnel. No policies.\n"));
        heartbeat.Beat([], Start);
        Assert.That(Text, Is.EqualTo("ok\n"));
        Assert.That(Directory.GetFiles(_folder), Has.Length.EqualTo(1));
    }

    [TestCase(0, false)]
    [TestCase(9, false)]
    [TestCase(10, true)]
    public void It_is_written_again_when_it_is_time(int secondsLater, bool expected)
    {
        var heartbeat = new Heartbeat(Path.Combine(_folder, "agent.sock"));
        heartbeat.Beat([], Start);
        File.SetLastWriteTimeUtc(Path.Combine(_folder, "heartbeat"), LongAgo);
        heartbeat.Beat([], Start + TimeSpan.FromSeconds(secondsLater));
        Assert.That(File.GetLastWriteTimeUtc(Path.Combine(_folder, "heartbeat")) > LongAgo, Is.EqualTo(expected));
    }

    private string Text => File.ReadAllText(Path.Combine(_folder, "heartbeat"));
}
