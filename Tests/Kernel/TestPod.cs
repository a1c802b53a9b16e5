using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Overlay.CniShim.Protocol;

namespace Overlay.Tests.Kernel;

/// <summary>A pod: a network namespace that the plugin wired, and the servers in it.</summary>
internal sealed class TestPod : IDisposable
{
    private static int _count;
    private readonly List<IDisposable> _servers = [];

    public TestPod(TestNode node, string name)
    {
        Node = node;
        Name = name;
        ContainerId = $"container-{Interlocked.Increment(ref _count)}";
        Net = NetnsFixture.Create();
    }

    /// <summary>Where it runs.</summary>
    public TestNode Node { get; }

    /// <summary><c>namespace/name</c>.</summary>
    public string Name { get; }

    public string ContainerId { get; }

    /// <summary>metadata.uid, as the runtime tells it; empty when it tells none.</summary>
    public string Uid { get; init; } = "";

    public NetnsFixture Net { get; }

    /// <summary>What ADD answered.</summary>
    public JsonElement Result { get; private set; }

    public IPAddress IPv4 => Address(AddressFamily.InterNetwork);

    public IPAddress IPv6 => Address(AddressFamily.InterNetworkV6);

    /// <summary>The host's end of the pair.</summary>
    public string HostInterface => Result.GetProperty("interfaces")[0].GetProperty("name").GetString()!;

    public CommandOutput TryAdd(string[] addresses, params IReadOnlyList<PortMapping> hostPorts) => Node.Plugin("ADD", ContainerId, Net.Path, Name, Node.Configuration(addresses, hostPorts), Uid);

    public void Add(string[] addresses, params IReadOnlyList<PortMapping> hostPorts)
    {
        var answer = TryAdd(addresses, hostPorts);
        Assert.That(answer.ExitCode, Is.Zero, $"ADD {Name}: {answer.Output}{answer.Error}\n{Node.Log}");
        Result = JsonDocument.Parse(answer.Output).RootElement;
    }

    /// <summary>ADD with a configuration of the caller's.</summary>
    public CommandOutput AddAs(string configuration)
    {
        var answer = Node.Plugin("ADD", ContainerId, Net.Path, Name, configuration, Uid);
        if (answer.ExitCode == 0)
            Result = JsonDocument.Parse(answer.Output).RootElement;
        return answer;
    }

    public CommandOutput Remove() => Node.Plugin("DEL", ContainerId, Net.Path, Name, Node.Configuration([]), Uid);

    /// <summary>CHECK.</summary>
    /// <param name="prevResult">What the runtime has of all plugins that it called; null: what ours answered.</param>
    public CommandOutput Check(string? prevResult = null) =>
        Node.Plugin("CHECK", ContainerId, Net.Path, Name, Insert(Node.Configuration([]), prevResult is null ? Result : JsonDocument.Parse(prevResult).RootElement), Uid);

    /// <summary>Listens on a TCP port of every address and accepts for ever.</summary>
    public void Serve(int port)
    {
        var server = Net.Netns.Run(() =>
        {
            var socket = new Socket(AddressFamily.InterNetworkV6, SocketType.Stream, ProtocolType.Tcp) { DualMode = true };
            socket.Bind(new IPEndPoint(IPAddress.IPv6Any, port));
            socket.Listen(16);
            return socket;
        });
        _servers.Add(server);
        _ = Task.Run(() => AcceptAsync(server));
    }

    /// <summary>Whether a TCP connection to an address comes about within a second; a refusal by the other end counts as not.</summary>
    public bool Connects(IPAddress address, int port)
    {
        using var probe = Probe.Open(new(Address(address.AddressFamily), address, "TCP", port), Net.Netns);
        probe.Send();
        return probe.IsAnsweredWithin(TimeSpan.FromSeconds(1));
    }

    public void Dispose()
    {
        foreach (var server in _servers)
            server.Dispose();
        Net.Dispose();
    }

    private static async Task AcceptAsync(Socket server)
    {
        try
        {
            while (true)
                (await server.AcceptAsync()).Dispose();
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The test is over.
        }
    }

    private static string Insert(string configuration, JsonElement prevResult)
    {
        var values = JsonDocument.Parse(configuration).RootElement.EnumerateObject().ToDictionary(property => property.Name, property => property.Value);
        values["prevResult"] = prevResult;
        return JsonSerializer.Serialize(values);
    }

    /// <summary>Its address of a family.</summary>
    public IPAddress Address(AddressFamily family) => Result.GetProperty("ips").EnumerateArray()
        .Select(ip => IPAddress.Parse(ip.GetProperty("address").GetString()!.Split('/')[0]))
        .First(address => address.AddressFamily == family);
}
