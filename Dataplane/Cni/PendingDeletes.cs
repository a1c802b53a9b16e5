using System.Text.Json;
using Overlay.CniShim.Protocol;
using Overlay.Dataplane.Desired;

namespace Overlay.Dataplane.Cni;

/// <summary>The DELs that the plugin left while no agent answered. The agent reads them once it listens and before it serves, and again and again while it serves:
/// does each, then removes it. The addresses are already given back.</summary>
/// <param name="folder"><see cref="PendingDelete.FolderOf"/> the agent's socket.</param>
internal sealed class PendingDeletes(string folder)
{
    /// <summary>What waits, oldest name first. A file that cannot be decoded is removed and named in <paramref name="broken"/>, for the log.</summary>
    public IReadOnlyList<AgentRequest> Read(out IReadOnlyList<string> broken)
    {
        var unreadable = new List<string>();
        broken = unreadable;
        return Directory.Exists(folder)
            ? [.. Directory.GetFiles(folder, "*.json").Order(StringComparer.Ordinal).Select(file => Read(file, unreadable)).OfType<AgentRequest>()]
            : [];
    }

    /// <summary>The one of an attachment; null when none waits.</summary>
    public AgentRequest? Find(AttachmentKey key) => FileOf(key) is var file && File.Exists(file) ? Read(file, []) : null;

    /// <summary>Done: forgets it. Not being there is fine.</summary>
    public void Remove(AttachmentKey key)
    {
        if (FileOf(key) is var file && File.Exists(file))
            File.Delete(file);
    }

    private string FileOf(AttachmentKey key) => Path.Combine(folder, PendingDelete.FileNameOf(key.ContainerId, key.IfName));

    private static AgentRequest? Read(string file, List<string> broken)
    {
        try
        {
            return AgentLine.ReadRequest(File.ReadAllBytes(file));
        }
        catch (JsonException error)
        {
            broken.Add($"{file}: {error.Message}");
            File.Delete(file);
        }
        catch (FileNotFoundException)
        {
            // the plugin met us after all, asked again and took its file back
        }

        return null;
    }
}
