using System.Collections.Concurrent;
using System.Diagnostics;
using System.Threading.Channels;
using Overlay.CniShim.Protocol;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Kernel;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Route;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Model;
using Serilog;
using Attachment = Overlay.Dataplane.Desired.Attachment;

namespace Overlay.Dataplane.Cni;

/// <summary>
/// Frees what no runtime will ever DEL: after a crash, a reboot, a sandbox that was dropped. Files are read and removed beside the loop; what of them belongs
/// to a pod only the loop knows, which also removes attachments and interfaces (<see cref="NodeSight.Leftovers"/> judges).
/// </summary>
/// <param name="configuration">The node's folders.</param>
/// <param name="log">Where events go.</param>
internal sealed class Reaper(OverlayConfiguration configuration, ILogger log)
{
    internal const string OrphanFolder = "orphans";
    private static readonly TimeSpan LongestPeriod = TimeSpan.FromMinutes(2);

    private readonly AddressFolder _addresses = new(configuration.CniIpamDir, Conflist.Network);

    // Those of other networks that call our plugin, by path, as soon as one of their pods was seen: while none is, nobody misses an address there.
    private readonly ConcurrentDictionary<string, AddressFolder> _others = new();
    private readonly AttachmentFolder _orphans = new(configuration.StateDir, OrphanFolder);
    private readonly Dictionary<AttachmentKey, int> _failures = [];
    private readonly Channel<FolderLook> _looks = Channel.CreateBounded<FolderLook>(1);
    private readonly ConcurrentDictionary<string, long> _freed = new();
    private HashSet<string> _strangers = [];

    /// <summary>For the loop: each is to be answered.</summary>
    public ChannelReader<FolderLook> Looks => _looks.Reader;

    /// <summary>How many things were freed, by kind; for any thread.</summary>
    public IReadOnlyDictionary<string, long> Freed => _freed;

    /// <summary>Notes what is in the kernel at start without being ours for sure. In the loop, once, when the attachments are recalled.</summary>
    /// <param name="interfaces">Names of all devices.</param>
    /// <param name="attachments">What is wired.</param>
    /// <param name="isComplete">Whether every attachment that there is could be read.</param>
    /// <exception cref="IOException"><c>stateDir</c> cannot be written.</exception>
    public void Begin(IEnumerable<string> interfaces, IReadOnlyCollection<Attachment> attachments, bool isComplete)
    {
        if (BootRecord.Renew(configuration.StateDir) && isComplete)
            return;
        _strangers = [.. interfaces.Where(IsPodInterface).Except(attachments.Select(attachment => attachment.HostInterface))];
        foreach (var stranger in _strangers)
            Log.InterfaceUnknown(log, stranger, configuration.StateDir);
    }

    /// <summary>Keeps of an attachment that is about to be forgotten what giving its addresses back needs. In the loop.</summary>
    /// <returns>Whether it may be forgotten now; otherwise the log says what hinders.</returns>
    public bool TryKeep(Attachment attachment)
    {
        Learn(attachment);
        try
        {
            if (attachment.Delegation is not null)
                _orphans.Write(attachment);
            return true;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            Log.ReaperHindered(log, error.Message);
            return false;
        }
    }

    /// <summary>Makes addresses taken that another network of this node gave to a pod that lives. In the loop, before the runtime is told to call our plugin.</summary>
    /// <returns>Whether it is done; otherwise the log says what hinders, and it is to be tried again.</returns>
    public bool TakeOver(IReadOnlyCollection<Cidr> prefixes)
    {
        try
        {
            var others = _addresses.ReadOthers(prefixes);
            var living = others.Count > 0 ? LivingAddresses() : [];
            foreach (var other in others.Where(other => living.Contains(other.Address)).DistinctBy(other => other.Address))
            {
                _addresses.TakeOver(other);
                Log.AddressTakenOver(log, other.Address.ToString(), other.ContainerId, other.Path);
            }

            return true;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or NetnsException or NetlinkException)
        {
            Log.ReaperHindered(log, error.Message);
            return false;
        }
    }

