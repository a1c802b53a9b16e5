namespace Overlay.Dataplane.Cni;

/// <summary>Says that an agent runs on a <c>stateDir</c>: two at once would each undo what the other does. The kernel lets go of it when the process ends, however it ends.</summary>
/// <param name="stateDir">The configuration's <c>stateDir</c>; made when it is not there.</param>
internal sealed class StateDirLock(string stateDir) : IDisposable
{
    private readonly FileStream _lock = Take(stateDir);

    /// <inheritdoc/>
    public void Dispose() => _lock.Dispose();

    // FileShare.None is flock(2) on Unix.
    private static FileStream Take(string stateDir)
    {
        Directory.CreateDirectory(stateDir);
        var path = Path.Combine(stateDir, "agent.lock");
        try
        {
            return new(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException e) when (File.Exists(path))
        {
            throw new IOException($"another agent runs on {stateDir} (it holds {path}); stop it, or give this one a stateDir and a socket of its own.", e);
        }
    }
}
