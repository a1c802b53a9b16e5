using System.Net.Sockets;
using Overlay.Dataplane.Cni;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Kernel;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Reconcile;

namespace Overlay.Dataplane.Installation;

/// <summary>What a cleanup found, and what became of it.</summary>
/// <param name="Objects">What is, or was, there.</param>
/// <param name="Failures">What could not be removed, and why; empty for a look.</param>
internal sealed record CleanupReport(IReadOnlyList<OwnedObject> Objects, IReadOnlyList<RowFailure> Failures);

/// <summary>Takes Overlay off a node: what is ours in the kernel of this network namespace, and the files that <see cref="NodeFiles"/> names.</summary>
/// <param name="configuration">Of the agent that ran here: says where the files are.</param>
/// <param name="withMemory">As for <see cref="NodeFiles"/>.</param>
internal sealed class NodeCleanup(OverlayConfiguration configuration, bool withMemory)
{
    private readonly NodeFiles _files = new(configuration, withMemory);

    /// <summary>Why it must be thought that an agent runs here, for people; null when none does. It would make everything again.</summary>
    public string? SignOfAgent()
    {
        using var held = StateDirLock.TryTake(configuration.StateDir, out var isHeld);
        return isHeld ? $"it holds {StateDirLock.PathIn(configuration.StateDir)}" : IsAnswered() ? $"it answers at {configuration.Socket}" : null;
    }

    /// <summary>Lists; changes nothing.</summary>
    /// <exception cref="NetlinkException">The kernel could not be read.</exception>
    public CleanupReport Look()
    {
        using var kernel = OpenKernel();
        return new(Objects(kernel), []);
    }

    /// <summary>Removes; <see cref="SignOfAgent"/> comes before.</summary>
    /// <exception cref="NetlinkException">The kernel could not be read.</exception>
    public CleanupReport Run()
    {
        // No agent starts meanwhile, where one has ever run.
        using var alone = StateDirLock.TryTake(configuration.StateDir, out _);
        using var kernel = OpenKernel();
        var found = Objects(kernel);
        var failures = new List<RowFailure>();

        // The conflist first, so that no new pod comes.
        RemoveFiles(path => path == _files.Conflist);
        failures.AddRange(kernel.Remove());
        RemoveFiles(path => path != _files.Conflist);
        _files.RemoveEmptyFolders();
        return new(found, failures);

        void RemoveFiles(Func<string, bool> where)
        {
            foreach (var file in _files.List().Where(file => where(file.Name)))
            {
                try
                {
                    NodeFiles.Remove(file.Name);
                }
                catch (Exception e) when (e is IOException or UnauthorizedAccessException)
                {
                    failures.Add(new(file.Name, e.Message));
                }
            }
        }
    }

    private OwnedObjects OpenKernel() => OwnedObjects.Open([.. new AttachmentFolder(configuration.StateDir).ReadAll(out _).SelectMany(attachment => attachment.HostPorts)]);

    private List<OwnedObject> Objects(OwnedObjects kernel) => [.. kernel.List(), .. _files.List()];

    private bool IsAnswered()
    {
        try
        {
            using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            socket.Connect(new UnixDomainSocketEndPoint(configuration.Socket));
            return true;
        }
        catch (Exception e) when (e is SocketException or ArgumentOutOfRangeException)
        {
            return false; // nobody listens, or nobody can (a path too long)
        }
    }
}