    /// <summary>Looks at once, and every few minutes, until <paramref name="stop"/>.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        await Task.Yield();
        var period = configuration.ResyncInterval < LongestPeriod ? configuration.ResyncInterval : LongestPeriod;
        while (true)
        {
            try
            {
                var look = Look();
                await _looks.Writer.WriteAsync(look, stop).ConfigureAwait(false);
                var leftovers = await look.Judged.WaitAsync(stop).ConfigureAwait(false);
                Free(leftovers);
                await ReleaseAsync(leftovers.OfType<Leftover.OfDelegation>(), look.JudgedAt, stop).ConfigureAwait(false);
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException or NetnsException or NetlinkException)
            {
                Log.ReaperHindered(log, error.Message);
            }

            await Task.Delay(period, stop).ConfigureAwait(false);
        }
    }

    /// <summary>Judges a look, and removes attachments and interfaces. In the loop.</summary>
    /// <param name="look">The look.</param>
    /// <param name="attachments">What is wired.</param>
    /// <param name="kernel">The node's kernel.</param>
    /// <param name="verbs">Removes attachments.</param>
    /// <param name="wiring">Removes interfaces.</param>
    public void Judge(FolderLook look, IReadOnlyCollection<Attachment> attachments, NodeKernel kernel, CniVerbs verbs, PodWiring wiring)
    {
        var files = new List<Leftover>();
        foreach (var attachment in attachments)
            Learn(attachment);
        try
        {
            // These before the pairs that they belong to: another agent's are made after them.
            var shapers = LinkMessage.Dump(kernel.Route, LinkMessage.Ifb).Where(link => link.Group != Ownership.RetiredGroup && link.Name.StartsWith(Ownership.ShaperPrefix, StringComparison.Ordinal)).Select(link => link.Name).ToList();
            var interfaces = LinkMessage.Dump(kernel.Route, "veth").Where(link => link.Group != Ownership.RetiredGroup).Select(link => link.Name).Where(IsPodInterface).ToHashSet(StringComparer.Ordinal);
            var sight = new NodeSight
            {
                Attachments = [.. attachments],
                Interfaces = interfaces,
                Shapers = shapers,
                Strangers = _strangers,
                Namespaces = attachments.Where(attachment => !interfaces.Contains(attachment.HostInterface)).Select(attachment => attachment.NetnsPath).Where(IsPodNamespace).ToHashSet(StringComparer.Ordinal),
                Addresses = look.Addresses,
                Claims = look.Claims,
                Temporaries = look.Temporaries,
                Orphans = look.Orphans,
                Now = DateTime.UtcNow,
            };
            foreach (var leftover in sight.Leftovers())
            {
                if (leftover is Leftover.OfAttachment(var attachment, _))
                {
                    if (TryForget(attachment, verbs))
                    {
                        Note(leftover);
                        files.AddRange(attachment.Delegation is null ? [] : [new Leftover.OfDelegation(attachment, leftover.Why)]);
                    }
                }
                else if (leftover is Leftover.OfInterface(var name, _))
                {
                    wiring.Unwire(name.StartsWith(Ownership.ShaperPrefix, StringComparison.Ordinal) ? Ownership.PodInterfaceOf(name) : name);
                    Note(leftover);
                }
                else
                {
                    files.Add(leftover);
                }
            }
        }
        catch (NetlinkException error)
        {
            Log.ReaperHindered(log, error.Message);
        }

        look.Judge(files);
    }

    private bool TryForget(Attachment attachment, CniVerbs verbs)
    {
        if (!TryKeep(attachment))
            return false;
        if (verbs.Delete(attachment.Key).Error is not { } error)
            return true;
        Log.ReaperHindered(log, error.Msg);
        return false;
    }

    // Beside the loop. An address that a namespace has is in use, whoever wired it.
    private void Free(IReadOnlyList<Leftover> leftovers)
    {
        var addresses = leftovers.OfType<Leftover.OfAddress>().ToDictionary(leftover => leftover.File);
        var claims = leftovers.OfType<Leftover.OfClaim>().ToList();
        if (addresses.Count > 0 || claims.Count > 0)
        {
            var living = addresses.Count > 0 ? LivingAddresses() : [];
            foreach (var folder in Folders)
            {
                var (dead, unused) = (addresses.Keys.Where(file => folder.Holds(file.Path) && !living.Contains(file.Address)).ToList(), claims.Where(claim => folder.Holds(claim.File.Path)).ToList());
                if (dead.Count + unused.Count > 0 && Attempt(() => folder.Release(dead, [.. unused.Select(claim => claim.File)])) is { } released)
                {
                    foreach (var leftover in released.Select(file => addresses[file]).Concat<Leftover>(unused))
                        Note(leftover);
                }
            }
        }

        foreach (var leftover in leftovers.OfType<Leftover.OfFile>())
        {
            File.Delete(leftover.Path);
            Note(leftover);
        }
    }

    // Beside the loop, after all else, and not for long: a plugin may hang. Those that have failed least come first.
    private async Task ReleaseAsync(IEnumerable<Leftover.OfDelegation> leftovers, long judged, CancellationToken stop)
    {
        var living = new Lazy<HashSet<InetAddress>>(LivingAddresses);
        var time = Stopwatch.StartNew();
        foreach (var leftover in leftovers.OrderBy(leftover => _failures.GetValueOrDefault(leftover.Attachment.Key)).TakeWhile(_ => time.Elapsed < LongestPeriod))
        {
            var orphan = leftover.Attachment;
            if (orphan.Addresses.Any(living.Value.Contains))
                continue;
            if (await PluginProcess.DeleteAsync(orphan, judged, stop).ConfigureAwait(false) is { } fault)
            {
                _failures[orphan.Key] = _failures.GetValueOrDefault(orphan.Key) + 1;
                Log.ReaperHindered(log, fault);
                continue;
            }

            _orphans.Delete(orphan.Key);
            _failures.Remove(orphan.Key);
            Note(leftover);
        }
    }

    private FolderLook Look()
    {
        var orphans = _orphans.ReadAll(out var broken);
        foreach (var reason in broken)
            Log.ReaperHindered(log, reason);
        return new(
            [.. Folders.SelectMany(folder => Attempt(folder.Read) ?? [])],
            [.. Folders.SelectMany(folder => Attempt(folder.ReadClaims) ?? [])],
            [.. Temporaries()],
            orphans);
    }

    private IEnumerable<AddressFolder> Folders => _others.Values.Prepend(_addresses);

    private void Learn(Attachment attachment)
    {
        var path = attachment.AddressFolder;
        if (Path.IsPathRooted(path) && path != Path.GetFullPath(_addresses.Folder))
            _others.TryAdd(path, new(Path.GetDirectoryName(path)!, Path.GetFileName(path)));
    }

    // What hinders in one folder hinders in no other.
    private IReadOnlyList<T>? Attempt<T>(Func<IReadOnlyList<T>?> step)
    {
        try
        {
            return step();
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            Log.ReaperHindered(log, error.Message);
            return null;
        }
    }

    private void Note(Leftover leftover)
    {
        _freed.AddOrUpdate(leftover.Kind, 1, (_, count) => count + 1);
        Log.Reaped(log, leftover.What, leftover.Why);
    }

    private IEnumerable<TemporaryFile> Temporaries()
    {
        (string Folder, string Pattern)[] places =
        [
            .. Folders.Select(folder => (folder.Folder, ".*.tmp")),
            (PendingDelete.FolderOf(configuration.Socket), "*.tmp"),
            (AttachmentFolder.In(configuration.StateDir), ".*.tmp"),
            (AttachmentFolder.In(configuration.StateDir, OrphanFolder), ".*.tmp"),
            (configuration.StateDir, ".boot-id.tmp"),
            (Path.GetDirectoryName(configuration.Socket)!, ".heartbeat.tmp"),
            (configuration.CniConfDir, $".{configuration.CniConfName}.tmp"),
        ];
        return from place in places
               where Directory.Exists(place.Folder)
               from path in Directory.EnumerateFiles(place.Folder, place.Pattern)
               select new TemporaryFile(path, File.GetLastWriteTimeUtc(path));
    }

    // Every address of every namespace that has a name: where runtimes keep those of pods. Only when something hangs on it: it takes a thread for each.
    private static HashSet<InetAddress> LivingAddresses()
    {
        var living = new HashSet<InetAddress>();
        if (!Directory.Exists(Netns.Directory))
            return living;
        foreach (var path in Directory.EnumerateFiles(Netns.Directory))
        {
            try
            {
                using var netns = Netns.OpenForeign(path);
                living.UnionWith(netns.Run(() =>
                {
                    using var socket = NetlinkSocket.Open(NetlinkProtocol.NETLINK_ROUTE);
                    return AddressMessage.Dump(socket).Select(address => address.Prefix.Address).ToList();
                }));
            }
            catch (NetnsException error) when (error.Fault is not NetnsFault.Refused)
            {
                // a name whose namespace is gone, or the node's own
            }
        }

        return living;
    }

    private static bool IsPodInterface(string name) => name.StartsWith(RulesetOptions.PodInterfacePrefix, StringComparison.Ordinal);

    private static bool IsPodNamespace(string path)
    {
        try
        {
            using var netns = Netns.OpenForeign(path);
            return true;
        }
        catch (NetnsException error)
        {
            return error.Fault is NetnsFault.Refused;
        }
    }
}
