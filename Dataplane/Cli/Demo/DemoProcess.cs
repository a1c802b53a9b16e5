using System.Diagnostics;
using Overlay.Dataplane.Netlink;

namespace Overlay.Dataplane.Cli.Demo;

/// <summary>
/// The programs the demo shows: <c>overlay agent</c> and <c>overlay-cni</c>, started as systemd and containerd would start them. The one place in
/// Overlay that starts a program, apart from an IPAM plugin that a configuration names.
/// </summary>
internal sealed class DemoProcess : IDisposable
{
    private const int LinesKept = 5;
    private readonly Process _process;
    private readonly Queue<string> _lastLines = new();

    private DemoProcess(Process process) => _process = process;

    /// <summary>This program's own file; started by <c>dotnet overlay.dll</c>, the program beside that.</summary>
    public static string Overlay => Path.Combine(AppContext.BaseDirectory, "overlay");

    /// <summary>The CNI plugin, beside <see cref="Overlay"/>.</summary>
    public static string OverlayCni => Path.Combine(AppContext.BaseDirectory, "overlay-cni");

    /// <summary>Whether it has ended.</summary>
    public bool HasExited => _process.HasExited;

    /// <summary>The last lines it wrote.</summary>
    public string LastLines
    {
        get
        {
            lock (_lastLines)
                return string.Join(Environment.NewLine, _lastLines);
        }
    }

    /// <summary>Starts <c>overlay</c> in a network namespace; it runs until disposed of.</summary>
    /// <param name="netns">Where.</param>
    /// <param name="arguments">The verb and its flags.</param>
    /// <param name="log">File that gets all it writes.</param>
    public static DemoProcess Start(Netns netns, IEnumerable<string> arguments, string log)
    {
        var demo = new DemoProcess(Start(netns, Overlay, arguments, new Dictionary<string, string>()));
        var writer = TextWriter.Synchronized(new StreamWriter(log) { AutoFlush = true });
        demo._process.StandardInput.Close();
        demo._process.OutputDataReceived += (_, line) => demo.Keep(line.Data, writer);
        demo._process.ErrorDataReceived += (_, line) => demo.Keep(line.Data, writer);
        demo._process.BeginOutputReadLine();
        demo._process.BeginErrorReadLine();
        return demo;
    }

    /// <summary>Runs <c>overlay-cni</c> in a network namespace as libcni does, and returns its answer.</summary>
    /// <param name="netns">The node's namespace.</param>
    /// <param name="environment">The CNI_* variables.</param>
    /// <param name="configuration">The network configuration, for its standard input.</param>
    /// <param name="cancellation">Ends the wait and the plugin.</param>
    /// <exception cref="DemoException">It failed; the message has its own.</exception>
    public static async Task<string> CallPluginAsync(Netns netns, IReadOnlyDictionary<string, string> environment, string configuration, CancellationToken cancellation)
    {
        using var plugin = new DemoProcess(Start(netns, OverlayCni, [], environment));
        var process = plugin._process;
        var output = process.StandardOutput.ReadToEndAsync(cancellation);
        var error = process.StandardError.ReadToEndAsync(cancellation);
        await process.StandardInput.WriteAsync(configuration.AsMemory(), cancellation);
        process.StandardInput.Close();
        await process.WaitForExitAsync(cancellation);
        return process.ExitCode == 0
            ? await output
            : throw new DemoException($"overlay-cni {environment["CNI_COMMAND"]} for {environment["CNI_CONTAINERID"]} failed with exit code {process.ExitCode}: {(await output + await error).ReplaceLineEndings(" ").Trim()}");
    }

    /// <summary>Kills what is left of a demo that could not clean up: the agents that name its folder on their command line.</summary>
    public static void KillThoseNaming(string folder)
    {
        foreach (var process in Process.GetProcesses())
        {
            using (process)
            {
                var arguments = CommandLine(process.Id);
                if (Path.GetFileName(arguments[0]) is "overlay" or "overlay-cni" && arguments.Any(argument => argument.Contains(folder + "/", StringComparison.Ordinal)))
                    process.Kill();
            }
        }
    }

    /// <summary>Kills it, if it still runs, and waits until it is gone.</summary>
    public void Dispose()
    {
        _process.Kill();
        _process.WaitForExit(TimeSpan.FromSeconds(5));
        _process.Dispose();
    }

    private static Process Start(Netns netns, string program, IEnumerable<string> arguments, IReadOnlyDictionary<string, string> environment)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };

        // The caller's own settings of an agent are not meant for ours.
        foreach (var name in start.Environment.Keys.Where(name => name.StartsWith("OVERLAY_", StringComparison.Ordinal)).ToList())
            start.Environment.Remove(name);
        foreach (var (name, value) in environment)
            start.Environment[name] = value;
        return netns.Run(() => Process.Start(start))!;
    }

    private static string[] CommandLine(int id)
    {
        try
        {
            return File.ReadAllText($"/proc/{id}/cmdline").Split('\0');
        }
        catch (IOException)
        {
            return [""]; // It ended meanwhile.
        }
    }

    private void Keep(string? line, TextWriter log)
    {
        if (line is null)
            return;
        log.WriteLine(line);
        lock (_lastLines)
        {
            _lastLines.Enqueue(line);
            if (_lastLines.Count > LinesKept)
                _lastLines.Dequeue();
        }
    }
}

/// <summary>The demo cannot go on; the message is one clear sentence, perhaps with an agent's last lines.</summary>
internal sealed class DemoException(string message) : Exception(message);
