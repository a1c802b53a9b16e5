using System.Collections.Concurrent;
using System.Threading.Channels;
using Overlay.CniShim.Protocol;
using Overlay.Dataplane.Cni;

namespace Overlay.Tests.CniShim;

/// <summary>A folder of the test's own, and in it the agent's real server with a loop that the test scripts.</summary>
internal sealed class AgentFixture : IAsyncDisposable
{
    private readonly Channel<CniCall> calls = Channel.CreateUnbounded<CniCall>();
    private readonly CancellationTokenSource stop = new();
    private CniServer? server;
    private Task running = Task.CompletedTask;

    public string Folder { get; } = Directory.CreateTempSubdirectory("overlay-cni-").FullName;

    public string SocketPath => Path.Combine(Folder, "agent.sock");

    /// <summary>Where the addresses of network n are.</summary>
    public string Addresses => Path.Combine(Folder, "networks", "n");

    /// <summary>Everything that was asked.</summary>
    public ConcurrentQueue<AgentRequest> Asked { get; } = new();

    /// <summary>A configuration as the conflist has it.</summary>
    public string Configuration(string version = "1.1.0", string more = "", string ranges = """[[{"subnet":"10.42.1.0/24"}],[{"subnet":"fd00:42:1::/64"}]]""") =>
        $$"""{"cniVersion":"{{version}}","name":"n","type":"overlay-cni","socket":"{{SocketPath}}","ipam":{"dataDir":"{{Folder}}/networks","ranges":{{ranges}}}{{more}}}""";

    /// <summary>Files of addresses that are given away.</summary>
    public string[] Reserved => Directory.Exists(Addresses)
        ? [.. Directory.GetFiles(Addresses).Select(file => Path.GetFileName(file)!).Where(name => name != "lock" && !name.StartsWith("last_reserved_ip", StringComparison.Ordinal)).Order(StringComparer.Ordinal)]
        : [];

    /// <summary>Claims of attachments, with addresses or without.</summary>
    public string[] Claims => Directory.Exists(Path.Combine(Addresses, ".claims")) ? [.. Directory.GetFiles(Path.Combine(Addresses, ".claims")).Select(file => Path.GetFileName(file)!).Order(StringComparer.Ordinal)] : [];

    /// <summary>Starts to listen and answers each call with <paramref name="answer"/>; null: never answers.</summary>
    public void Start(Func<AgentRequest, AgentResponse?> answer)
    {
        server = CniServer.Listen(SocketPath, calls.Writer);
        running = Task.WhenAll(server.RunAsync(stop.Token), LoopAsync(answer));
    }

    /// <summary>Starts an agent that wires everything.</summary>
    public void Start() => Start(Wire);

    public static AgentResponse Wire(AgentRequest request) => request.Command == "ADD"
        ? new() { Wired = new() { HostInterface = "ovlabc", HostMac = "02:6f:76:6c:00:01", PodMac = "0a:58:0a:2a:01:02", Mtu = 1450, Gateways = ["169.254.1.1", "fe80::1"] } }
        : AgentResponse.Done;

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await running;
        server?.Dispose();
        stop.Dispose();
        Directory.Delete(Folder, recursive: true);
    }

    private async Task LoopAsync(Func<AgentRequest, AgentResponse?> answer)
    {
        try
        {
            await foreach (var call in calls.Reader.ReadAllAsync(stop.Token))
            {
                Asked.Enqueue(call.Request);
                if (answer(call.Request) is { } response)
                    call.Answer(response);
            }
        }
        catch (OperationCanceledException)
        {
        }
    }
}
