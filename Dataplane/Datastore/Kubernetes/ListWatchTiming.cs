namespace Overlay.Dataplane.Datastore.Kubernetes;

/// <summary>How patient we are with an API server, and it is to be with us. The defaults are for clusters; tests are less patient.</summary>
internal sealed record ListWatchTiming
{
    /// <summary>Objects a page.</summary>
    public int PageSize { get; init; } = 500;

    /// <summary>How long the head of an answer may take.</summary>
    public TimeSpan Answer { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a list may stand still, and a watch go on beyond the time that was agreed.</summary>
    public TimeSpan Silence { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Shortest time for which a watch is asked; the longest is twice that, so that not all nodes ask anew at once.</summary>
    public TimeSpan WatchAtLeast { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>A watch that ends earlier than this without a word has failed.</summary>
    public TimeSpan Shortest { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>A failure that is over by then is not told.</summary>
    public TimeSpan Bearable { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How often it is looked whether an API that is not there has come.</summary>
    public TimeSpan AbsentEvery { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>The wait after the first failure.</summary>
    public TimeSpan RetryFirst { get; init; } = TimeSpan.FromMilliseconds(250);

    /// <summary>The longest wait between two tries.</summary>
    public TimeSpan RetryLast { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long the cluster keeps an Event (kube-apiserver --event-ttl).</summary>
    public TimeSpan EventLasts { get; init; } = TimeSpan.FromHours(1);

    /// <summary>Least time between two Events, after the first few.</summary>
    public TimeSpan BetweenEvents { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Least time between two looks whether there are new credentials; each runs the kubeconfig's exec plugin, if it has one.</summary>
    public TimeSpan Renew { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long the next watch is to last.</summary>
    public TimeSpan Watch() => WatchAtLeast * (1 + Random.Shared.NextDouble());

    /// <summary>How long to wait for an API that is not there.</summary>
    public TimeSpan Absent() => AbsentEvery * (0.5 + Random.Shared.NextDouble());

    /// <summary>The waits between failures.</summary>
    public Backoff Retry() => new(RetryFirst, RetryLast, jitter: 0.5);
}
