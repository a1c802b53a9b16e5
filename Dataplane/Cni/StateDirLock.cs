namespace Overlay.Dataplane.Cni;

/// <summary>Says that an agent runs on a <c>stateDir</c>: two at once would each undo what the other does. The kernel lets go of it when the process ends, however it ends.</summary>
internal sealed class StateDirLock : IDisposable
{
    private readonly FileStream _lock;

    /// <summary>Takes it, for an agent.</summary>
    /// <param name="stateDir">The configuration's <c>stateDir</c>; made when it is not there.</param>
    /// <exception cref="IOException">Another holds it.</exception>
    public StateDirLock(string stateDir)
    {
        Directory.CreateDirectory(stateDir);
        var path = PathIn(stateDir);
        try
        {
            _lock = Open(path);
        }
        catch (IOException e) when (File.Exists(path))
        {
            throw new IOException($"another agent runs on {stateDir} (it holds {path}); stop it, or give this one a stateDir and a socket of its own.", e);
        }
    }

    private StateDirLock(FileStream file) => _lock = file;

    /// <summary>The file that is locked.</summary>
    public static string PathIn(string stateDir) => Path.Combine(stateDir, "agent.lock");

    /// <summary>Keeps agents from starting, where one has ever run.</summary>
    /// <param name="stateDir">The configuration's <c>stateDir</c>; nothing is made there.</param>
    /// <param name="isHeld">Whether an agent runs.</param>
    /// <returns>To be disposed; null when an agent runs, or none ever has.</returns>
    public static StateDirLock? TryTake(string stateDir, out bool isHeld)
    {
        isHeld = false;
        var path = PathIn(stateDir);
        if (!File.Exists(path))
            return null;
        try
        {
            return new(Open(path));
        }
        catch (IOException) when (File.Exists(path))
        {
            isHeld = true;
            return null;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _lock.Dispose();

    // FileShare.None is flock(2) on Unix.
    private static FileStream Open(string path) => new(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
}
