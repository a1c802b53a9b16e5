using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Overlay.Dataplane.Installation;

/// <summary>
/// Tells the service manager how the agent is (sd_notify(3)): READY=1 once the node serves, STATUS= in one line, WATCHDOG=1 while the agent's loop turns, STOPPING=1 at the end. Until the node serves,
/// each turn asks for more time to start, so that an agent that waits for its API server is left alone and one that hangs is not. Does nothing where no service manager listens.
/// </summary>
/// <param name="path">NOTIFY_SOCKET: a path, or an abstract name that begins with @; null or empty for none.</param>
/// <param name="watchdog">How often it must be heard at least; zero when nobody waits.</param>
internal sealed class ServiceNotification(string? path, TimeSpan watchdog) : IDisposable
{
    // Half of it is what sd_watchdog_enabled(3) recommends; a busy round may come between.
    private const int BeatsPerWatchdog = 3;
    private static readonly TimeSpan MoreTime = TimeSpan.FromSeconds(60);

    private readonly Socket? _socket = string.IsNullOrEmpty(path) ? null : new(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
    private TimeSpan _due;
    private string _said = "";
    private bool _ready;

    /// <summary>As the service manager has asked this process to.</summary>
    public static ServiceNotification OfEnvironment() => Of(Environment.GetEnvironmentVariable);

    /// <summary>The same, of other variables.</summary>
    /// <param name="variable">NOTIFY_SOCKET, WATCHDOG_USEC (microseconds), WATCHDOG_PID (another process's watchdog is none of ours).</param>
    public static ServiceNotification Of(Func<string, string?> variable)
    {
        var isOurs = variable("WATCHDOG_PID") is not { Length: > 0 } pid || pid == Environment.ProcessId.ToString(CultureInfo.InvariantCulture);
        var watchdog = isOurs && ulong.TryParse(variable("WATCHDOG_USEC"), CultureInfo.InvariantCulture, out var microseconds) ? TimeSpan.FromMicroseconds(microseconds) : TimeSpan.Zero;
        return new(variable("NOTIFY_SOCKET"), watchdog);
    }

    /// <summary>How often <see cref="Turn"/> must be called at least.</summary>
    /// <param name="usual">How often it would be.</param>
    public TimeSpan Period(TimeSpan usual) => watchdog > TimeSpan.Zero && watchdog / BeatsPerWatchdog < usual ? watchdog / BeatsPerWatchdog : usual;

    /// <summary>The loop has come by; what is new is told, and that it turns, when it is time.</summary>
    /// <param name="serves">Whether the node serves.</param>
    /// <param name="status">How it is; asked for only when it is told.</param>
    /// <param name="uptime">The moment, on a clock that nobody sets.</param>
    /// <param name="usual">As for <see cref="Period"/>.</param>
    public void Turn(bool serves, Func<string> status, TimeSpan uptime, TimeSpan usual)
    {
        var isNews = serves && !_ready;
        if (_socket is null || (!isNews && uptime < _due))
            return;
        var text = new StringBuilder();
        if (isNews)
            text.Append("READY=1\n");
        _ready |= serves;
        if (!_ready)
            text.Append(CultureInfo.InvariantCulture, $"EXTEND_TIMEOUT_USEC={MoreTime.TotalMicroseconds:0}\n");
        if (watchdog > TimeSpan.Zero)
            text.Append("WATCHDOG=1\n");
        if (status().ReplaceLineEndings(" ") is var line && line != _said)
            text.Append("STATUS=").Append(line).Append('\n');
        _said = line;
        _due = uptime + Period(usual) / 2;
        Send(text.ToString());
    }

    /// <summary>The agent ends, as it was asked to.</summary>
    public void Stop() => Send("STOPPING=1\nSTATUS=Stopped; the kernel goes on forwarding and enforcing.\n");

    /// <inheritdoc/>
    public void Dispose() => _socket?.Dispose();

    // Where nobody listens any more there is nobody to tell.
    private void Send(string text)
    {
        if (_socket is null || text.Length == 0)
            return;
        try
        {
            _socket.SendTo(Encoding.UTF8.GetBytes(text), new UnixDomainSocketEndPoint(path![0] == '@' ? "\0" + path[1..] : path));
        }
        catch (SocketException)
        {
            _ready = false; // said again next time
            _said = "";
        }
    }
}
