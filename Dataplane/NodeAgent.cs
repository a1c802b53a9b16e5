using System.Diagnostics;
using System.Threading.Channels;
using Microsoft.Extensions.Hosting;
using Overlay.CniShim.Protocol;
using Overlay.Dataplane.Cni;
using Overlay.Dataplane.Datastore;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Http;
using Overlay.Dataplane.Installation;
using Overlay.Dataplane.Kernel;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Operator;
using Overlay.Dataplane.Probing;
using Overlay.Dataplane.Store;
using Serilog;
using Attachment = Overlay.Dataplane.Desired.Attachment;

namespace Overlay.Dataplane;

/// <summary>
/// The one loop. It alone owns store, projections and tables; the datastore and the plugin's listener only write to its channels.
/// A round takes what has come, answers the plugin, commits once, and waits; what the kernel refused is tried again after a back-off.
/// </summary>
/// <param name="configuration">Of the node, at start.</param>
/// <param name="changes">Tells when it has become another.</param>
/// <param name="log">Where events go.</param>
internal sealed class NodeAgent(OverlayConfiguration configuration, ConfigurationWatch changes, ILogger log) : BackgroundService
{
    // A storm of changes is taken in slices, so that a waiting ADD never stands behind all of it.
    private const int ChangesPerRound = 4096;
    private static readonly TimeSpan ToFindPod = TimeSpan.FromSeconds(3);

    // A probe waits so long for the loop: long for a round, shorter than the endpoint's own deadline.
    private static readonly TimeSpan LoopPatience = TimeSpan.FromSeconds(3);

    private readonly Channel<ClusterChange> _changes = Channel.CreateBounded<ClusterChange>(new BoundedChannelOptions(2 * ChangesPerRound) { SingleReader = true });
    private readonly Channel<CniCall> _calls = Channel.CreateBounded<CniCall>(new BoundedChannelOptions(1024) { SingleReader = true });
    private readonly Channel<SnapshotCall> _snapshots = Channel.CreateBounded<SnapshotCall>(new BoundedChannelOptions(64) { SingleReader = true });
    private readonly DateTime _started = DateTime.UtcNow;
    private readonly Backoff _backoff = new(TimeSpan.FromMilliseconds(250), TimeSpan.FromSeconds(30));
    private readonly Stopwatch _keptUp = Stopwatch.StartNew();
    private readonly Heartbeat _heartbeat = new(configuration.Socket);
    private readonly ServiceNotification _service = ServiceNotification.OfEnvironment();
    private bool _serving;
    private bool _tookOver;
    private volatile NodeStatus _status = new() { NodeName = configuration.NodeName, Unready = ["The agent is starting."] };
    private DateTime? _lastResync;
    private DateTime? _lastCommit;
    private string? _unreadable;
    private TimeSpan _resyncInterval = configuration.ResyncInterval;
    private int _podMtu;

