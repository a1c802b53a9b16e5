using Overlay.Dataplane.Cni;
using Overlay.Dataplane.Desired;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Dataplane;

[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class AttachmentFolderTests : IDisposable
{
    private readonly string _state = Directory.CreateTempSubdirectory("overlay-state-").FullName;

    public void Dispose() => Directory.Delete(_state, recursive: true);

    [Test]
    public void What_is_written_is_read_again_by_the_next_agent()
    {
        var folder = new AttachmentFolder(_state);
        Assert.That(folder.ReadAll(out _), Is.Empty);
        var (one, other) = (AttachmentOf("c1"), AttachmentOf("c2") with { PodUid = "" });
        folder.Write(other);
        folder.Write(one with { Network = "before" });
        folder.Write(one);
        Assert.That(new AttachmentFolder(_state).ReadAll(out var broken), Is.EqualTo(new[] { one, other }));
        Assert.That(broken, Is.Empty);
        folder.Delete(one.Key);
        folder.Delete(one.Key);
        Assert.That(folder.ReadAll(out _), Is.EqualTo(new[] { other }));
        Assert.That(Directory.GetFiles(Path.Combine(_state, "attachments")), Has.Length.EqualTo(1));
    }

    [Test]
    public void What_giving_the_addresses_back_needs_is_kept_for_its_owner_alone()
    {
        var folder = new AttachmentFolder(_state, "orphans");
        var (one, other) = (AttachmentOf("c1") with { Delegation = new("{\n\"name\":\"n\"}", "/opt/cni/bin", "A=B") }, AttachmentOf("c2") with { AddressFolder = "/networks/n" });
        folder.Write(one);
        folder.Write(other);
        Assert.That(folder.ReadAll(out _), Is.EqualTo(new[] { one, other }));
        if (!OperatingSystem.IsWindows())
            Assert.That(File.GetUnixFileMode(Path.Combine(_state, "orphans", "c1@eth0.json")), Is.EqualTo(UnixFileMode.UserRead | UnixFileMode.UserWrite), "a network configuration may hold what is nobody else's business");
    }

    [Test]
    public void No_two_attachments_share_a_file()
    {
        var folder = new AttachmentFolder(_state);
        var (one, other) = (AttachmentOf("a") with { IfName = "b-c" }, AttachmentOf("a-b") with { IfName = "c" });
        folder.Write(one);
        folder.Write(other);
        Assert.That(folder.ReadAll(out _), Is.EquivalentTo(new[] { one, other }));
        folder.Delete(one.Key);
        Assert.That(folder.ReadAll(out _), Is.EqualTo(new[] { other }));
    }

    [Test]
    public void A_file_of_the_older_name_is_read_and_goes_with_its_attachment_alone()
    {
        var folder = new AttachmentFolder(_state);
        var (one, other) = (AttachmentOf("a") with { IfName = "b-c" }, AttachmentOf("a-b") with { IfName = "c" });
        folder.Write(one);
        var older = Path.Combine(_state, "attachments", "a-b-c.json");
        File.Move(Path.Combine(_state, "attachments", "a@b-c.json"), older);
        Assert.That(folder.ReadAll(out _), Is.EqualTo(new[] { one }));
        folder.Write(other);
        folder.Delete(other.Key);
        Assert.That(folder.ReadAll(out _), Is.EqualTo(new[] { one }));
        folder.Write(one);
        Assert.That(File.Exists(older), Is.False);
        File.Move(Path.Combine(_state, "attachments", "a@b-c.json"), older);
        folder.Delete(one.Key);
        Assert.That(folder.ReadAll(out _), Is.Empty);
    }

    [Test]
    public void A_probe_leaves_nothing_and_tells_that_nothing_can_be_written()
    {
        var folder = new AttachmentFolder(_state);
        folder.Probe();
        Assert.That(Directory.GetFiles(Path.Combine(_state, "attachments")), Is.Empty);
        Directory.Delete(Path.Combine(_state, "attachments"));
        File.WriteAllText(Path.Combine(_state, "attachments"), "no folder");
        Assert.That(folder.Probe, Throws.InstanceOf<IOException>());
    }

    [Test]
    public void Host_ports_are_kept()
    {
        var folder = new AttachmentFolder(_state);
        var attachment = AttachmentOf("c1") with
        {
            HostPorts =
            [
                new(IpProtocol.Tcp, 8080, null, InetAddress.Parse("10.42.1.5"), 80),
                new(IpProtocol.Sctp, 65535, InetAddress.Parse("2001:db8::1"), InetAddress.Parse("fd00::5"), 1),
            ],
        };
        folder.Write(attachment);
        Assert.That(folder.ReadAll(out _), Is.EqualTo(new[] { attachment }));
    }

    [Test]
    public void Limits_of_bandwidth_are_kept()
    {
        var folder = new AttachmentFolder(_state);
        var attachment = AttachmentOf("c1") with { Ingress = new(125_000_000_000_000, uint.MaxValue), Egress = new(1, 1464) };
        folder.Write(attachment);
        Assert.That(folder.ReadAll(out _), Is.EqualTo(new[] { attachment }));
        folder.Write(attachment with { Egress = null });
        Assert.That(folder.ReadAll(out _).Single().Egress, Is.Null);
        folder.Write(attachment with { Egress = new(0, 1464) });
        Assert.That(folder.ReadAll(out var broken), Is.Empty);
        Assert.That(broken.Single(), Does.Contain("a rate of 0 bytes a second is none"));
    }

    [Test]
    public void A_file_of_an_agent_that_knew_no_host_ports_is_read()
    {
        var folder = new AttachmentFolder(_state);
        Directory.CreateDirectory(Path.Combine(_state, "attachments"));
        File.WriteAllText(Path.Combine(_state, "attachments", "c1-eth0.json"), """
            {"containerId":"c1","ifName":"eth0","podNamespace":"shop","podName":"web","podUid":"0b4c","netns":"/run/netns/x","hostInterface":"ovl0123456789a","podMac":"02:00:00:00:00:01",
             "addresses":["10.42.1.5"],"network":"overlay"}
            """);
        Assert.That(folder.ReadAll(out _).Single() is { HostPorts.Count: 0, Ingress: null, Egress: null, AddressFolder: "", Delegation: null });
    }

    [TestCase("")]
    [TestCase("null")]
    [TestCase("{\"containerId\":\"c\",\"ifName\":\"eth0\",\"podNamespace\":\"a\",\"podName\":\"b\",\"hostInterface\":\"ovl\",\"podMac\":\"02:00:00:00:00:01\",\"addresses\":[],\"hostPorts\":[{\"protocol\":\"icmp\",\"port\":1,\"podAddress\":\"10.0.0.1\",\"podPort\":1}]}")]
    [TestCase("{\"containerId\":\"c\",\"ifName\":\"eth0\",\"podNamespace\":\"a\",\"podName\":\"b\",\"hostInterface\":\"ovl\",\"podMac\":\"02:00:00:00:00:01\",\"addresses\":[],\"hostPorts\":[{\"protocol\":\"tcp\",\"port\":70000,\"podAddress\":\"10.0.0.1\",\"podPort\":1}]}")]
    [TestCase("{\"containerId\":\"c\",\"ifName\":\"eth0\",\"podNamespace\":\"a\",\"podName\":\"b\",\"hostInterface\":\"ovl\",\"podMac\":\"02:00:00:00:00:01\",\"addresses\":[],\"delegation\":{\"configuration\":null,\"path\":\"\",\"args\":\"\"}}")]
    [TestCase("{")]
    [TestCase("{\"containerId\": \"c\"}")]
    [TestCase("{\"containerId\":\"c\",\"ifName\":\"eth0\",\"podNamespace\":\"a\",\"podName\":\"b\",\"hostInterface\":\"ovl\",\"podMac\":\"02:00\",\"addresses\":[]}")]
    [TestCase("{\"containerId\":\"c\",\"ifName\":\"eth0\",\"podNamespace\":\"a\",\"podName\":\"b\",\"hostInterface\":\"ovl\",\"podMac\":\"02:00:00:00:00:01\",\"addresses\":[\"x\"]}")]
    [TestCase("{\"containerId\":null,\"ifName\":\"eth0\",\"podNamespace\":\"a\",\"podName\":\"b\",\"hostInterface\":\"ovl\",\"podMac\":null,\"addresses\":null}")]
    public void A_corrupt_file_is_named_and_the_others_are_read(string content)
    {
        var folder = new AttachmentFolder(_state);
        folder.Write(AttachmentOf("c1"));
        var path = Path.Combine(_state, "attachments", "b-eth0.json");
        File.WriteAllText(path, content);
        Assert.That(folder.ReadAll(out var broken), Has.Count.EqualTo(1));
        Assert.That(broken.Single(), Does.StartWith($"{path}: not an attachment: "));
    }

    [Test]
    public void A_name_that_leads_elsewhere_is_refused() =>
        Assert.That(() => new AttachmentFolder(_state).Write(AttachmentOf("../c1")), Throws.ArgumentException);

    private static Attachment AttachmentOf(string container) => new(
        container,
        "eth0",
        new("shop", "web"),
        "0b4c",
        "/run/netns/x",
        "ovl0123456789a",
        new(0x02_00_00_00_00_01),
        [InetAddress.Parse("10.42.1.5"), InetAddress.Parse("fd00::5")],
        "overlay");
}
