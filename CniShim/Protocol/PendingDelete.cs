namespace Overlay.CniShim.Protocol;

/// <summary>Where the plugin leaves a DEL while the agent is away: one file per attachment, its content the <see cref="AgentRequest"/> as the line that would have been sent.
/// The agent listens first and replays then; the plugin writes first and asks once more then. So one of the two always sees the other.</summary>
internal static class PendingDelete
{
    /// <summary>The folder <c>delq</c> beside the agent's socket: both are gone after a reboot, like the interfaces they speak of.</summary>
    public static string FolderOf(string socketPath) => Path.Combine(Path.GetDirectoryName(socketPath) ?? "/", "delq");

    /// <summary><c>CONTAINERID@IFNAME.json</c>: a container id never holds an @, so no two attachments share a name.</summary>
    public static string FileNameOf(string containerId, string ifName) => $"{containerId}@{ifName}.json";
}