    /// <summary>Why the agent ended, or null when it was asked to.</summary>
    public Exception? Failure { get; private set; }

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await Task.Yield();
        using var stopping = stoppingToken.Register(_service.Stop);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(stoppingToken);
        try
        {
            using var alone = new StateDirLock(configuration.StateDir);
            using var server = CniServer.Listen(configuration.Socket, _calls.Writer, new OperatorDesk(_snapshots.Writer).AnswerAsync);
            using var kernel = NodeKernel.Open();
            using var devices = new DeviceWatch();
            using var revocation = new FlowRevocation(configuration.PolicyRevokeEstablished, kernel.Offload, log);
            foreach (var setting in Forwarding.Enable().Changed)
                Log.SysctlChanged(log, setting);
            var reaper = new Reaper(configuration, log);
            using var prober = new Prober(log);
            var pages = new NodePages(_snapshots.Writer, () => _status with { Flows = revocation.Looks, Reaped = reaper.Freed, Ways = prober.Findings.CountBy(finding => finding.Reachability).ToDictionary() }, LoopPatience);
            var shared = configuration.MetricsAddress == configuration.HealthAddress;
            using var metrics = HttpEndpoint.Listen("metrics.address", configuration.MetricsAddress, shared ? pages.All : pages.Metrics);
            using var health = HttpEndpoint.Listen("health.address", shared ? "" : configuration.HealthAddress, pages.Health);
            using var source = ClusterSource.Open(configuration, _changes.Writer);
            Task[] sources = [source.RunAsync(stop.Token), server.RunAsync(stop.Token), devices.RunAsync(stop.Token), revocation.RunAsync(stop.Token), kernel.Retired.RunAsync(log, stop.Token), reaper.RunAsync(stop.Token), prober.RunAsync(stop.Token), changes.RunAsync(stop.Token), .. new[] { metrics, health }.OfType<HttpEndpoint>().Select(endpoint => endpoint.RunAsync(stop.Token))];
            try
            {
                await RunAsync(kernel, source, devices, revocation, reaper, prober, sources, stop.Token);
            }
            finally
            {
                await stop.CancelAsync();
                await Task.WhenAll(sources).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            Log.Stopped(log);
        }
        catch (Exception e)
        {
            // The host logs it and stops; the exit status is ours to give.
            Failure = e;
            throw;
        }
    }

    private async Task RunAsync(NodeKernel kernel, ClusterSource source, DeviceWatch devices, FlowRevocation revocation, Reaper reaper, Prober prober, Task[] sources, CancellationToken stop)
    {
        var folder = new AttachmentFolder(configuration.StateDir);
        var dataplane = new NodeDataplane(configuration, kernel, log);
        var wiring = new PodWiring(kernel);
        var verbs = new CniVerbs(dataplane, wiring, new(kernel), folder, new(PendingDelete.FolderOf(configuration.Socket)), source.Statuses, log);
        var early = new EarlyCalls(_calls.Reader);
        Log.Started(log, Cli.Version.Text, configuration.NodeName, source.Name);
        var gone = Recall(folder, dataplane, kernel, reaper);
        source.Statuses?.PublishAll(dataplane.Store.Attachments);

        var waits = WaitsFor(devices.Losses, revocation, prober, sources, stop);
        var due = DateTime.UtcNow;
        while (true)
        {
            dataplane.Observe(revocation.Remains);
            var changed = TakeChanges(dataplane) | TakeFindings(dataplane, prober);
            if (!dataplane.Store.IsSynced)
                early.Wait(Awaited(dataplane, source));
            if (Hear(dataplane, devices))
                due = DateTime.UtcNow;
            var first = dataplane.Store.IsSynced && !_serving;
            var isDue = first || DateTime.UtcNow >= due;
            if (dataplane.Store.IsSynced && (changed || isDue))
            {
                var again = DateTime.UtcNow + Reconcile(dataplane, reaper, isDue);
                due = isDue || again < due ? again : due; // A commit puts no resync off: in a busy cluster none would ever come.
                devices.Follow(dataplane.Underlay);
                prober.Follow(dataplane.ProbeTargets);
                Resize(dataplane, wiring, isDue);
            }

            if (first)
            {
                gone.ForEach(attachment => verbs.Disconnect(attachment, isWired: false));
                verbs.Replay();
                BeginOffload(kernel.Offload);
                early.Take().ForEach(call => Answer(call, verbs, dataplane.Store, source, stop));
                waits.Add(reaper.Looks);
            }

            _serving |= first;
            if (_serving)
            {
                TakeCalls(verbs, dataplane.Store, source, stop);
                if (reaper.Looks.TryRead(out var look))
                    reaper.Judge(look, dataplane.Store.Attachments, kernel, verbs, wiring);
            }

            Report(dataplane, source, prober);
            if (_serving && dataplane.TakeStaleFlows() is { } request)
                revocation.Request(request);
            revocation.Judge(dataplane.Forbids);
            if (_serving)
                KeepUp(verbs, dataplane);
            _service.Turn(_serving && _status.Unready.Count == 0, () => _status.Line, Uptime, Heartbeat.Period);
            var beat = DateTime.UtcNow + _service.Period(Heartbeat.Period);
            await waits.AnyAsync(_serving && due < beat ? due : beat);
        }
    }

