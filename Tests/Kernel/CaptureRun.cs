using System.Diagnostics;
using System.Text;

namespace Overlay.Tests.Kernel;

/// <summary>A running <c>overlay capture</c>, which sees every packet from its start on.</summary>
internal sealed class CaptureRun : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private readonly Process _process;
    private readonly List<string> _lines = [];
    private readonly StringBuilder _errors = new();
    private readonly Task _reading;

    private CaptureRun(Process process, bool reads)
    {
        _process = process;
        _reading = Task.WhenAll(
            Task.Run(async () =>
            {
                while (reads && await process.StandardOutput.ReadLineAsync() is { } line)
                {
                    lock (_lines)
                        _lines.Add(line);
                }
            }),
            Task.Run(async () =>
            {
                while (await process.StandardError.ReadLineAsync() is { } line)
                {
                    lock (_errors)
                        _errors.AppendLine(line);
                }
            }));
    }

    /// <summary>What it has printed so far.</summary>
    public IReadOnlyList<string> Lines
    {
        get
        {
            lock (_lines)
                return [.. _lines];
        }
    }

    /// <summary>What it has said of itself so far.</summary>
    public string Said
    {
        get
        {
            lock (_errors)
                return _errors.ToString();
        }
    }

    /// <summary>Its output, when that is not read here.</summary>
    public Stream Output => _process.StandardOutput.BaseStream;

    /// <summary>Begins, in a node's namespace, and waits until it sees packets.</summary>
    public static CaptureRun Start(TestNode node, string program, params string[] arguments) => Start(node, program, true, arguments);

    /// <summary>As the other.</summary>
    /// <param name="node">Where.</param>
    /// <param name="program">Path of <c>overlay</c>.</param>
    /// <param name="reads">Whether its output is read as lines.</param>
    /// <param name="arguments">Of the verb.</param>
    public static CaptureRun Start(TestNode node, string program, bool reads, params string[] arguments)
    {
        var state = Path.GetDirectoryName(node.Attachments)!;

        // A suite that runs in the background of a shell has SIGINT ignored, and so would its children.
        var run = new CaptureRun(node.Net.Start(new() { ["OVERLAY_STATE_DIR"] = state, ["TZ"] = "UTC" }, "env", ["--default-signal=INT", program, "capture", .. arguments.Contains("--socket") ? (string[])[] : ["--socket", node.Socket], .. arguments]), reads);
        TestCluster.Eventually(() => run.Said.Contains("; Ctrl-C ends it.") || run._process.HasExited, "it captures", () => run.Said);
        return run;
    }

    /// <summary>Waits for a line.</summary>
    public void Await(string pattern) => TestCluster.Eventually(() => Lines.Any(line => System.Text.RegularExpressions.Regex.IsMatch(line, pattern)), $"a line like {pattern}", () => $"{string.Join('\n', Lines)}\n{Said}");

    /// <summary>Waits until it has said something of itself.</summary>
    public void AwaitSaid(string text) => TestCluster.Eventually(() => Said.Contains(text, StringComparison.Ordinal), text, () => Said);

    /// <summary>Ends it as Ctrl-C does; what it exits with, when all that it said is here.</summary>
    public int Interrupt()
    {
        _ = Libc.Interrupt(_process.Id);
        return AwaitEnd();
    }

    /// <summary>Waits until it ends by itself.</summary>
    public int AwaitEnd()
    {
        Assert.That(_process.WaitForExit(Patience), $"it ends; {Said}");
        Assert.That(_reading.Wait(Patience), "its output ends");
        return _process.ExitCode;
    }

    public void Dispose()
    {
        if (!_process.HasExited)
            _process.Kill();
        _process.Dispose();
    }
}
