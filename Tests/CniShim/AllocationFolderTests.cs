extern alias shim;

using System.Diagnostics;
using shim::Overlay.CniShim;
using shim::Overlay.CniShim.Ipam;
using shim::Overlay.CniShim.Spec;

namespace Overlay.Tests.CniShim;

/// <summary>The files on disk, beside a real host-local where there is one.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class AllocationFolderTests : IAsyncDisposable
{
    private const string HostLocal = "/usr/lib/cni/host-local";

    private readonly AgentFixture agent = new();

    private PluginCall Add => new() { Stdin = agent.Configuration() };

    // the same folder, ranges and network, for host-local
    private string HostLocalConfiguration => agent.Configuration("1.0.0").Replace("\"ipam\":{", "\"ipam\":{\"type\":\"host-local\",");

    public ValueTask DisposeAsync() => agent.DisposeAsync();

    [Test]
    public void Files_are_those_of_host_local()
    {
        agent.Start();
        Add.Run();
        var ours = Contents();
        Assert.That(ours, Is.EqualTo(new Dictionary<string, string>
        {
            ["10.42.1.2"] = "c1\r\neth0",
            ["fd00:42:1::2"] = "c1\r\neth0",
            ["last_reserved_ip.0"] = "10.42.1.2",
            ["last_reserved_ip.1"] = "fd00:42:1::2",
            ["lock"] = "",
        }));
        Assert.That(agent.Claims, Is.EqualTo(new[] { "c1@eth0" }), "beside them");

        RequireHostLocal();
        Directory.Delete(agent.Addresses, recursive: true);
        RunHostLocal("ADD", "c1");
        Assert.That(Contents(), Is.EqualTo(ours));
    }

    [Test]
    public void Both_see_what_the_other_has_given_away()
    {
        RequireHostLocal();
        agent.Start();
        Assert.That(Add.With("CNI_CONTAINERID", "c1").Run().Addresses, Is.EqualTo(new[] { "10.42.1.2/32", "fd00:42:1::2/128" }));
        Assert.That(RunHostLocal("ADD", "c2"), Does.Contain("10.42.1.3/24").And.Contain("fd00:42:1::3/64"));
        Assert.That(Add.With("CNI_CONTAINERID", "c3").Run().Addresses, Is.EqualTo(new[] { "10.42.1.4/32", "fd00:42:1::4/128" }));

        Assert.That(Add.With("CNI_CONTAINERID", "c2").Run().Msg, Does.Contain("10.42.1.3 has been allocated to c2, duplicate allocation is not allowed"));
        Assert.That(RunHostLocal("ADD", "c1", succeeds: false), Does.Contain("10.42.1.2 has been allocated to c1, duplicate allocation is not allowed"));

        RunHostLocal("DEL", "c1");
        RunHostLocal("DEL", "c3");
        Assert.That((Add.With("CNI_CONTAINERID", "c2") with { Command = "DEL" }).Run().ExitCode, Is.Zero);
        Assert.That(agent.Reserved, Is.Empty);
    }

    [Test]
    public void The_lock_holds_a_host_local_off()
    {
        RequireHostLocal();
        agent.Start();
        var folder = AllocationFolder.Of(Configuration());
        Process waiting;
        using (folder.Lock(Deadline.In(TimeSpan.FromSeconds(10))))
        {
            waiting = StartHostLocal("ADD", "c1");
            while (!File.ReadAllText("/proc/locks").Contains($"FLOCK  ADVISORY  WRITE {waiting.Id} ", StringComparison.Ordinal) && !waiting.HasExited)
                Thread.Yield(); // "->" before it says that it waits
            Assert.That(agent.Reserved, Is.Empty);
        }

        using (waiting)
        {
            waiting.WaitForExit();
            Assert.That(waiting.ExitCode, Is.Zero);
        }

        Assert.That(agent.Reserved, Has.Length.EqualTo(2));
    }

    [Test]
    public void A_lock_that_is_never_given_back_fails_the_call_in_time()
    {
        agent.Start();
        Put("10.42.1.9", "c1\r\neth0");
        using var held = AllocationFolder.Of(Configuration()).Lock(default);
        var hurry = new Deadlines { Add = TimeSpan.FromMilliseconds(50), Del = TimeSpan.FromMilliseconds(50) };
        Assert.That((Add with { Deadlines = hurry }).Run().Verdict, Does.StartWith($"11 {agent.Addresses}/lock is held by another process"));
        Assert.That((Add with { Deadlines = hurry, Command = "DEL" }).Run().Code, Is.EqualTo(11));
        Assert.That(agent.Reserved, Is.EqualTo(new[] { "10.42.1.9" }));
    }

    [TestCase(false)]
    [TestCase(true, Description = "a claim alone reserves nothing")]
    public void DEL_with_nothing_to_give_back_does_not_wait_for_the_lock(bool hasClaim)
    {
        agent.Start();
        Put("10.42.1.9", "other\r\neth0");
        if (hasClaim)
            Put(".claims/c1@eth0", "c1\r\neth0");
        using var held = AllocationFolder.Of(Configuration()).Lock(default);
        Assert.That((Add with { Command = "DEL" }).Run().Verdict, Is.EqualTo("0"));
        Assert.That(agent.Reserved, Is.EqualTo(new[] { "10.42.1.9" }));
    }

    [Test]
    public void What_is_named_like_an_address_and_is_no_file_is_taken_and_nobodys()
    {
        agent.Start();
        Directory.CreateDirectory(Path.Combine(agent.Addresses, "10.42.1.2"));
        File.CreateSymbolicLink(Path.Combine(agent.Addresses, "10.42.1.3"), "10.42.1.3");
        Assert.That(Add.Run().Addresses, Is.EqualTo(new[] { "10.42.1.4/32", "fd00:42:1::2/128" }));
        Assert.That((Add with { Command = "DEL" }).Run().Verdict, Is.EqualTo("0"));
        Assert.That(agent.Claims, Is.Empty);
        Assert.That((Add with { Command = "GC", Stdin = agent.Configuration(more: ",\"cni.dev/valid-attachments\":[]") }).Run().Verdict, Is.EqualTo("0"));
        Assert.That(Directory.Exists(Path.Combine(agent.Addresses, "10.42.1.2")));
    }

    [Test]
    public void Ours_and_host_locals_at_the_same_time_never_give_an_address_twice()
    {
        RequireHostLocal();
        agent.Start();
        const int Each = 20;
        var others = Enumerable.Range(0, Each).Select(number => StartHostLocal("ADD", $"theirs{number}")).ToArray();
        var threads = Enumerable.Range(0, Each).Select(number => new Thread(() => Add.With("CNI_CONTAINERID", $"ours{number}").Run())).ToArray();
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        foreach (var other in others)
        {
            other.WaitForExit();
            Assert.That(other.ExitCode, Is.Zero);
            other.Dispose();
        }

        var owners = Contents().Where(file => file.Key != "lock" && !file.Key.StartsWith("last_", StringComparison.Ordinal)).GroupBy(file => file.Value).ToArray();
        Assert.That(owners, Has.Length.EqualTo(2 * Each));
        Assert.That(owners.Select(files => files.Count()), Is.All.EqualTo(2));
    }

    [Test]
    public void Addresses_left_by_a_very_old_host_local_are_given_back()
    {
        agent.Start();
        Put("10.42.1.7", "c1");
        Put("10.42.1.8", "c1-other");
        Put("10.42.1.9", "");
        Assert.That((Add with { Command = "DEL" }).Run().ExitCode, Is.Zero);
        Assert.That(agent.Reserved, Is.EqualTo(new[] { "10.42.1.8", "10.42.1.9" }));
    }

    [TestCase("c1@eth0")]
    [TestCase("other@eth0")]
    public void What_a_killed_ADD_left_of_its_claim_goes_with_the_next_ADD(string name)
    {
        agent.Start();
        Put($".claims/{name}", name.Replace("@", "\r\n"));
        Assert.That(Add.Run().ExitCode, Is.Zero, "nor does it stand in the way");
        Assert.That(agent.Claims, Is.EqualTo(new[] { "c1@eth0" }));
    }

    [Test]
    public void DEL_leaves_neither_address_nor_claim()
    {
        agent.Start();
        Add.Run();
        Add.With("CNI_CONTAINERID", "c2").Run();
        Assert.That(agent.Claims, Is.EqualTo(new[] { "c1@eth0", "c2@eth0" }));
        Assert.That((Add with { Command = "DEL" }).Run().Verdict, Is.EqualTo("0"));
        Assert.That(agent.Claims, Is.EqualTo(new[] { "c2@eth0" }));
        Assert.That(agent.Reserved, Is.EqualTo(new[] { "10.42.1.3", "fd00:42:1::3" }));
    }

    [TestCase("")]
    [TestCase("\0\0\0\0\0\0\0\0", Description = "the size was on the disk before the data")]
    public void After_a_power_cut_that_left_names_only_DEL_and_GC_still_know_whose_they_are(string left)
    {
        agent.Start();
        Add.Run();
        Add.With("CNI_CONTAINERID", "c2").Run();
        Put("10.42.1.2", left);
        Put("10.42.1.3", left);
        Assert.That(File.ReadAllText(Path.Combine(agent.Addresses, "fd00:42:1::2")), Is.EqualTo(left), "it is the same file");
        Assert.That((Add with { Command = "DEL" }).Run().Verdict, Is.EqualTo("0"));
        Assert.That(agent.Reserved, Is.EqualTo(new[] { "10.42.1.3", "fd00:42:1::3" }));
        var gc = Add with { Command = "GC", Stdin = agent.Configuration(more: ""","cni.dev/valid-attachments":[{"containerID":"c2","ifname":"eth0"}]""") };
        Assert.That(gc.Run().Verdict, Is.EqualTo("0"));
        Assert.That(agent.Reserved, Has.Length.EqualTo(2));
        Assert.That((gc with { Stdin = agent.Configuration(more: ",\"cni.dev/valid-attachments\":[]") }).Run().Verdict, Is.EqualTo("0"));
        Assert.That(agent.Reserved, Is.Empty);
        Assert.That(agent.Claims, Is.Empty);
    }

    [Test]
    public void DEL_leaves_alone_what_an_ADD_reserved_after_the_agent_had_unwired()
    {
        agent.Start(request =>
        {
            if (request.Command == "DEL" && Directory.GetFiles(agent.Addresses, "10.42.1.2").Length > 0)
            {
                File.Delete(Path.Combine(agent.Addresses, "10.42.1.2")); // by another DEL, which an ADD follows
                File.Delete(Path.Combine(agent.Addresses, "fd00:42:1::2"));
                File.WriteAllText(Path.Combine(agent.Addresses, "10.42.1.3"), "c1\r\neth0");
            }

            return AgentFixture.Wire(request);
        });
        Add.Run();
        Assert.That((Add with { Command = "DEL" }).Run().Verdict, Is.EqualTo("0"));
        Assert.That(agent.Reserved, Is.EqualTo(new[] { "10.42.1.3" }));
        Assert.That((Add with { Command = "DEL" }).Run().Verdict, Is.EqualTo("0"));
        Assert.That(agent.Reserved, Is.Empty);
    }

    [Test]
    public void A_claim_that_names_anothers_address_releases_nothing()
    {
        agent.Start();
        Add.Run();
        Put("10.42.1.2", "other\r\neth0");
        Assert.That((Add with { Command = "DEL" }).Run().Verdict, Is.EqualTo("0"));
        Assert.That(agent.Reserved, Is.EqualTo(new[] { "10.42.1.2", "fd00:42:1::2" }));
    }

    [Test]
    public void Without_its_claims_the_folder_is_read_as_host_locals()
    {
        agent.Start();
        Add.Run();
        Directory.Delete(Path.Combine(agent.Addresses, ".claims"), recursive: true);
        Assert.That(Add.Run().Msg, Does.Contain("10.42.1.2 has been allocated to c1"));
        Assert.That((Add with { Command = "DEL" }).Run().Verdict, Is.EqualTo("0"));
        Assert.That(agent.Reserved, Is.Empty);
    }

    [TestCase("DEL")]
    [TestCase("GC")]
    public void Where_nothing_was_ever_given_away_nothing_is_made(string command)
    {
        agent.Start();
        Assert.That((Add with { Command = command, Stdin = agent.Configuration(more: ",\"cni.dev/valid-attachments\":[]") }).Run().Verdict, Is.EqualTo("0"));
        Assert.That(Directory.Exists(agent.Addresses), Is.False);
    }

    [Test]
    public void Who_waits_for_the_lock_stands_in_the_kernels_line()
    {
        agent.Start();
        var thread = new Thread(() => Add.Run());
        using (AllocationFolder.Of(Configuration()).Lock(Deadline.In(TimeSpan.FromSeconds(10))))
        {
            thread.Start();
            while (!File.ReadAllText("/proc/locks").Contains($"-> FLOCK  ADVISORY  WRITE {Environment.ProcessId} ", StringComparison.Ordinal))
                Thread.Yield();
            Assert.That(agent.Reserved, Is.Empty);
        }

        thread.Join();
        Assert.That(agent.Reserved, Has.Length.EqualTo(2));
    }

    [Test]
    public void A_resolv_conf_becomes_the_results_DNS()
    {
        agent.Start();
        var file = Path.Combine(agent.Folder, "resolv.conf");
        var call = Add with { Stdin = agent.Configuration().Replace("\"ipam\":{", $"\"ipam\":{{\"resolvConf\":\"{file}\",") };
        Assert.That(call.Run().Verdict, Does.StartWith($"7 cannot read ipam.resolvConf {file}: "));
        Assert.That(agent.Reserved, Is.Empty);
        File.WriteAllText(file, "# made by hand\ndomain example.org\nnameserver 10.96.0.10\nnameserver\tfd00::a\nsearch a b\noptions ndots:5\n");
        Assert.That(call.Run().Json.GetProperty("dns").GetRawText(), Is.EqualTo("""{"nameservers":["10.96.0.10","fd00::a"],"domain":"example.org","search":["a","b"],"options":["ndots:5"]}"""));
    }

    [Test]
    public void A_lost_or_broken_last_reserved_file_only_costs_the_round_robin()
    {
        agent.Start();
        Add.Run();
        File.Delete(Path.Combine(agent.Addresses, "last_reserved_ip.0"));
        Put("last_reserved_ip.1", "nonsense");
        Assert.That(Add.With("CNI_CONTAINERID", "c2").Run().Addresses, Is.EqualTo(new[] { "10.42.1.3/32", "fd00:42:1::3/128" }));
    }

    [TestCase("CNI_ARGS", "IP=10.42.1.50", "10.42.1.50/32 fd00:42:1::2/128")]
    [TestCase("args", ",\"args\":{\"cni\":{\"ips\":[\"fd00:42:1::50/64\"]}}", "10.42.1.2/32 fd00:42:1::50/128")]
    [TestCase("runtimeConfig", ",\"runtimeConfig\":{\"IPs\":[\"10.42.1.50/24\",\"fd00:42:1::50\"]}", "10.42.1.50/32 fd00:42:1::50/128")]
    public void An_address_can_be_asked_for(string where, string what, string addresses)
    {
        agent.Start();
        var call = where == "CNI_ARGS" ? Add.With("CNI_ARGS", what) : Add with { Stdin = agent.Configuration(more: what) };
        Assert.That(string.Join(' ', call.Run().Addresses), Is.EqualTo(addresses));
    }

    [TestCase("IP=10.43.0.1", "7 requested address 10.43.0.1 is not in range set 10.42.1.1-10.42.1.254 or fd00:42:1::1-fd00:42:1:0:ffff:ffff:ffff:ffff")]
    [TestCase("IP=10.42.1.60,10.42.1.61", "7 requested address 10.42.1.61 is not in range set 10.42.1.1-10.42.1.254 or fd00:42:1::1-fd00:42:1:0:ffff:ffff:ffff:ffff")]
    [TestCase("IP=fd00:42:1::1", "7 failed to allocate for range 1: requested ip fd00:42:1::1 is subnet's gateway")]
    [TestCase("IP=10.42.1.9", "100 failed to allocate for range 0: requested IP address 10.42.1.9 is not available in range set 10.42.1.1-10.42.1.254")]
    [TestCase("IP=web", "7 requested address \"web\" is not an IP address")]
    public void An_address_that_cannot_be_had_fails_the_call_and_leaves_nothing(string args, string verdict)
    {
        agent.Start();
        Put("10.42.1.9", "other\r\neth0");
        Assert.That(Add.With("CNI_ARGS", args).Run().Verdict, Is.EqualTo(verdict));
        Assert.That(agent.Reserved, Is.EqualTo(new[] { "10.42.1.9" }));
        Assert.That(agent.Asked, Is.Empty);
    }

    [Test]
    public void A_folder_that_cannot_be_made_is_named()
    {
        File.WriteAllText(Path.Combine(agent.Folder, "networks"), "a file");
        Assert.That(Add.Run().Verdict, Does.StartWith($"5 cannot make the folder of addresses {agent.Addresses} (ipam.dataDir): "));
    }

    private static void RequireHostLocal()
    {
        if (!File.Exists(HostLocal))
            Assert.Ignore($"{HostLocal} is not installed (Debian: containernetworking-plugins)");
    }

    private NetworkConfiguration Configuration()
    {
        using var stdin = new MemoryStream(System.Text.Encoding.UTF8.GetBytes(agent.Configuration()));
        return NetworkConfiguration.Read(stdin, Deadline.In(TimeSpan.FromMinutes(1)));
    }

    private void Put(string file, string text)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Path.Combine(agent.Addresses, file))!);
        File.WriteAllText(Path.Combine(agent.Addresses, file), text);
    }

    private Dictionary<string, string> Contents() => Directory.GetFiles(agent.Addresses).ToDictionary(file => Path.GetFileName(file)!, File.ReadAllText);

    private Process StartHostLocal(string command, string containerId)
    {
        var start = new ProcessStartInfo(HostLocal) { RedirectStandardInput = true, RedirectStandardOutput = true };
        foreach (var (name, value) in Add.With("CNI_CONTAINERID", containerId).Variables)
            start.Environment[name] = value;
        start.Environment["CNI_COMMAND"] = command;
        var process = Process.Start(start)!;
        process.StandardInput.Write(HostLocalConfiguration);
        process.StandardInput.Close();
        return process;
    }

    private string RunHostLocal(string command, string containerId, bool succeeds = true)
    {
        using var process = StartHostLocal(command, containerId);
        var stdout = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.That(process.ExitCode == 0, Is.EqualTo(succeeds), stdout);
        return stdout;
    }
}