    // What cannot wait for the next resync; returns whether there was any.
    private bool Hear(NodeDataplane dataplane, DeviceWatch devices)
    {
        var isDue = changes.Changes.TryRead(out var next);
        if (isDue)
        {
            dataplane.Reconfigure(next!);
            _resyncInterval = next!.ResyncInterval;
            Log.ConfigurationChanged(log, next.Summary);
        }

        if (!devices.Losses.TryRead(out _))
            return isDue;
        if (!dataplane.Store.IsSynced)
            dataplane.KeepForwarding(); // Of what a resync does, this alone needs nothing of the datastore.
        return true;
    }

    // Pods that are there follow the MTU, too: at each change of it, and after each look at all devices.
    private void Resize(NodeDataplane dataplane, PodWiring wiring, bool looked)
    {
        if (!looked && dataplane.Mtu == _podMtu)
            return;
        _podMtu = dataplane.Mtu;
        foreach (var attachment in dataplane.Store.Attachments)
        {
            try
            {
                wiring.Resize(attachment, _podMtu);
            }
            catch (Exception e) when (e is NetnsException or NetlinkException)
            {
                Log.PodMtuKept(log, attachment.Pod.ToString(), e.Message);
            }
        }
    }

    private LoopWaits WaitsFor(ChannelReader<bool> losses, FlowRevocation revocation, Prober prober, Task[] sources, CancellationToken stop)
    {
        var waits = new LoopWaits(stop);
        waits.Add(sources);
        waits.Add(_changes.Reader);
        waits.Add(_calls.Reader);
        waits.Add(_snapshots.Reader);
        waits.Add(losses);
        waits.Add(changes.Changes);
        waits.Add(revocation.Judgements);
        waits.Add(prober.News);
        return waits;
    }

    private static string Awaited(NodeDataplane dataplane, ClusterSource source) =>
        string.Join("; ", [$"waits for {source.Name} to deliver everything", .. dataplane.Degradations.Select(degradation => degradation.ToString())]);

    // How this node is: for probes and metrics, for the Node's condition, and for operators who ask.
    private void Report(NodeDataplane dataplane, ClusterSource source, Prober prober)
    {
        var status = dataplane.Status();
        _status = status with { IsServing = _serving, Unready = _unreadable is null ? status.Unready : [.. status.Unready, _unreadable] };
        if (_serving && dataplane.Node is { } node)
            source.Observe(node, dataplane.Announced ?? node.ChosenAddresses, string.Join(' ', _status.Unready));
        while (_snapshots.Reader.TryRead(out var call))
            call.Answer(dataplane.Snapshot(_started, _lastResync, _lastCommit, prober.Findings));
    }

    private void BeginOffload(FlowOffload offload)
    {
        offload.Begin(configuration.FlowOffload);
        if (offload.Obstacle.Length > 0)
            Log.OffloadAbsent(log, offload.Obstacle);
    }

    private static TimeSpan Uptime => TimeSpan.FromMilliseconds(Environment.TickCount64);

    // What no event asks for: the loop comes by every Heartbeat.Period at least.
    private void KeepUp(CniVerbs verbs, NodeDataplane dataplane)
    {
        if (_keptUp.Elapsed >= Heartbeat.Period)
        {
            verbs.Replay();
            dataplane.Offload();
            _keptUp.Restart();
        }

        try
        {
            _heartbeat.Beat(_status.Unready, Uptime);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Log.HeartbeatFailed(log, e.Message);
        }
    }

