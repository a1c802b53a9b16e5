using System.Runtime.InteropServices;
using System.Threading.Channels;
using Overlay.Dataplane.Desired;
using Serilog;

namespace Overlay.Dataplane;

/// <summary>
/// Tells when the configuration has become another: at SIGHUP, and by reading the file every few seconds, since that of a ConfigMap is exchanged by renaming folders around it, which a watch of the
/// file does not see. What cannot be read, or is wrong, is logged once and changes nothing.
/// </summary>
/// <param name="read">Reads the configuration, with the flags and environment variables that the agent was started with.</param>
/// <param name="atStart">As it was then.</param>
/// <param name="log">Where refusals go.</param>
internal sealed class ConfigurationWatch(Func<ConfigurationReading> read, ConfigurationReading atStart, ILogger log) : IDisposable
{
    /// <summary>How often the file is read.</summary>
    public static readonly TimeSpan Period = TimeSpan.FromSeconds(5);

    private readonly Channel<OverlayConfiguration> _changes = Channel.CreateBounded<OverlayConfiguration>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropOldest });
    private readonly SemaphoreSlim _asked = new(0);
    private ConfigurationReading? _last;
    private OverlayConfiguration? _current;

    /// <summary>The configuration that is to be in force from now on; only keys that are live differ from the one before.</summary>
    public ChannelReader<OverlayConfiguration> Changes => _changes.Reader;

    /// <summary>Runs until cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        using var signal = PosixSignalRegistration.Create(PosixSignal.SIGHUP, context =>
        {
            context.Cancel = true; // the default is to end the process
            _asked.Release();
        });
        while (true)
        {
            await _asked.WaitAsync(Period, cancellation).ConfigureAwait(false);
            Look();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _asked.Dispose();

    private void Look()
    {
        var reading = read();
        if (atStart.HasFile && !reading.HasFile && reading.Errors.Count == 0)
            reading = reading with { Configuration = null, Errors = ["The configuration's file is gone; what it said stays in force."] };
        if (IsSame(reading, _last ?? atStart))
            return;
        var changed = ConfigurationKey.All.Where(key => reading.Texts.GetValueOrDefault(key.Name, key.Default) != atStart.Texts.GetValueOrDefault(key.Name, key.Default));
        _last = reading;
        if (reading.Configuration is not { } configuration)
        {
            Log.ConfigurationRefused(log, string.Join(' ', reading.Errors));
            return;
        }

        if (changed.Where(key => !key.IsLive).Select(key => key.Name).ToList() is { Count: > 0 } later)
            Log.ConfigurationLater(log, string.Join(", ", later));
        _current ??= atStart.Configuration!;
        var now = _current.WithLiveKeysOf(configuration);
        if (now == _current)
            return;
        _current = now;
        _changes.Writer.TryWrite(now);
    }

    private static bool IsSame(ConfigurationReading one, ConfigurationReading other) =>
        one.Errors == other.Errors && one.Texts.Count == other.Texts.Count && one.Texts.All(text => other.Texts.GetValueOrDefault(text.Key) == text.Value);
}
