using System.Diagnostics;

namespace Overlay.Tests.Kubernetes;

/// <summary>A server of another project as a child of the test run; what it says last is kept.</summary>
internal sealed class ServerProcess : IDisposable
{
    private const int Kept = 20;

    private readonly Queue<string> _lines = [];
    private readonly Process _process;

    /// <summary>Starts it.</summary>
    public ServerProcess(string program, params string[] arguments)
    {
        _process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true, RedirectStandardOutput = true })!;
        _process.ErrorDataReceived += (_, line) => Keep(line.Data);
        _process.OutputDataReceived += (_, line) => Keep(line.Data);
        _process.BeginErrorReadLine();
        _process.BeginOutputReadLine();
    }

    /// <summary>It runs no more.</summary>
    public bool HasExited => _process.HasExited;

    /// <inheritdoc/>
    public override string ToString()
    {
        lock (_lines)
            return $"{_process.StartInfo.FileName}{(HasExited ? $" ended with {_process.ExitCode}" : "")}:\n{string.Join('\n', _lines)}";
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _process.Kill();
        _process.WaitForExit();
        _process.Dispose();
    }

    private void Keep(string? line)
    {
        if (line is null)
            return;
        lock (_lines)
        {
            _lines.Enqueue(line);
            if (_lines.Count > Kept)
                _lines.Dequeue();
        }
    }
}
