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

    [Test]
    public void A_network_with_a_folder_of_its_own_is_looked_after_as_well()
    {
        var folder = Path.Combine(Path.GetDirectoryName(Node.IpamDir)!, "elsewhere", "other");
        var (web, db) = (Node.MakePod("shop/web"), Node.MakePod("shop/db"));
        string Elsewhere(params string[] addresses) => Other(addresses).Replace(Node.IpamDir, Path.GetDirectoryName(folder), StringComparison.Ordinal);
        Assert.That(web.AddAs(Elsewhere(Unusual)).ExitCode + db.AddAs(Elsewhere()).ExitCode, Is.Zero, Node.Log);
        var killed = Path.Combine(folder, "10.42.1.77"); // its ADD never came to the agent
        var young = Path.Combine(folder, "10.42.1.79");
        File.WriteAllText(killed, "lost\r\neth0");
        File.WriteAllText(young, "adding\r\neth0");
        foreach (var file in Files().Where(file => file != young))
            File.SetLastWriteTimeUtc(file, DateTime.UtcNow.AddHours(-1));
        var kept = Files().Where(file => file == young || File.ReadAllText(file).Contains(db.ContainerId, StringComparison.Ordinal)).ToList();
        web.Dispose();
        TestCluster.Eventually(() => Files().SequenceEqual(kept), "what was web's, and what nobody is wired with, is free", () => string.Join(' ', Files()) + Node.Log);

        // The next agent knows the folder by the pod that is there.
        Node.StopAgent();
        File.WriteAllText(killed, "lost\r\neth0");
        File.SetLastWriteTimeUtc(killed, DateTime.UtcNow.AddHours(-1));
        Node.StartAgent("--resync-interval", "1s");
        TestCluster.Eventually(() => !File.Exists(killed), "also after a restart", () => Node.Log);
        Assert.That(Files(), Is.EqualTo(kept));

        List<string> Files() => [.. new[] { folder, Path.Combine(folder, ".claims") }.SelectMany(Directory.GetFiles)
            .Where(file => Path.GetFileName(file) != "lock" && !Path.GetFileName(file).StartsWith("last_reserved_ip.", StringComparison.Ordinal)).Order(StringComparer.Ordinal)];
    }

    [Test]
    public void What_the_real_host_local_gave_it_takes_back_whether_the_agent_was_there_or_not([Values] bool isAway)
    {
        const string plugins = "/usr/lib/cni";
        if (!File.Exists($"{plugins}/host-local"))
            Assert.Ignore($"{plugins}/host-local is not installed (Debian: containernetworking-plugins)");
        Node.PluginPath += $":{plugins}";
        var (web, db) = (Node.MakePod("shop/web"), Node.MakePod("shop/db"));
        Assert.That(web.AddAs(Delegated("host-local", Unusual)).ExitCode + db.AddAs(Delegated("host-local")).ExitCode, Is.Zero, Node.Log);
        if (isAway)
            Node.StopAgent(kill: true);
        web.Dispose();
        if (isAway)
            Node.StartAgent("--resync-interval", "1s");
        TestCluster.Eventually(() => Node.Log.Contains($"freed what the IPAM plugin of network other gave to container {web.ContainerId}: {web.IPv4} {web.IPv6}"), "it is told of", () => Node.Log);
        var folder = Path.Combine(Node.IpamDir, "other");
        Assert.That(File.Exists(Path.Combine(folder, web.IPv4.ToString())) || File.Exists(Path.Combine(folder, web.IPv6.ToString())), Is.False, "web's are free");
        Assert.That(File.Exists(Path.Combine(folder, db.IPv4.ToString())) && File.Exists(Path.Combine(folder, db.IPv6.ToString())), "db's are not");
        Assert.That(Directory.GetFiles(Node.Orphans), Is.Empty, "nothing is left to do");
        Assert.That(Directory.GetFiles(Node.Attachments), Has.Length.EqualTo(1));
    }

    // It may need an API server that is not there yet.
    [Test]
    public void A_plugin_that_takes_nothing_back_is_asked_again_also_by_the_next_agent()
    {
        var folder = Directory.CreateDirectory(Path.Combine(Path.GetDirectoryName(Node.IpamDir)!, "plugins")).FullName;
        File.WriteAllText(Path.Combine(folder, "script"), $$"""
            #!/bin/sh
            cat > {{folder}}/stdin.$CNI_COMMAND
            env | grep ^CNI_ | sort > {{folder}}/env.$CNI_COMMAND
            [ $CNI_COMMAND = ADD ] && echo '{"ips":[{"address":"10.99.0.77/24"}]}' && exit
            [ -e {{folder}}/ready ]
            """);
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(Path.Combine(folder, "script"), UnixFileMode.UserRead | UnixFileMode.UserExecute);
        Node.PluginPath = $"{folder}:{Node.PluginPath}";
        var web = Node.MakePod("shop/web");
        Assert.That(web.AddAs(Delegated("script")).ExitCode, Is.Zero, Node.Log);
        web.Dispose();
        TestCluster.Eventually(() => Node.Log.Contains("the IPAM plugin script failed DEL with exit code 1"), "it says no", () => Node.Log);
        Assert.That(Directory.GetFiles(Node.Attachments), Is.Empty, "what is the agent's is done");
        Node.StopAgent();
        Node.StartAgent("--resync-interval", "1s");
        TestCluster.Eventually(() => Node.Log.Contains("the IPAM plugin script failed DEL with exit code 1"), "it says no again", () => Node.Log);
        Assert.That(Directory.GetFiles(Node.Orphans), Has.Length.EqualTo(1));
        File.WriteAllText(Path.Combine(folder, "ready"), "");
        TestCluster.Eventually(() => Directory.GetFiles(Node.Orphans).Length == 0, "it takes them back", () => Node.Log);
        Assert.That(File.ReadAllText(Path.Combine(folder, "stdin.DEL")), Is.EqualTo(File.ReadAllText(Path.Combine(folder, "stdin.ADD"))));
        Assert.That(
            File.ReadAllText(Path.Combine(folder, "env.DEL")),
            Is.EqualTo(File.ReadAllText(Path.Combine(folder, "env.ADD")).Replace("CNI_COMMAND=ADD", "CNI_COMMAND=DEL", StringComparison.Ordinal).Replace($"CNI_NETNS={web.Net.Path}", "CNI_NETNS=", StringComparison.Ordinal)));
    }

    // Such as no namespace of another test has: what any has, is not given back.
    private static readonly string[] Unusual = ["10.42.1.211", "fd00:42:1::d3"];

    private string Other(params string[] addresses) => Node.Configuration(addresses).Replace("\"name\":\"overlay\"", "\"name\":\"other\"", StringComparison.Ordinal);

    private string Delegated(string type, params string[] addresses) => Other(addresses).Replace("\"ipam\":{", $"\"ipam\":{{\"type\":\"{type}\",", StringComparison.Ordinal);

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
