using Overlay.Dataplane.Cni;
using Overlay.Dataplane.Datastore.Directory;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Kernel;
using Overlay.CniShim.Protocol;

namespace Overlay.Dataplane.Installation;

/// <summary>The files that agent and plugin write on a node.</summary>
/// <param name="configuration">Says where.</param>
/// <param name="withMemory">Not the conflist alone, but also what they remember of pods: attachments, addresses, DELs that wait.</param>
internal sealed class NodeFiles(OverlayConfiguration configuration, bool withMemory)
{
    /// <summary>The CNI configuration that makes runtimes call our plugin.</summary>
    public string Conflist => Path.Combine(configuration.CniConfDir, configuration.CniConfName);

    /// <summary>Those that are there.</summary>
    public IReadOnlyList<OwnedObject> List() =>
    [
        .. Paths().Where(Path.Exists).Select(path => new OwnedObject("file", path, path == Conflist ? "runtimes send new pods to Overlay by it" : "")),
    ];

    /// <summary>Removes one of <see cref="List"/>; a folder with all that is in it.</summary>
    /// <exception cref="IOException">It cannot be removed.</exception>
    /// <exception cref="UnauthorizedAccessException">It must not be removed.</exception>
    public static void Remove(string path)
    {
        if (Directory.Exists(path))
            Directory.Delete(path, recursive: true);
        else if (File.Exists(path))
            File.Delete(path);
    }

    /// <summary>Removes the folders of agent and plugin that are empty.</summary>
    public void RemoveEmptyFolders()
    {
        if (!withMemory)
            return;
        foreach (var folder in (string[])[configuration.StateDir, SocketFolder])
        {
            if (Directory.Exists(folder) && !Directory.EnumerateFileSystemEntries(folder).Any())
                Directory.Delete(folder);
        }
    }

    private string SocketFolder => Path.GetDirectoryName(Path.GetFullPath(configuration.Socket))!;

    // By their names, never a configured folder as a whole: who says stateDir: /var/lib keeps the rest of it.
    private IEnumerable<string> Paths() => !withMemory ? [Conflist] :
    [
        Conflist,
        AttachmentFolder.In(configuration.StateDir),
        AttachmentFolder.In(configuration.StateDir, Reaper.OrphanFolder),
        BootRecord.PathIn(configuration.StateDir),
        StateDirLock.PathIn(configuration.StateDir),
        Path.Combine(configuration.CniIpamDir, Cni.Conflist.Network),
        PendingDelete.FolderOf(configuration.Socket),
        Heartbeat.PathBeside(configuration.Socket),
        configuration.Socket,
        .. configuration.DatastoreDirectory is { } folder ? [PodStatusFolder.Of(folder, configuration.NodeName)] : (string[])[],
    ];
}
