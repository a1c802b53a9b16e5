using Overlay.CniShim.Protocol;

namespace Overlay.CniShim;

/// <summary>DELs that wait for the agent (<see cref="PendingDelete"/>): on disk before the runtime is told that all is done.</summary>
/// <param name="socketPath">The agent's socket; the queue is beside it.</param>
internal sealed class DeleteQueue(string socketPath)
{
    private readonly string folder = PendingDelete.FolderOf(socketPath);

    /// <summary>Adds one, whole or not at all. One file per attachment, so that nobody has to wait for a lock.</summary>
    public void Add(AgentRequest delete)
    {
        Directory.CreateDirectory(folder);
        var file = FileOf(delete);
        var temporary = file + ".tmp";
        using (var stream = new FileStream(temporary, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 0))
        {
            stream.Write(AgentLine.Of(delete));
            stream.Flush(flushToDisk: true);
        }

        Fault.Pass(FaultPoint.ShimDeleteWritten);
        File.Move(temporary, file, overwrite: true);
        Fault.Pass(FaultPoint.ShimDeleteQueued);
        if (!OperatingSystem.IsWindows())
            Libc.Fsync(folder);
    }

    /// <summary>Takes one back; not being there is fine.</summary>
    public void Remove(AgentRequest delete) => File.Delete(FileOf(delete));

    private string FileOf(AgentRequest delete) => Path.Combine(folder, PendingDelete.FileNameOf(delete.ContainerId, delete.IfName));
}
