using Overlay.Tests.Fakes;

namespace Overlay.Tests.Dataplane.Kubernetes;

/// <summary>Objects come, change and go while everything goes wrong in any order; in the end the store has what the server has.</summary>
public class ClusterChurnTests
{
    private static readonly string[] Kinds = ["nodes", "namespaces", "pods", "networkpolicies", "clusternetworkpolicies"];

    [Test]
    public async Task Whatever_happens_in_whatever_order_the_store_ends_as_the_server_is([Range(1, 12)] int seed)
    {
        var random = new Random(seed);
        await using var cluster = await WatchedCluster.CreateAsync();
        cluster.Server.ListsFromCache = random.Next(2) == 0;
        cluster.Watch(WatchedCluster.Impatient with { WatchAtLeast = TimeSpan.FromSeconds(1), Silence = TimeSpan.FromMilliseconds(200), Answer = TimeSpan.FromMilliseconds(500) });
        for (var step = 0; step < 60; step++)
        {
            await StepAsync(cluster.Server, random);
            if (random.Next(4) == 0)
                await Task.Yield();
        }

        cluster.Server.Release();
        await cluster.AwaitTruthAsync();
    }

    private static async Task StepAsync(FakeApiServer server, Random random)
    {
        var name = $"p{random.Next(12)}";
        switch (random.Next(14))
        {
            case < 4:
                server.Put(ClusterWatchTests.Pod(name, $"10.42.1.{random.Next(50, 200)}", $"worker-{random.Next(1, 3)}"));
                break;
            case 4 or 5:
                server.Delete("pods", "shop", name);
                break;
            case 6:
                server.Put(ClusterWatchTests.Policy(name, random.Next(3) == 0 ? """{"podSelector":{},"unknown":1}""" : $$"""{"podSelector":{"matchLabels":{"app":"{{name}}"} } }"""));
                break;
            case 7:
                server.Delete("networkpolicies", "shop", name);
                break;
            case 8:
                server.DropWatches(reset: random.Next(2) == 0);
                break;
            case 9:
                server.Compact();
                break;
            case 10:
                server.SendBookmarks();
                break;
            case 11:
                await server.StopListeningAsync();
                await server.ResumeListeningAsync();
                break;
            default:
                var kind = Kinds[random.Next(Kinds.Length)];
                server.Inject(request => request.Resource == kind && request.Method == "GET", Fault(random), times: random.Next(1, 3));
                break;
        }
    }

    private static FakeFault Fault(Random random) => random.Next(8) switch
    {
        0 => new FakeFault.Answer(429, RetryAfterSeconds: 1),
        1 => new FakeFault.Answer(500),
        2 => new FakeFault.Answer(410),
        3 => new FakeFault.Reset(random.Next(1500)),
        4 => new FakeFault.Truncate(random.Next(1500)),
        5 => new FakeFault.Silence(random.Next(1500)),
        6 => new FakeFault.Slow(random.Next(1, 40)),
        _ => new FakeFault.Twice(),
    };
}
