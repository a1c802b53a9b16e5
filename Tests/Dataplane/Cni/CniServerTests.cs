using System.Net.Sockets;
using System.Runtime.Versioning;
using System.Text;
using System.Threading.Channels;
using Overlay.CniShim.Protocol;
using Overlay.Dataplane.Cni;

namespace Overlay.Tests.Dataplane.Cni;

[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
[UnsupportedOSPlatform("windows")]
public sealed class CniServerTests : IAsyncDisposable
{
    private readonly Channel<CniCall> calls = Channel.CreateUnbounded<CniCall>();
    private readonly CancellationTokenSource stop = new();
    private string folder = "";
    private string socketPath = "";
    private CniServer server = null!;
    private Task running = Task.CompletedTask;

    [SetUp]
    public void Start()
    {
        folder = Directory.CreateTempSubdirectory("overlay-cni-").FullName;
        socketPath = Path.Combine(folder, "run", "agent.sock");
        server = CniServer.Listen(socketPath, calls.Writer);
        running = server.RunAsync(stop.Token);
    }

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await running;
        server.Dispose();
        stop.Dispose();
        Directory.Delete(folder, recursive: true);
    }

    [Test]
    public async Task A_call_reaches_the_loop_and_its_answer_the_client()
    {
        using var client = await ConnectAsync();
        await client.SendAsync(AgentLine.Of(new AgentRequest { Command = "ADD", ContainerId = "c1", IfName = "eth0", Addresses = [new() { Address = "10.42.0.5/24" }] }));
        var call = await calls.Reader.ReadAsync();
        Assert.That(call.Request.Addresses.Single().Address, Is.EqualTo("10.42.0.5/24"));
        call.Answer(Wired);
        var answer = await ReadAsync(client);
        Assert.That(answer.Wired?.HostInterface, Is.EqualTo("ovl1"));
        Assert.That(answer.Error, Is.Null);
    }

    [Test]
    public async Task The_loop_may_answer_many_clients_in_any_order()
    {
        var clients = await Task.WhenAll(Enumerable.Range(0, 20).Select(async number =>
        {
            var client = await ConnectAsync();
            await client.SendAsync(AgentLine.Of(new AgentRequest { Command = "CHECK", ContainerId = $"c{number}" }));
            return client;
        }));
        var waiting = new List<CniCall>();
        while (waiting.Count < clients.Length)
            waiting.Add(await calls.Reader.ReadAsync());
        foreach (var call in waiting.AsEnumerable().Reverse())
            call.Answer(AgentError.Answer(101, call.Request.ContainerId));
        for (var number = 0; number < clients.Length; number++)
        {
            Assert.That((await ReadAsync(clients[number])).Error?.Msg, Is.EqualTo($"c{number}"));
            clients[number].Dispose();
        }
    }

    [TestCase("{\"command\":", TestName = "Broken_JSON_is_answered_with_error_6")]
    [TestCase("null", TestName = "Null_is_answered_with_error_6")]
    [TestCase("{}", TestName = "A_request_without_command_is_answered_with_error_6")]
    public async Task Undecodable(string line)
    {
        using var client = await ConnectAsync();
        await client.SendAsync(Encoding.UTF8.GetBytes(line + "\n"));
        Assert.That((await ReadAsync(client)).Error?.Code, Is.EqualTo(6));
        Assert.That(calls.Reader.TryRead(out _), Is.False);
    }

    [Test]
    public async Task A_request_beyond_the_limit_is_answered_with_error_6()
    {
        using var client = await ConnectAsync();
        await client.SendAsync(new byte[AgentRequest.MaxLength + 1]);
        Assert.That((await ReadAsync(client)).Error?.Code, Is.EqualTo(6));
    }

    [Test]
    public async Task A_silent_client_is_cut_off()
    {
        var path = Path.Combine(folder, "other.sock");
        using var impatient = CniServer.Listen(path, calls.Writer, clientDeadline: TimeSpan.FromMilliseconds(50));
        var serving = impatient.RunAsync(stop.Token);
        using var client = await ConnectAsync(path);
        Assert.That(await client.ReceiveAsync(new byte[1]), Is.Zero);
        await stop.CancelAsync();
        await serving;
    }

    [Test]
    public async Task A_client_that_leaves_before_the_answer_is_noticed()
    {
        var client = await ConnectAsync();
        await client.SendAsync(AgentLine.Of(new AgentRequest { Command = "ADD", ContainerId = "c1", IfName = "eth0" }));
        var call = await calls.Reader.ReadAsync();
        Assert.That(call.ClientGone.IsCancellationRequested, Is.False);
        var noticed = new TaskCompletionSource();
        call.ClientGone.Register(noticed.SetResult);
        client.Dispose();
        await noticed.Task.WaitAsync(TimeSpan.FromSeconds(10));
        call.Answer(AgentError.Answer(999, "undone"));
    }

    [Test]
    public async Task A_wired_answer_that_nobody_reads_is_followed_by_its_DEL()
    {
        var client = await ConnectAsync();
        await client.SendAsync(AgentLine.Of(new AgentRequest { Command = "ADD", ContainerId = "c1", IfName = "eth0" }));
        var call = await calls.Reader.ReadAsync();
        var before = BootClock.Now;
        call.Answer(Wired);
        var after = BootClock.Now;
        await client.ReceiveAsync(Memory<byte>.Empty); // the answer is there, unread
        client.Dispose();
        var undo = await calls.Reader.ReadAsync();
        Assert.That(undo.Request, Is.EqualTo(call.Request with { Command = "DEL", Began = undo.Request.Began }));
        Assert.That(undo.Request.Began, Is.InRange(before, after), "what is wired later is not meant");
    }

    [Test]
    public async Task An_answer_that_was_read_is_not_undone()
    {
        using (var client = await ConnectAsync())
        {
            await client.SendAsync(AgentLine.Of(new AgentRequest { Command = "ADD", ContainerId = "c1", IfName = "eth0" }));
            (await calls.Reader.ReadAsync()).Answer(Wired);
            await ReadAsync(client);
        }

        await stop.CancelAsync();
        await running;
        Assert.That(calls.Reader.TryRead(out _), Is.False);
    }

    [Test]
    public async Task A_wired_answer_for_a_client_that_has_left_is_followed_by_its_DEL()
    {
        var client = await ConnectAsync();
        await client.SendAsync(AgentLine.Of(new AgentRequest { Command = "ADD", ContainerId = "c1", IfName = "eth0" }));
        var call = await calls.Reader.ReadAsync();
        client.Dispose();
        call.Answer(Wired);
        Assert.That((await calls.Reader.ReadAsync()).Request, Is.EqualTo(call.Request with { Command = "DEL", Began = 0 }).Using<AgentRequest>((left, right) => left with { Began = 0 } == right with { Began = 0 }));
    }

    [Test]
    public async Task An_answer_that_is_larger_than_the_sockets_buffer_arrives_as_it_is_taken()
    {
        var answer = Encoding.UTF8.GetBytes(new string('x', 3_000_000) + "\n");
        var path = Path.Combine(folder, "other.sock");
        using var other = CniServer.Listen(path, calls.Writer, (_, _) => Task.FromResult(answer));
        var serving = other.RunAsync(stop.Token);
        using var client = await ConnectAsync(path);
        await client.SendAsync("{\"command\":\"NODE-STATUS\"}\n"u8.ToArray());
        var taken = new byte[answer.Length];
        for (var length = 0; length < taken.Length;)
            length += await client.ReceiveAsync(taken.AsMemory(length));
        Assert.That(taken, Is.EqualTo(answer));
        await stop.CancelAsync();
        await serving;
    }

    [Test]
    public void The_socket_is_for_its_owner_only()
    {
        Assert.That(File.GetUnixFileMode(socketPath), Is.EqualTo(UnixFileMode.UserRead | UnixFileMode.UserWrite));
        Assert.That(Convert.ToString((int)File.GetUnixFileMode(Path.GetDirectoryName(socketPath)!), 8), Is.EqualTo("755"));
    }

    [Test]
    public void A_second_agent_is_refused()
    {
        Assert.That(() => CniServer.Listen(socketPath, calls.Writer), Throws.InstanceOf<IOException>().With.Message.Contains("Another agent already listens on"));
        Assert.That(File.Exists(socketPath), Is.True);
    }

    [Test]
    public void The_socket_of_a_dead_agent_is_replaced()
    {
        var path = Path.Combine(folder, "dead.sock");
        // .NET unlinks the file of a socket that it disposes, a killed process does not: moving the file away in between keeps it.
        using (var dead = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            dead.Bind(new UnixDomainSocketEndPoint(path + "x"));
            File.Move(path + "x", path);
        }

        Assert.That(File.Exists(path), Is.True);
        using var successor = CniServer.Listen(path, calls.Writer);
        Assert.That(File.Exists(path), Is.True);
    }

    [Test]
    public void A_file_that_is_no_socket_is_left_alone()
    {
        var path = Path.Combine(folder, "notes.txt");
        File.WriteAllText(path, "mine");
        Assert.That(() => CniServer.Listen(path, calls.Writer), Throws.InstanceOf<IOException>().With.Message.Contains("is no socket of an agent"));
        Assert.That(File.ReadAllText(path), Is.EqualTo("mine"));
    }

    [Test]
    public void A_path_too_long_for_a_socket_is_refused_by_name()
    {
        var path = Path.Combine(folder, new string('x', 108));
        Assert.That(() => CniServer.Listen(path, calls.Writer), Throws.InstanceOf<IOException>().With.Message.Contains("longer than the 107 bytes"));
    }

    private static AgentResponse Wired => new() { Wired = new() { HostInterface = "ovl1", HostMac = "02:00:00:00:00:01", PodMac = "02:00:00:00:00:02", Mtu = 1450, Gateways = ["169.254.1.1"] } };

    private async Task<Socket> ConnectAsync(string? path = null)
    {
        var client = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await client.ConnectAsync(new UnixDomainSocketEndPoint(path ?? socketPath));
        return client;
    }

    private static async Task<AgentResponse> ReadAsync(Socket client)
    {
        var line = new List<byte>();
        var buffer = new byte[1024];
        while (line.Count == 0 || line[^1] != '\n')
        {
            var read = await client.ReceiveAsync(buffer);
            Assert.That(read, Is.Positive, "the server hung up");
            line.AddRange(buffer[..read]);
        }

        return AgentLine.ReadResponse(line.ToArray());
    }
}
