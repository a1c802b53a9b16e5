using System.Diagnostics;
using System.Text;
using System.Threading.Channels;
using Overlay.Dataplane.Datastore;
using Overlay.Dataplane.Datastore.Kubernetes;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Store;
using Overlay.Tests.Fakes;

namespace Overlay.Tests.Dataplane.Kubernetes;

/// <summary>A fake API server, the datastore that watches it, and the store that follows from both.</summary>
internal sealed class WatchedCluster : IAsyncDisposable
{
    /// <summary>Less patient than in a cluster.</summary>
    public static readonly ListWatchTiming Impatient = new()
    {
        PageSize = 3,
        Answer = TimeSpan.FromSeconds(1),
        Silence = TimeSpan.FromSeconds(1),
        WatchAtLeast = TimeSpan.FromMinutes(5),
        Bearable = TimeSpan.FromSeconds(1),
        AbsentEvery = TimeSpan.FromMilliseconds(50),
        RetryFirst = TimeSpan.FromMilliseconds(5),
        RetryLast = TimeSpan.FromMilliseconds(100),
        Renew = TimeSpan.FromMilliseconds(50),
    };

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("overlay-watch-");
    private readonly CancellationTokenSource _stop = new();
    private readonly Channel<ClusterChange> _changes = Channel.CreateBounded<ClusterChange>(64);
    private readonly ClusterStore _store = new(isolateUnknown: true);
    private readonly List<ClusterChange> _told = [];
    private Task _running = Task.CompletedTask;

    private WatchedCluster(FakeApiServer server) => Server = server;

    public FakeApiServer Server { get; }

    public KubernetesSource? Source { get; private set; }

    /// <summary>Everything that was told, in order.</summary>
    public IReadOnlyList<ClusterChange> Told
    {
        get
        {
            lock (_store)
                return [.. _told];
        }
    }

    /// <summary>Where the token is that the datastore shows.</summary>
    public string TokenFile => Path.Combine(Folder, "token");

    /// <summary>Where the kubeconfig is, and what it names.</summary>
    public string Folder => _folder.FullName;

    /// <summary>A server with a small cluster; nothing watches it yet.</summary>
    public static async Task<WatchedCluster> CreateAsync()
    {
        var cluster = new WatchedCluster(await FakeApiServer.StartAsync());
        cluster.Server.PutYaml(File.ReadAllText(Path.Combine(SourceTree.Root, "Tests", "Scenarios", "default-deny", "cluster.yaml")));
        return cluster;
    }

    /// <summary>The same, watched, and in step.</summary>
    public static async Task<WatchedCluster> WatchAsync(ListWatchTiming? timing = null)
    {
        var cluster = await CreateAsync();
        cluster.Watch(timing);
        await cluster.AwaitTruthAsync();
        await cluster.AwaitWatchesAsync();
        return cluster;
    }

    /// <summary>Begins to watch.</summary>
    /// <param name="timing">How patient to be; null: <see cref="Impatient"/>.</param>
    /// <param name="kubeconfig">Where the server is and who we are; null: the server's own.</param>
    public void Watch(ListWatchTiming? timing = null, string? kubeconfig = null)
    {
        Source = new(new OverlayConfiguration { NodeName = "worker-1", Kubeconfig = kubeconfig ?? Server.WriteKubeconfig(Folder) }, _changes.Writer, timing ?? Impatient);
        _running = ClusterSource.RunTogetherAsync([Source.RunAsync, PumpAsync], _stop.Token);
    }

    /// <summary>Looks into the store.</summary>
    public T Look<T>(Func<ClusterStore, T> look)
    {
        lock (_store)
            return look(_store);
    }

    /// <summary>Waits until the store has exactly what the server has.</summary>
    public Task AwaitTruthAsync() => UntilAsync(() => Look(store => store.IsSynced && Content(store) == Truth()), () => $"the store has\n{Look(Content)}\nand the server\n{Truth()}");

    /// <summary>Waits until the server has a watch of each kind running: before that none can be dropped.</summary>
    public Task AwaitWatchesAsync() => UntilAsync(() => Server.Watches == Resource.All.Count, () => $"{Server.Watches} watches are running");

    /// <summary>Waits until something holds, looking again and again for at most 30 s.</summary>
    public async Task UntilAsync(Func<bool> holds, Func<string> explain)
    {
        var clock = Stopwatch.StartNew();
        while (!holds())
        {
            if (_running.IsCompleted)
                await _running;
            if (clock.Elapsed > TimeSpan.FromSeconds(30))
                Assert.Fail($"Not within 30 s: {explain()}\nRequests:\n{string.Join('\n', Server.Requests.TakeLast(50))}");
            await Task.Delay(5);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        Source?.Dispose();
        await Server.DisposeAsync();
        _folder.Delete(recursive: true);
        _stop.Dispose();
    }

    private async Task PumpAsync(CancellationToken stop)
    {
        await foreach (var change in _changes.Reader.ReadAllAsync(stop))
        {
            lock (_store)
            {
                _told.Add(change);
                _store.Apply(change);
            }
        }
    }

    private string Truth()
    {
        var store = new ClusterStore();
        foreach (var resource in Resource.All)
        {
            foreach (var item in Server.Has(resource.Plural) ? Server.Objects(resource.Plural) : [])
            {
                var read = ApiObject.Read(resource, Encoding.UTF8.GetBytes(item.ToJsonString()), new());
                if (read.Set is { } change)
                    store.Apply(change);
                if (read.Rejections.Count > 0)
                    store.Apply(new ClusterChange.Rejected(read.Path, read.Rejections));
            }
        }

        return Content(store);
    }

    private static string Content(ClusterStore store) => string.Join('\n', (string[])
    [
        .. store.Nodes.Select(node => $"{node.Name} {node.Labels} {string.Join(' ', node.PodCidrs)} {string.Join(' ', node.InternalIPs)} {node.NetworkUnavailable}").Order(StringComparer.Ordinal),
        .. store.Namespaces.Select(item => $"{item.Name} {item.Labels}").Order(StringComparer.Ordinal),
        .. store.Pods.Select(pod => $"{pod.Name} {pod.Labels} {string.Join(' ', pod.Addresses)} {string.Join(' ', pod.Ports)} {pod.NodeName} {pod.IsRejected}").Order(StringComparer.Ordinal),
        .. store.Policies.Select(policy => policy.ToString()).Order(StringComparer.Ordinal),
        .. store.Rejections.Select(rejection => rejection.ToString()),
    ]);
}
