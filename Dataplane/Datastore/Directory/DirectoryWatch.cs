using System.Threading.Channels;
using Overlay.Dataplane.Store;

namespace Overlay.Dataplane.Datastore.Directory;

/// <summary>The directory datastore: a folder of manifests as a source of <see cref="ClusterChange"/>.</summary>
public sealed class DirectoryWatch
{
    // An editor's save is several events; what is read in the middle of one would be half a file, or none.
    private static readonly TimeSpan Quiet = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan LongestWait = TimeSpan.FromMilliseconds(500);

    // Where no event comes from (a folder that was away, a file system without inotify), looking again is all there is.
    private static readonly TimeSpan Absent = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Rescan = TimeSpan.FromMinutes(10);

    private readonly string _root;
    private readonly ChannelWriter<ClusterChange> _changes;
    private readonly DirectoryScan _scan;
    private readonly Dictionary<string, FileSystemWatcher> _watchers = new(StringComparer.Ordinal);

    // Paths that something happened to; null stands for everything.
    private readonly Channel<string?> _events = Channel.CreateUnbounded<string?>(new UnboundedChannelOptions { SingleReader = true });

    // When the watched folder was made; null while there is none.
    private DateTime? _watched;

    /// <summary>Prepares; nothing is read yet.</summary>
    /// <param name="path">The folder.</param>
    /// <param name="changes">Where the changes go: everything that is there, then <see cref="ClusterChange.Synced"/>, then what changes.</param>
    /// <param name="nodeName">As <see cref="DirectoryScan"/> has it.</param>
    public DirectoryWatch(string path, ChannelWriter<ClusterChange> changes, string nodeName = "")
    {
        _root = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));
        _changes = changes;
        _scan = new(_root, nodeName);
    }

    /// <summary>Runs until cancelled.</summary>
    /// <exception cref="DirectoryNotFoundException">There is no such folder at start.</exception>
    /// <exception cref="IOException">The kernel refuses to watch it (fs.inotify.max_user_instances).</exception>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        if (!System.IO.Directory.Exists(_root))
            throw new DirectoryNotFoundException($"The datastore's folder {_root} does not exist; create it, or set datastore to another.");
        try
        {
            var isThere = LookAtAll();
            await DeliverAsync(cancellationToken);
            await _changes.WriteAsync(new ClusterChange.Synced(), cancellationToken);
            while (true)
            {
                var touched = await WaitAsync(isThere ? Rescan : Absent, cancellationToken);
                if (!isThere || Born() != _watched || touched.Contains(null) || !touched.All(path => _scan.LookAt(path!)))
                    isThere = LookAtAll();
                await DeliverAsync(cancellationToken);
            }
        }
        finally
        {
            Unwatch(_watchers.Keys);
        }
    }

    // Watches first and looks then, so that nothing falls between the two; new links are looked into again once they are watched.
    private bool LookAtAll()
    {
        // A folder made anew under the old name is another one to the kernel, and its watch is dead.
        var born = Born();
        if (born != _watched)
            Unwatch(_watchers.Keys);
        _watched = born;
        if (born is not null)
            Watch(_root, isRoot: true);
        if (born is not null && Path.GetDirectoryName(_root) is { } parent)
            WatchName(parent, Path.GetFileName(_root));
        while (true)
        {
            if (!_scan.LookAtAll())
                return false;
            var linked = _scan.LinkedFolders.Where(folder => !_watchers.ContainsKey(folder)).ToList();
            foreach (var folder in linked)
                Watch(folder, isRoot: false);
            Unwatch(_watchers.Keys.Where(folder => folder != _root && folder != Path.GetDirectoryName(_root) && !_scan.LinkedFolders.Contains(folder)));
            if (linked.Count == 0)
                return true;
        }
    }

    private DateTime? Born() => System.IO.Directory.Exists(_root) ? System.IO.Directory.GetCreationTimeUtc(_root) : null;

    private void Watch(string folder, bool isRoot)
    {
        if (_watchers.ContainsKey(folder))
            return;
        var watcher = new FileSystemWatcher(folder)
        {
            IncludeSubdirectories = true,
            InternalBufferSize = 65536,
            NotifyFilter = NotifyFilters.FileName | NotifyFilters.DirectoryName | NotifyFilters.LastWrite | NotifyFilters.Attributes,
        };
        watcher.Changed += (_, change) => Touch(change.FullPath);

        // Within a link's target, paths are not those by which the files are known.
        Start(folder, watcher, Touch);
        void Touch(string path)
        {
            if (!_scan.IsOwnStatus(path))
                _events.Writer.TryWrite(isRoot ? path : null);
        }
    }

    // Only from its parent is it seen that the folder itself was exchanged.
    private void WatchName(string parent, string name)
    {
        if (!_watchers.ContainsKey(parent))
            Start(parent, new FileSystemWatcher(parent, name) { NotifyFilter = NotifyFilters.DirectoryName }, _ => _events.Writer.TryWrite(null));
    }

    private void Start(string folder, FileSystemWatcher watcher, Action<string> touch)
    {
        watcher.Created += (_, change) => touch(change.FullPath);
        watcher.Deleted += (_, change) => touch(change.FullPath);
        watcher.Renamed += (_, change) =>
        {
            touch(change.OldFullPath);
            touch(change.FullPath);
        };
        watcher.Error += (_, _) => _events.Writer.TryWrite(null);
        watcher.EnableRaisingEvents = true;
        _watchers.Add(folder, watcher);
    }

    private void Unwatch(IEnumerable<string> folders)
    {
        foreach (var folder in folders.ToList())
        {
            _watchers.Remove(folder, out var watcher);
            watcher!.Dispose();
        }
    }

    // The paths of the next burst of events, or null for everything when none came in time.
    private async Task<HashSet<string?>> WaitAsync(TimeSpan longest, CancellationToken cancellationToken)
    {
        var touched = new HashSet<string?>(StringComparer.Ordinal);
        if (!await HasEventAsync(longest, cancellationToken))
            return [null];
        var end = DateTime.UtcNow + LongestWait;
        do
        {
            while (_events.Reader.TryRead(out var path))
                touched.Add(path);
        }
        while (DateTime.UtcNow < end && await HasEventAsync(Quiet, cancellationToken));
        return touched;
    }

    private async Task<bool> HasEventAsync(TimeSpan longest, CancellationToken cancellationToken)
    {
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        timeout.CancelAfter(longest);
        try
        {
            return await _events.Reader.WaitToReadAsync(timeout.Token);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return false;
        }
    }

    private async Task DeliverAsync(CancellationToken cancellationToken)
    {
        foreach (var change in _scan.TakeChanges())
            await _changes.WriteAsync(change, cancellationToken);
    }
}
