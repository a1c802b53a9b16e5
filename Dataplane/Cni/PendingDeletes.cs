using System.Text.Json;
using Overlay.CniShim.Protocol;

namespace Overlay.Dataplane.Cni;

/// <summary>The DELs that the plugin left while no agent answered. The agent reads them once it listens and before it serves:
/// unwires each, then removes it. The addresses are already given back.</summary>
/// <param name="folder"><see cref="PendingDelete.FolderOf"/> the agent's socket.</param>
internal sealed class PendingDeletes(string folder)
{
    /// <summary>What waits, oldest name first. A file that cannot be decoded is removed and named in <paramref name="broken"/>, for the log.</summary>
    public IReadOnlyList<AgentRequest> Read(out IReadOnlyList<string> broken)
    {
        var requests = new List<AgentRequest>();
        var unreadable = new List<string>();
        broken = unreadable;
        if (!Directory.Exists(folder))
            return requests;
        foreach (var file in Directory.GetFiles(folder, "*.json").Order(StringComparer.Ordinal))
        {
            try
            {
                requests.Add(AgentLine.ReadRequest(File.ReadAllBytes(file)));
            }
            catch (JsonException error)
            {
                unreadable.Add($"{file}: {error.Message}");
                File.Delete(file);
            }
            catch (FileNotFoundException)
            {
                // the plugin met us after all, asked again and took its file back
            }
        }

        return requests;
    }

    /// <summary>Done: forgets it. Not being there is fine.</summary>
    public void Remove(AgentRequest request)
    {
        if (Directory.Exists(folder))
            File.Delete(Path.Combine(folder, PendingDelete.FileNameOf(request.ContainerId, request.IfName)));
    }
}
