namespace Overlay.Tests.Kernel;

/// <summary>What no runtime deletes is freed by the agent, and nothing else is.</summary>
[Property("Issue", 5)]
public class ReaperTests
{
    private TestCluster _cluster = null!;

    [SetUp]
    public void MakeCluster()
    {
        _cluster = TestCluster.Create(0);
        _cluster.ApplyNode("node-1", ["192.168.7.1"], ["10.42.1.0/24", "fd00:42:1::/64"]);
        _cluster.Join("node-1", "192.168.7.1").StartAgent("--resync-interval", "1s");
    }

    [TearDown]
    public void EndCluster() => _cluster?.Dispose();

    private TestNode Node => _cluster.Nodes[0];

    [Test]
    public void A_pod_whose_namespace_is_gone_is_freed_and_its_neighbour_is_not()
    {
        var empty = Node.State;
        var (web, db) = (Node.AddPod("shop/web"), Node.AddPod("shop/db"));
        Age();
        var before = Node.PodFiles.Where(file => !File.ReadAllText(file).Contains(web.ContainerId)).ToList();
        web.Dispose();
        TestCluster.Eventually(() => Node.PodFiles.Order().SequenceEqual(before.Order()), "all that belonged to it is gone, and nothing else", () => string.Join('\n', Node.PodFiles) + Node.Log);
        TestCluster.Eventually(() => Node.Log.Contains($"freed the attachment of pod shop/web (container {web.ContainerId})"), "and is told of", () => Node.Log);
        Assert.That(db.Check().ExitCode, Is.Zero);
        db.Remove();
        TestCluster.Eventually(() => Node.State == empty, "also in the kernel", () => Node.State);
    }

    [Test]
    public void Addresses_that_nobody_is_wired_with_are_freed_only_when_old_and_only_in_our_network()
    {
        var old = Reserve("overlay", "10.42.1.77", "lost\r\neth0");
        var empty = Reserve("overlay", "10.42.1.78", "");
        var claim = Reserve("overlay", ".lost@eth0.tmp", "lost\r\neth0");
        var foreign = Reserve("cbr0", "10.42.1.77", "lost\r\neth0");
        Age();
        var young = Reserve("overlay", "10.42.1.79", "adding\r\neth0");
        TestCluster.Eventually(() => !File.Exists(old) && !File.Exists(empty) && !File.Exists(claim), "old ones go", () => Node.Log);
        Assert.That(File.Exists(foreign) && File.Exists(young));
    }

    [Test]
    public void An_interface_that_no_attachment_has_is_removed()
    {
        Node.Net.Run("ip link add ovl0123456789a type veth peer name peer0");
        TestCluster.Eventually(() => Node.Net.TryRun("ip link show ovl0123456789a").ExitCode != 0, "it goes", () => Node.Log);
        TestCluster.Eventually(() => Node.Log.Contains("freed interface ovl0123456789a: no attachment has it"), "and is told of", () => Node.Log);
    }

    // Somebody pointed the agent at another folder: these are pods that live.
    [Test]
    public void Interfaces_of_an_agent_with_another_folder_are_left_alone()
    {
        var web = Node.AddPod("shop/web");
        Node.StopAgent();
        foreach (var file in Directory.GetFiles(Node.Attachments).Append(Path.Combine(Node.Attachments, "..", "boot-id")))
            File.Delete(file);
        Age();
        Node.StartAgent("--resync-interval", "1s");
        var lost = Reserve("overlay", "10.42.1.77", "lost\r\neth0");
        Age();
        TestCluster.Eventually(() => !File.Exists(lost), "the reaper has come by", () => Node.Log);
        Assert.That(web.Net.TryRun("ip link show eth0").ExitCode, Is.Zero);
        Assert.That(File.Exists(Path.Combine(Node.IpamDir, "overlay", web.IPv4.ToString())));
        Assert.That(Node.Log, Does.Contain($"interface {web.HostInterface} has no attachment"));
    }

    [Test]
    public void Files_that_were_never_renamed_go()
    {
        Directory.CreateDirectory(Node.Attachments);
        Directory.CreateDirectory(Node.Queue);
        string[] files = [Path.Combine(Node.Attachments, ".c1-eth0.json.tmp"), Path.Combine(Node.Queue, "c1@eth0.json.tmp"), Path.Combine(Path.GetDirectoryName(Node.Conflist)!, ".05-overlay.conflist.tmp")];
        foreach (var file in files)
            File.WriteAllText(file, "half");
        files.ToList().ForEach(file => File.SetLastWriteTimeUtc(file, DateTime.UtcNow.AddHours(-1)));
        TestCluster.Eventually(() => !files.Any(File.Exists), "they go", () => Node.Log);
    }

    // The machine started anew: no interface is left, and the runtime calls nobody.
    [Test]
    public void After_a_reboot_without_DEL_nothing_is_left()
    {
        var web = Node.AddPod("shop/web");
        Node.StopAgent(kill: true);
        web.Dispose();
        File.WriteAllText(Path.Combine(Node.Attachments, "..", "boot-id"), "another boot\n");
        Age();
        Node.StartAgent();
        TestCluster.Eventually(() => !Node.PodFiles.Any(), "at the first look", () => string.Join('\n', Node.PodFiles) + Node.Log);
    }

    [Test]
    public void Pods_of_another_plugin_keep_their_addresses_and_the_agent_counts_what_it_frees()
    {
        Node.StopAgent();
        using var flannels = NetnsFixture.Create();
        flannels.Run("ip link add eth0 type bridge");
        flannels.Run("ip address add 10.42.1.2/24 dev eth0");
        Reserve("cbr0", "10.42.1.2", "old\r\neth0");
        Reserve("cbr0", "10.42.1.253", "dead\r\neth0"); // such as no namespace of another test has
        Node.StartAgent("--resync-interval", "1s", "--metrics-address", "127.0.0.1:14790");
        Assert.That(File.ReadAllText(Path.Combine(Node.IpamDir, "overlay", "10.42.1.2")), Is.EqualTo("old\r\neth0"));
        Assert.That(File.Exists(Path.Combine(Node.IpamDir, "overlay", "10.42.1.253")), Is.False, "the address of a dead container is free");
        Assert.That(Node.AddPod("shop/web").IPv4.ToString(), Is.Not.EqualTo("10.42.1.2"));

        var lost = Reserve("overlay", "10.42.1.77", "lost\r\neth0");
        Age();
        TestCluster.Eventually(() => !File.Exists(lost), "the reaper has come by", () => Node.Log);
        Assert.That(File.Exists(Path.Combine(Node.IpamDir, "overlay", "10.42.1.2")), "the pod lives");
        TestCluster.Eventually(() => HttpQuestion.Ask(Node.Net, "127.0.0.1", 14790, "GET /metrics HTTP/1.1").Contains("overlay_reaped_total{kind=\"address\"} 1\n", StringComparison.Ordinal), "it is counted");
        Assert.That(File.ReadAllText(Path.Combine(Path.GetDirectoryName(Node.Socket)!, "heartbeat")), Is.EqualTo("ok\n"));
    }

    private string Reserve(string network, string file, string content)
    {
        var path = Path.Combine(Directory.CreateDirectory(Path.Combine(Node.IpamDir, network)).FullName, file);
        File.WriteAllText(path, content);
        return path;
    }

    // Makes every file of the network's folder an hour old.
    private void Age()
    {
        foreach (var file in Directory.GetFiles(Path.Combine(Node.IpamDir, "overlay")))
            File.SetLastWriteTimeUtc(file, DateTime.UtcNow.AddHours(-1));
    }
}
