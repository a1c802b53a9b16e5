extern alias shim;

using System.IO.Pipes;
using System.Net.Sockets;
using Overlay.CniShim.Protocol;
using Overlay.Dataplane.Cni;
using shim::Overlay.CniShim;

namespace Overlay.Tests.CniShim;

/// <summary>The plugin and the agent's real server, over a real socket.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class VerbsTests : IAsyncDisposable
{
    private readonly AgentFixture agent = new();
    private readonly Deadlines hurry = new() { Add = TimeSpan.FromMilliseconds(200), Del = TimeSpan.FromMilliseconds(200), Status = TimeSpan.FromMilliseconds(200), AgentStart = TimeSpan.FromMilliseconds(100) };

    private PluginCall Add => new() { Stdin = agent.Configuration() };

    private PluginCall Del => Add with { Command = "DEL" };

    public ValueTask DisposeAsync() => agent.DisposeAsync();

    [Test]
    public void ADD_tells_the_agent_all_about_the_pod()
    {
        agent.Start();
        Add.With("CNI_ARGS", "K8S_POD_UID=u1;K8S_POD_NAME=web;IgnoreUnknown=1;K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_NAMESPACE=shop").Run();
        var request = agent.Asked.Single();
        Assert.That(request with { Addresses = [], LooseAddresses = [], PortMappings = [], ValidAttachments = [] }, Is.EqualTo(new AgentRequest
        {
            Command = "ADD",
            ContainerId = "c1",
            Netns = PluginCall.SomeNetns,
            IfName = "eth0",
            Network = "n",
            PodNamespace = "shop",
            PodName = "web",
            PodUid = "u1",
            Addresses = [],
            LooseAddresses = [],
            AddressFolder = agent.Addresses,
            PortMappings = [],
            ValidAttachments = [],
            Began = Add.Began,
        }));
        Assert.That(request.Addresses, Is.EqualTo(new IpamAddress[]
        {
            new() { Address = "10.42.1.2/24", Gateway = "10.42.1.1" },
            new() { Address = "fd00:42:1::2/64", Gateway = "fd00:42:1::1" },
        }));
    }

    [TestCase("""{"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"},{"hostPort":53,"containerPort":5353,"protocol":"udp","hostIP":"192.0.2.1"},{"hostPort":0,"containerPort":9}]}""")]
    [TestCase("""{"portMappings":[{"HostPort":8080,"ContainerPort":80,"Protocol":"","HostIP":""},{"HostPort":53,"ContainerPort":5353,"Protocol":"udp","HostIP":"192.0.2.1"},{"ContainerPort":9}]}""")]
    public void ADD_tells_the_agent_the_host_ports_in_either_spelling(string runtimeConfig)
    {
        agent.Start();
        Assert.That((Add with { Stdin = agent.Configuration(more: $",\"runtimeConfig\":{runtimeConfig}") }).Run().ExitCode, Is.Zero);
        Assert.That(agent.Asked.Single().PortMappings, Is.EqualTo(new PortMapping[]
        {
            new() { HostPort = 8080, ContainerPort = 80 },
            new() { HostPort = 53, ContainerPort = 5353, Protocol = "udp", HostIP = "192.0.2.1" },
        }));
    }

    [TestCase("", "MAC=0A:58:0A:2A:01:09", "0a:58:0a:2a:01:09")]
    [TestCase(",\"args\":{\"cni\":{\"mac\":\"02-00-00-00-00-02\"}}", "MAC=0A:58:0A:2A:01:09", "02:00:00:00:00:02")]
    [TestCase(",\"args\":{\"cni\":{\"mac\":\"02:00:00:00:00:02\"}},\"runtimeConfig\":{\"Mac\":\"02:00:00:00:00:03\"}", "", "02:00:00:00:00:03")]
    [TestCase(",\"runtimeConfig\":{\"mac\":\"\"}", "", "")]
    public void ADD_and_CHECK_tell_the_agent_the_Ethernet_address_asked_for(string more, string args, string mac)
    {
        agent.Start();
        var add = (Add with { Stdin = agent.Configuration(more: more) }).With("CNI_ARGS", args);
        var result = add.Run().Stdout;
        Assert.That((add with { Command = "CHECK", Stdin = agent.Configuration(more: $"{more},\"prevResult\":{result}") }).Run().Verdict, Is.EqualTo("0"));
        Assert.That(agent.Asked.Select(request => request.Mac), Is.EqualTo(new[] { mac, mac }));
    }

    [TestCase("{\"ingressRate\":1000,\"ingressBurst\":2000,\"egressRate\":3000,\"egressBurst\":4294967295}")]
    [TestCase("{\"IngressRate\":1000,\"IngressBurst\":2000,\"EgressRate\":3000,\"EgressBurst\":4294967295}")]
    public void ADD_tells_the_agent_the_bandwidth_in_either_spelling(string bandwidth)
    {
        agent.Start();
        Assert.That((Add with { Stdin = agent.Configuration(more: $",\"runtimeConfig\":{{\"bandwidth\":{bandwidth}}}") }).Run().Verdict, Is.EqualTo("0"));
        Assert.That(agent.Asked.Single().Bandwidth, Is.EqualTo(new Bandwidth { IngressRate = 1000, IngressBurst = 2000, EgressRate = 3000, EgressBurst = 4294967295 }));
    }

    [TestCase("{\"ingressRate\":0,\"ingressBurst\":0,\"egressRate\":0,\"egressBurst\":0}")]
    [TestCase("{}")]
    [TestCase("[]")]
    [TestCase("null")]
    public void A_bandwidth_of_nothing_is_no_request(string bandwidth)
    {
        agent.Start();
        Assert.That((Add with { Stdin = agent.Configuration(more: $",\"runtimeConfig\":{{\"bandwidth\":{bandwidth}}}") }).Run().Verdict, Is.EqualTo("0"));
        Assert.That(agent.Asked.Single().Bandwidth, Is.Null);
    }

    [Test]
    public void DEL_does_not_look_at_what_only_ADD_needs()
    {
        agent.Start();
        Assert.That((Del with { Stdin = agent.Configuration(more: ",\"runtimeConfig\":{\"portMappings\":[{\"hostPort\":-1}],\"mac\":7,\"bandwidth\":7}") }).Run().ExitCode, Is.Zero);
        Assert.That(agent.Asked.Single().PortMappings, Is.Empty);
    }

    [Test]
    public void ADD_that_the_agent_refuses_gives_the_addresses_back()
    {
        agent.Start(_ => AgentError.Answer(100, "no", "because"));
        Assert.That(Add.Run().Stdout, Is.EqualTo("""{"cniVersion":"1.1.0","code":100,"msg":"no","details":"because"}""" + "\n"));
        Assert.That(agent.Reserved, Is.Empty);
    }

    [Test]
    public void ADD_that_the_agent_does_not_answer_gives_the_addresses_back_in_time()
    {
        agent.Start(_ => null);
        var outcome = (Add with { Deadlines = hurry }).Run();
        Assert.That(outcome.Verdict, Is.EqualTo($"11 the agent at {agent.SocketPath} did not answer in time"));
        Assert.That(agent.Reserved, Is.Empty);
    }

    [TestCase("{\n", 6, TestName = "An_answer_that_is_no_JSON")]
    [TestCase("{}\n", 6, TestName = "An_answer_that_says_nothing")]
    [TestCase("{\"wired\":", 11, TestName = "An_answer_that_breaks_off")]
    [TestCase("", 11, TestName = "An_agent_that_hangs_up")]
    public async Task A_bad_answer_gives_the_addresses_back(string answer, int code)
    {
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(agent.SocketPath));
        listener.Listen();
        var adding = Task.Run(Add.Run);
        using (var plugin = await listener.AcceptAsync())
        {
            await plugin.ReceiveAsync(new byte[65536]);
            await plugin.SendAsync(System.Text.Encoding.UTF8.GetBytes(answer));
        }

        Assert.That((await adding).Code, Is.EqualTo(code));
        Assert.That(agent.Reserved, Is.Empty);
    }

    [Test]
    public void ADD_without_an_agent_is_to_be_tried_again_later()
    {
        var outcome = (Add with { Deadlines = hurry }).Run();
        Assert.That(outcome.Verdict, Does.StartWith($"11 no agent listens at {agent.SocketPath}: "));
        Assert.That(agent.Reserved, Is.Empty);
    }

    [Test]
    public async Task ADD_waits_for_an_agent_that_is_just_starting()
    {
        var adding = Task.Run((Add with { Deadlines = new() }).Run);
        while (agent.Reserved.Length < 2)
            await Task.Yield(); // it has its addresses and so is about to connect
        agent.Start();
        Assert.That((await adding).Verdict, Is.EqualTo("0"));
    }

    [Test]
    public void ADD_with_a_full_range_leaves_nothing_and_does_not_trouble_the_agent()
    {
        agent.Start();
        var call = Add with { Stdin = agent.Configuration(ranges: """[[{"subnet":"fd00:42:1::/64"}],[{"subnet":"10.42.1.0/30"}]]""") };
        Assert.That(call.Run().Verdict, Is.EqualTo("0"));
        var outcome = call.With("CNI_CONTAINERID", "c2").Run();
        Assert.That(outcome.Verdict, Is.EqualTo("100 failed to allocate for range 1: no IP addresses available in range set: 10.42.1.1-10.42.1.2"));
        Assert.That(agent.Reserved, Is.EqualTo(new[] { "10.42.1.2", "fd00:42:1::2" }));
        Assert.That(agent.Asked, Has.Count.EqualTo(1));
    }

    [Test]
    public void A_second_ADD_of_an_attachment_is_refused_and_the_first_keeps_its_addresses()
    {
        agent.Start();
        Add.Run();
        Assert.That(Add.Run().Verdict, Is.EqualTo("999 failed to allocate for range 0: 10.42.1.2 has been allocated to c1, duplicate allocation is not allowed"));
        Assert.That(agent.Reserved, Is.EqualTo(new[] { "10.42.1.2", "fd00:42:1::2" }));
    }

    [Test]
    public void DEL_gives_back_and_may_come_twice_or_for_nothing()
    {
        agent.Start();
        Add.Run();
        foreach (var netns in new[] { PluginCall.SomeNetns, "", "/run/netns/gone" })
        {
            Assert.That(Del.With("CNI_NETNS", netns).With("CNI_ARGS", "what;FOO=1").Run(), Is.EqualTo(new PluginOutcome(0, "", "")));
            Assert.That(agent.Reserved, Is.Empty);
        }

        Assert.That(agent.Asked.Select(request => request.Command), Is.EqualTo(new[] { "ADD", "DEL", "DEL", "DEL" }));
    }

    [Test]
    public void DEL_does_not_hand_on_the_hosts_own_netns()
    {
        agent.Start();
        (Del with { OwnNetns = PluginCall.SomeNetns }).Run();
        Assert.That(agent.Asked.Single().Netns, Is.Empty);
    }

    [Test]
    public void DEL_that_the_agent_refuses_keeps_the_addresses()
    {
        agent.Start(request => request.Command == "DEL" ? AgentError.Answer(5, "the kernel says no") : AgentFixture.Wire(request));
        Add.Run();
        Assert.That(Del.Run().Verdict, Is.EqualTo("5 the kernel says no"));
        Assert.That(agent.Reserved, Has.Length.EqualTo(2));
    }

    [Test]
    public void DEL_that_the_agent_passes_over_leaves_the_addresses_to_the_pod_that_has_them_now()
    {
        agent.Start(request => request.Command == "DEL" ? AgentResponse.Stale : AgentFixture.Wire(request));
        Add.Run();
        Assert.That(Del.Run(), Is.EqualTo(new PluginOutcome(0, "", "")));
        Assert.That(agent.Reserved, Is.EqualTo(new[] { "10.42.1.2", "fd00:42:1::2" }));
        Assert.That(agent.Claims, Has.Length.EqualTo(1));
    }

    [TestCase(true, TestName = "DEL_without_an_agent_waits_for_it_as_a_file")]
    [TestCase(false, TestName = "DEL_that_the_agent_does_not_answer_waits_for_it_as_a_file")]
    public async Task Queue(bool absent)
    {
        if (!absent)
            agent.Start(_ => null);
        Directory.CreateDirectory(agent.Addresses);
        await File.WriteAllTextAsync(Path.Combine(agent.Addresses, "10.42.1.9"), "c1\r\neth0");
        Assert.That((Del with { Deadlines = hurry }).Run(), Is.EqualTo(new PluginOutcome(0, "", "")));
        Assert.That(agent.Reserved, Is.Empty);
        var pending = new PendingDeletes(PendingDelete.FolderOf(agent.SocketPath)).Read(out var broken);
        Assert.That(broken, Is.Empty);
        Assert.That(pending.Select(delete => (delete.Command, delete.ContainerId, delete.IfName)), Is.EqualTo(new[] { ("DEL", "c1", "eth0") }));
        Assert.That(Directory.GetFiles(PendingDelete.FolderOf(agent.SocketPath)), Has.Length.EqualTo(1));
    }

    [Test]
    public void CHECK_asks_IPAM_and_the_agent()
    {
        agent.Start();
        var result = Add.Run().Stdout;
        var check = Add with { Command = "CHECK", Stdin = agent.Configuration(more: $",\"prevResult\":{result}") };
        Assert.That(check.Run(), Is.EqualTo(new PluginOutcome(0, "", "")));
        Assert.That(agent.Asked.Last().Addresses.Select(address => address.Address), Is.EqualTo(new[] { "10.42.1.2/32", "fd00:42:1::2/128" }));
        Assert.That(agent.Asked.Last().PreviousMac, Is.EqualTo("0a:58:0a:2a:01:02"));

        File.Delete(Path.Combine(agent.Addresses, "fd00:42:1::2"));
        Assert.That(check.Run().Verdict, Does.StartWith("101 fd00:42:1::2 is not reserved for container c1 interface eth0"));
        File.Delete(Path.Combine(agent.Addresses, "10.42.1.2"));
        Assert.That(check.Run().Verdict, Does.StartWith("101 Failed to find address added by container c1"));
        Assert.That((check with { Stdin = agent.Configuration() }).Run().Verdict, Is.EqualTo("7 Required prevResult missing"));
        Assert.That(check.With("CNI_IFNAME", "eth1").Run().Verdict, Is.EqualTo("101 prevResult has no interface eth1 in a sandbox"));
    }

    [Test]
    public void CHECK_reports_what_the_agent_finds()
    {
        agent.Start(request => request.Command == "CHECK" ? AgentError.Answer(101, "eth0 is down") : AgentFixture.Wire(request));
        var result = Add.Run().Stdout;
        var check = Add with { Command = "CHECK", Stdin = agent.Configuration(more: $",\"prevResult\":{result}") };
        Assert.That(check.Run().Verdict, Is.EqualTo("101 eth0 is down"));
    }

    [Test]
    public void STATUS_is_50_until_the_agent_is_there()
    {
        var status = Add with { Command = "STATUS", Variables = new() { ["CNI_PATH"] = "/opt/cni/bin" } };
        Assert.That(status.Run().Verdict, Does.StartWith("50 no agent listens at"));
        agent.Start();
        Assert.That(status.Run(), Is.EqualTo(new PluginOutcome(0, "", "")));
    }

    [TestCase("ok\n", 0, "0")]
    [TestCase("ok\n", 44, "0")]
    [TestCase("unready\nthe datastore has been away for 5 minutes\n", 0, "51 the datastore has been away for 5 minutes")]
    [TestCase("ok\n", 46, "50 no agent listens at")]
    [TestCase("unready\nno\n", 46, "50 no agent listens at")]
    [TestCase("", 0, "50 no agent listens at")]
    public void STATUS_while_the_agent_is_away_is_what_its_heartbeat_said_a_moment_ago(string heartbeat, int age, string verdict)
    {
        var file = Path.Combine(agent.Folder, "heartbeat");
        File.WriteAllText(file, heartbeat);
        File.SetLastWriteTimeUtc(file, DateTime.UtcNow - TimeSpan.FromSeconds(age));
        Assert.That((Add with { Command = "STATUS" }).Run().Verdict, Does.StartWith(verdict));
    }

    [Test]
    public void STATUS_is_what_the_agent_says_whatever_its_heartbeat_said()
    {
        File.WriteAllText(Path.Combine(agent.Folder, "heartbeat"), "ok\n");
        agent.Start(_ => AgentError.Answer(51, "no route to the other nodes"));
        Assert.That((Add with { Command = "STATUS" }).Run().Verdict, Is.EqualTo("51 no route to the other nodes"));
    }

    [Test]
    public void STATUS_is_50_when_no_address_can_be_given_away()
    {
        agent.Start();
        var status = Add with { Command = "STATUS", Deadlines = hurry };
        File.WriteAllText(Path.Combine(agent.Folder, "networks"), "a file");
        Assert.That(status.Run().Verdict, Does.StartWith($"50 no address can be given away: cannot make the folder of addresses {agent.Addresses}"));
        File.Delete(Path.Combine(agent.Folder, "networks"));
        Directory.CreateDirectory(Path.Combine(agent.Addresses, ".probe.tmp"));
        Assert.That(status.Run().Verdict, Does.StartWith($"50 no address can be given away: open {agent.Addresses}/.probe.tmp: "));
    }

    [Test]
    public void A_configuration_that_does_not_end_is_not_waited_for()
    {
        using var pipe = new AnonymousPipeServerStream(PipeDirection.Out);
        pipe.Write("{\"cniVersion\":"u8);
        using var stdin = new DescriptorStream(new(pipe.ClientSafePipeHandle.DangerousGetHandle(), ownsHandle: false));
        Assert.That((Add with { Input = stdin, Deadlines = hurry }).Run().Verdict, Is.EqualTo("5 error reading from stdin: the network configuration did not end in time; close stdin behind it"));
    }

    [Test]
    public void STATUS_is_50_when_the_agent_hangs()
    {
        agent.Start(_ => null);
        Assert.That((Add with { Command = "STATUS", Deadlines = hurry }).Run().Verdict, Is.EqualTo($"50 the agent at {agent.SocketPath} did not answer in time"));
    }

    [TestCase("cni.dev/valid-attachments")]
    [TestCase("cni.dev/attachments")]
    public void GC_keeps_what_is_listed_and_what_is_young(string key)
    {
        agent.Start();
        Add.Run();
        Add.With("CNI_CONTAINERID", "c2").Run();
        var gc = Add with { Command = "GC", Stdin = agent.Configuration(more: $$""","{{key}}":[{"containerID":"c2","ifname":"eth0"}]""") };
        Assert.That((gc with { GcGrace = TimeSpan.FromHours(1) }).Run(), Is.EqualTo(new PluginOutcome(0, "", "")));
        Assert.That(agent.Reserved, Has.Length.EqualTo(4));
        gc.Run();
        Assert.That(agent.Reserved, Is.EqualTo(new[] { "10.42.1.3", "fd00:42:1::3" }));
        Assert.That(agent.Asked.Last().ValidAttachments, Is.EqualTo(new[] { new Attachment("c2", "eth0") }));
        Assert.That(agent.Asked.Where(request => request.Command == "GC").Select(request => request.Grace), Is.EqualTo(new[] { 3600, 0 }), "the agent keeps what is as young");
    }

    [Test]
    public void GC_frees_addresses_even_when_the_agent_is_away()
    {
        Directory.CreateDirectory(agent.Addresses);
        File.WriteAllText(Path.Combine(agent.Addresses, "10.42.1.9"), "c1\r\neth0");
        var gc = Add with { Command = "GC", Stdin = agent.Configuration(more: ",\"cni.dev/valid-attachments\":[]") };
        Assert.That(gc.Run().Code, Is.EqualTo(11));
        Assert.That(agent.Reserved, Is.Empty);
    }

    [Test]
    public void GC_goes_on_after_a_failure_and_tells_of_all()
    {
        agent.Start(_ => AgentError.Answer(5, "the kernel says no"));
        string[] stuck = [Path.Combine(agent.Addresses, ".claims", "a@eth0"), Path.Combine(agent.Addresses, ".claims", "b@eth0")];
        Array.ForEach(stuck, folder => Directory.CreateDirectory(folder));
        var other = Path.Combine(agent.Addresses, ".claims", "c@eth0");
        File.WriteAllText(other, "c\r\neth0");
        var verdict = (Add with { Command = "GC", Stdin = agent.Configuration(more: ",\"cni.dev/valid-attachments\":[]") }).Run().Verdict;
        Assert.That(verdict, Does.StartWith("5 the kernel says no; ").And.Contain($"unlink {stuck[0]}: ").And.Contain($"unlink {stuck[1]}: "));
        Assert.That(File.Exists(other), Is.False);
        Assert.That(Add.Run().Verdict, Is.EqualTo("5 the kernel says no"), "nor are they in the way of an ADD");
    }

    [Test]
    public void DEL_without_an_agent_and_its_queue_still_gives_back_what_there_is()
    {
        File.WriteAllText(PendingDelete.FolderOf(agent.SocketPath), "no folder");
        Directory.CreateDirectory(agent.Addresses);
        File.WriteAllText(Path.Combine(agent.Addresses, "10.42.1.9"), "c1\r\neth0");
        Assert.That(Del.Run(), Is.EqualTo(new PluginOutcome(0, "", "")));
        Assert.That(agent.Reserved, Is.Empty);
    }

    [Test]
    public void Fifty_ADDs_at_once_get_fifty_addresses_of_each_family()
    {
        agent.Start();
        var verdicts = new string[50];
        var threads = verdicts.Select((_, number) => new Thread(() => verdicts[number] = Add.With("CNI_CONTAINERID", $"c{number}").Run().Verdict)).ToArray();
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        Assert.That(verdicts, Is.All.EqualTo("0"));
        Assert.That(agent.Reserved, Has.Length.EqualTo(100));
        Assert.That(agent.Asked.SelectMany(request => request.Addresses).Select(address => address.Address).Distinct().Count(), Is.EqualTo(100));
    }
}
