using Overlay.Dataplane.Netlink;

namespace Overlay.Tests.Kernel;

public class NetnsTests
{
    [Test]
    public void A_created_namespace_is_one_that_ip_netns_knows()
    {
        using var net = NetnsFixture.Create();
        Assert.That(net.Run("ip netns list").Split('\n').Select(line => line.Split(' ')[0]), Does.Contain(net.Name));
        Assert.That(net.Run("ip netns identify").Trim(), Is.EqualTo(net.Name));
        Assert.That(net.Run("ip -o link").Split('\n', StringSplitOptions.RemoveEmptyEntries), Has.Length.EqualTo(1));
    }

    [Test]
    public void A_process_started_inside_lives_inside_and_the_test_does_not()
    {
        using var net = NetnsFixture.Create();
        Assert.That(net.Run("stat -L -c %i /proc/self/ns/net").Trim(), Is.EqualTo($"{net.Netns.Identity.Inode}"));
        Assert.That(net.Netns.IsOwn, Is.False);
        using var own = Netns.Own();
        Assert.That(own.IsOwn, Is.True);
    }

    [Test]
    public void A_deleted_name_is_gone_and_deleting_it_again_is_no_error()
    {
        string path;
        using (var net = NetnsFixture.Create())
            path = net.Path;
        Assert.That(File.Exists(path), Is.False);
        Assert.DoesNotThrow(() => Netns.Delete(Path.GetFileName(path)));
    }

    [Test]
    public void Two_paths_of_one_namespace_are_the_same_and_two_namespaces_are_not()
    {
        using var net = NetnsFixture.Create();
        using var other = NetnsFixture.Create();
        using var again = Netns.Open(net.Path);
        Assert.That(again.Identity, Is.EqualTo(net.Netns.Identity));
        Assert.That(other.Netns.Identity, Is.Not.EqualTo(net.Netns.Identity));
    }

    [Test]
    public void An_exception_inside_comes_out()
    {
        using var net = NetnsFixture.Create();
        Assert.That(() => net.Netns.Run(() => throw new InvalidOperationException("inside")), Throws.InvalidOperationException.With.Message.EqualTo("inside"));
    }

    [Test]
    public void A_name_cannot_be_taken_twice()
    {
        using var net = NetnsFixture.Create();
        Assert.That(() => Netns.Create(net.Name), Throws.TypeOf<NetnsException>().With.Message.Contains("EEXIST"));
        using var still = Netns.Open(net.Path);
        Assert.That(still.Identity, Is.EqualTo(net.Netns.Identity));
    }

    [TestCase("/run/netns/no-such-namespace", NetnsFault.Absent)]
    [TestCase("/etc/passwd", NetnsFault.NotANamespace)]
    [TestCase("/proc/self/ns/mnt", NetnsFault.NotANamespace)]
    [TestCase("/etc", NetnsFault.NotANamespace)]
    [TestCase("/proc/self/ns/net", NetnsFault.Own)]
    public void What_is_no_foreign_network_namespace_is_refused_by_name(string path, NetnsFault fault)
    {
        if (!OperatingSystem.IsLinux())
            Assert.Ignore("Needs Linux.");
        var exception = Assert.Throws<NetnsException>(() => Netns.OpenForeign(path))!;
        Assert.That(exception.Fault, Is.EqualTo(fault));
        Assert.That(exception.Message, Does.Contain(path));
    }
}
