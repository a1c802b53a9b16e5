using System.Text;

namespace Overlay.Dataplane.Cni;

/// <summary>
/// A file beside the agent's socket by which the plugin answers STATUS while no agent does, for the time of a restart: its first line is <c>ok</c> or
/// <c>unready</c>, the second the reason; while the agent's loop turns its time of modification is never older than 15 s. It is kept when the agent ends.
/// </summary>
/// <param name="socketPath">The agent's socket.</param>
internal sealed class Heartbeat(string socketPath)
{
    /// <summary>How often the loop has to come by.</summary>
    public static readonly TimeSpan Period = TimeSpan.FromSeconds(10);

    private readonly string _path = PathBeside(socketPath);
    private string? _said;
    private TimeSpan _due;

    /// <summary>The file beside an agent's socket.</summary>
    public static string PathBeside(string socketPath) => Path.Combine(Path.GetDirectoryName(Path.GetFullPath(socketPath))!, "heartbeat");

    /// <summary>Says how this node is, if that is new or it is time again.</summary>
    /// <param name="unready">Why it does not serve as it should; empty when it does.</param>
    /// <param name="uptime">The moment, on a clock that nobody sets.</param>
    /// <exception cref="IOException">It cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">It must not be written.</exception>
    public void Beat(IReadOnlyCollection<string> unready, TimeSpan uptime)
    {
        var text = unready.Count == 0 ? "ok\n" : $"unready\n{string.Join(' ', unready).ReplaceLineEndings(" ")}\n";
        if (text == _said && uptime < _due)
            return;
        AtomicFile.Write(_path, Encoding.UTF8.GetBytes(text));
        (_said, _due) = (text, uptime + Period);
    }
}