    // Brings the kernel up to date; returns how long until it is to be looked at again.
    private TimeSpan Reconcile(NodeDataplane dataplane, Reaper reaper, bool resync)
    {
        TimeSpan next;
        try
        {
            var complete = resync ? dataplane.Resync() : dataplane.Commit();
            _unreadable = null;
            _lastResync = resync ? DateTime.UtcNow : _lastResync;
            if (complete)
                _lastCommit = DateTime.UtcNow;
            // A row that the kernel refuses is tried again, and keeps no pod from being wired.
            next = complete ? _resyncInterval : _backoff.Next();
            if (!complete && !dataplane.IsUsable)
                return next;
            if (complete)
                _backoff.Reset();
        }
        catch (Exception e) when (e is NetlinkException or NftablesException)
        {
            // The kernel could not be read, or gave no answer; what it has stays in force, and the next try begins with reading it.
            _unreadable = $"The kernel could not be read or brought up to date: {e.Message}";
            Log.KernelUnreadable(log, e.Message);
            return _backoff.Next();
        }

        if (dataplane.PodCidrs.Count > 0)
        {
            if (!_tookOver && !(_tookOver = reaper.TakeOver(dataplane.PodCidrs)))
                return _backoff.Next();
            var path = Path.Combine(configuration.CniConfDir, configuration.CniConfName);
            if (new Conflist(configuration.Socket, configuration.CniIpamDir, dataplane.PodCidrs).WriteTo(path) || !_serving)
                Log.Serving(log, path);
        }

        return next;
    }

    private bool TakeChanges(NodeDataplane dataplane)
    {
        var taken = 0;
        while (taken < ChangesPerRound && _changes.Reader.TryRead(out var change))
        {
            dataplane.Apply(change);
            taken++;
        }

        return taken > 0;
    }

    private static bool TakeFindings(NodeDataplane dataplane, Prober prober)
    {
        var isNews = prober.News.TryRead(out _);
        if (isNews)
            dataplane.Hear(prober.Findings, prober.Obstacle);
        return isNews;
    }

    private void TakeCalls(CniVerbs verbs, ClusterStore store, ClusterSource source, CancellationToken stop)
    {
        while (_calls.Reader.TryRead(out var call))
            Answer(call, verbs, store, source, stop);
    }

    private void Answer(CniCall call, CniVerbs verbs, ClusterStore store, ClusterSource source, CancellationToken stop)
    {
        var request = call.Request;
        if (source.CanFindPods && !call.IsPodSought && request is { Command: "ADD", PodName.Length: > 0 } && !store.Shows(new(request.PodNamespace, request.PodName), request.PodUid))
            _ = SeekPodAsync(call, source, stop);
        else
            call.Answer(verbs.Answer(request, call.ClientGone, call.Pod));
    }

    // The runtime may be faster than the watch. Other calls are not kept waiting; this one comes again with what was found, or with nothing.
    private async Task SeekPodAsync(CniCall call, ClusterSource source, CancellationToken stop)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(stop, call.ClientGone);
        deadline.CancelAfter(ToFindPod);
        call.Found(await source.FindPodAsync(new(call.Request.PodNamespace, call.Request.PodName), deadline.Token).ConfigureAwait(false));
        await _calls.Writer.WriteAsync(call, stop).ConfigureAwait(false);
    }

    // What an earlier life of this agent wired: as long as the interface is there, the pod is. Returns what is gone.
    private List<Attachment> Recall(AttachmentFolder folder, NodeDataplane dataplane, NodeKernel kernel, Reaper reaper)
    {
        kernel.Retired.Flush();
        kernel.Links.Resync();
        var gone = new List<Attachment>();
        var found = folder.ReadAll(out var unreadable);
        foreach (var reason in unreadable)
            Log.AttachmentUnreadable(log, reason);
        foreach (var attachment in found)
        {
            if (kernel.Links.Devices.ContainsKey(attachment.HostInterface))
            {
                dataplane.Attach(attachment);
                continue;
            }

            Log.AttachmentStale(log, attachment.Pod.ToString(), attachment.HostInterface);
            if (reaper.TryKeep(attachment))
                folder.Delete(attachment.Key);
            gone.Add(attachment);
        }

        reaper.Begin(kernel.Links.Devices.Keys, dataplane.Store.Attachments, isComplete: unreadable.Count == 0);
        return gone;
    }
}
