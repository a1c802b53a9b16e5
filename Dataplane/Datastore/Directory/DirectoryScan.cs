using Overlay.Dataplane.Store;

namespace Overlay.Dataplane.Datastore.Directory;

/// <summary>
/// Reads the files of the directory datastore into its content: all of them, or those that a change may concern. Manifests are the files
/// <c>*.yaml</c>, <c>*.yml</c> and <c>*.json</c> of all sub-folders, symbolic links followed; names that begin with a dot are not looked at
/// (editors' and ConfigMap volumes' own), but for <c>.status</c>.
/// </summary>
/// <param name="root">The folder, as an absolute path.</param>
/// <param name="nodeName">This node, whose own statuses tell it nothing new; empty when there is none.</param>
internal sealed class DirectoryScan(string root, string nodeName = "")
{
    private const int MaxDepth = 32;

    private readonly DirectoryContent _content = new();
    private readonly HashSet<string> _linkedFolders = new(StringComparer.Ordinal);
    private readonly string? _ownStatuses = nodeName.Length > 0 ? Path.Combine(root, PodStatus.Folder, nodeName) : null;

    /// <summary>The addresses that agents have told.</summary>
    public IEnumerable<PodStatus> Statuses => _content.Statuses;

    /// <summary>Targets of symbolic links to folders, as found by the last <see cref="LookAtAll"/>; a watch does not follow them by itself.</summary>
    public IReadOnlySet<string> LinkedFolders => _linkedFolders;

    /// <summary>What differs from what was taken before.</summary>
    public IReadOnlyList<ClusterChange> TakeChanges() => _content.TakeChanges();

    /// <summary>Reads everything. When the folder itself is not there, all stays as it is, and that is reported.</summary>
    /// <returns>Whether the folder is there.</returns>
    public bool LookAtAll()
    {
        if (!System.IO.Directory.Exists(root))
        {
            _content.SetProblem(root, "the folder is gone; what was last known of the cluster stays in force. Put the folder back.");
            return false;
        }

        _content.ForgetProblem(root);
        _linkedFolders.Clear();
        var seen = new HashSet<string>(StringComparer.Ordinal);
        Walk(root, 0, seen);
        foreach (var gone in _content.Files.Where(file => !seen.Contains(file)).ToList())
            LookAtFile(gone);
        return true;
    }

    /// <summary>Whether a path is that of this node's own statuses, or of one of them.</summary>
    public bool IsOwnStatus(string path) => _ownStatuses is not null && path.StartsWith(_ownStatuses, StringComparison.Ordinal) && (path.Length == _ownStatuses.Length || path[_ownStatuses.Length] == Path.DirectorySeparatorChar);

    /// <summary>Looks at what changed.</summary>
    /// <param name="path">Absolute path of a file or folder within the root, there or not.</param>
    /// <returns>False when the change may concern more than a file: then <see cref="LookAtAll"/> is needed.</returns>
    public bool LookAt(string path)
    {
        var parts = Path.GetRelativePath(root, path).Split(Path.DirectorySeparatorChar);
        if (parts.Any(part => part.StartsWith("..", StringComparison.Ordinal)))
            return false; // a ConfigMap volume exchanges all its files by one rename of its ..data link
        var isStatus = parts[0] == PodStatus.Folder;
        if (parts.Skip(isStatus ? 1 : 0).Any(part => part[0] == '.'))
            return parts is not ["."];
        if (!IsManifest(path))
            return File.Exists(path); // another file is nothing to us; a folder that came or went is
        if (System.IO.Directory.Exists(path))
            return false;
        LookAtFile(path);
        return true;
    }

    private static bool IsManifest(string path) => Path.GetExtension(path) is ".yaml" or ".yml" or ".json";

    private void Walk(string folder, int depth, HashSet<string> seen)
    {
        FileSystemInfo[] entries;
        try
        {
            entries = new DirectoryInfo(folder).GetFileSystemInfos();
            _content.ForgetProblem(folder);
        }
        catch (DirectoryNotFoundException)
        {
            return; // went while we looked
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            _content.SetProblem(folder, $"the folder cannot be read: {e.Message}");
            seen.UnionWith(_content.Files.Where(file => file.StartsWith(folder + Path.DirectorySeparatorChar, StringComparison.Ordinal)));
            seen.Add(folder);
            return;
        }

        foreach (var entry in entries.OrderBy(entry => entry.Name, StringComparer.Ordinal))
        {
            var isFolder = System.IO.Directory.Exists(entry.FullName);
            if (entry.Name[0] == '.' && !(depth == 0 && isFolder && entry.Name == PodStatus.Folder))
                continue;
            if (IsOwnStatus(entry.FullName))
                continue;
            if (!isFolder && IsManifest(entry.Name))
            {
                seen.Add(entry.FullName);
                LookAtFile(entry.FullName);
            }
            else if (isFolder && depth < MaxDepth && Enter(entry))
            {
                Walk(entry.FullName, depth + 1, seen);
            }
        }
    }

    // A link to a folder is entered once, however many lead there, and never upwards.
    private bool Enter(FileSystemInfo folder)
    {
        if (folder.LinkTarget is null)
            return true;
        var target = folder.ResolveLinkTarget(returnFinalTarget: true)!.FullName;
        return !(root + Path.DirectorySeparatorChar).StartsWith(target + Path.DirectorySeparatorChar, StringComparison.Ordinal) && _linkedFolders.Add(target);
    }

    private void LookAtFile(string path)
    {
        try
        {
            if (path.StartsWith(Path.Combine(root, PodStatus.Folder) + Path.DirectorySeparatorChar, StringComparison.Ordinal))
                _content.SetStatus(path, RegularFile.ReadAllBytes(path));
            else
                _content.SetManifests(path, RegularFile.ReadAllText(path));
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            _content.Remove(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            _content.SetProblem(path, $"the file cannot be read: {e.Message} What it said before stays in force.");
        }
    }
}
