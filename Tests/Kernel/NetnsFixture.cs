using System.Diagnostics;
using Overlay.Dataplane.Netlink;

namespace Overlay.Tests.Kernel;

/// <summary>What a command run inside a namespace said.</summary>
public sealed record CommandOutput(int ExitCode, string Output, string Error);

/// <summary>
/// Fresh network namespaces for one test: <c>using var net = NetnsFixture.Create();</c>. Commands run inside; nothing touches the host's.
/// Skips the test, saying why, where namespaces cannot be made.
/// </summary>
public sealed class NetnsFixture : IDisposable
{
    private static int _count;
    private readonly string _name;

    private NetnsFixture(string name, Netns netns)
    {
        _name = name;
        Netns = netns;
    }

    /// <summary>The namespace, for <c>Netns.Run</c>.</summary>
    public Netns Netns { get; }

    /// <summary>Its path below /run/netns.</summary>
    public string Path => Netns.Path;

    /// <summary>Its name, for <c>ip -n NAME</c>.</summary>
    public string Name => _name;

    /// <summary>A new namespace with nothing but a loopback device that is down.</summary>
    public static NetnsFixture Create()
    {
        if (!OperatingSystem.IsLinux() || Environment.UserName != "root" && !Environment.IsPrivilegedProcess)
            Assert.Ignore("Needs root on Linux: it makes network namespaces.");
        var name = $"overlay-test-{Environment.ProcessId}-{Interlocked.Increment(ref _count)}";
        return new(name, Netns.Create(name));
    }

    /// <summary>A netlink socket inside.</summary>
    public NetlinkSocket Open(NetlinkProtocol protocol) => Netns.Run(() => NetlinkSocket.Open(protocol));

    /// <summary>Runs <c>FILE ARGUMENTS</c> inside, which must succeed; returns its standard output.</summary>
    public string Run(string command, string? input = null)
    {
        var result = TryRun(command, input);
        Assert.That(result.ExitCode, Is.Zero, $"{command}: {result.Error}");
        return result.Output;
    }

    /// <summary>Runs <c>FILE ARGUMENTS</c> inside (no quoting: split at blanks), with <paramref name="input"/> as standard input.</summary>
    public CommandOutput TryRun(string command, string? input = null)
    {
        var words = command.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        using var process = Start(words[0], words[1..]);
        var error = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEndAsync();
        process.StandardInput.Write(input);
        process.StandardInput.Close();
        if (!process.WaitForExit(TimeSpan.FromSeconds(60)))
        {
            process.Kill(entireProcessTree: true);
            Assert.Fail($"{command} did not end within 60 s.");
        }
        return new(process.ExitCode, output.GetAwaiter().GetResult(), error.GetAwaiter().GetResult());
    }

    /// <summary>Starts a process inside, with its three streams redirected; the caller ends it.</summary>
    public Process Start(string file, params string[] arguments) => Start([], file, arguments);

    /// <summary>As the other, with more environment variables.</summary>
    public Process Start(Dictionary<string, string> variables, string file, params string[] arguments)
    {
        var start = new ProcessStartInfo(file, arguments) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var (name, value) in variables)
            start.Environment[name] = value;
        return Netns.Run(() => Process.Start(start)!);
    }

    /// <summary>Ends the namespace and every device in it.</summary>
    public void Dispose()
    {
        Netns.Dispose();
        Netns.Delete(_name);
    }
}
