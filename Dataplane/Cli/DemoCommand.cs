using System.CommandLine;
using System.Runtime.InteropServices;
using System.Text.Json;
using Overlay.Dataplane.Cli.Demo;
using Overlay.Dataplane.Netlink;
using Overlay.PolicyEngine.Model;
using Spectre.Console;

namespace Overlay.Dataplane.Cli;

/// <summary><c>overlay demo</c>: the main job on this machine, with nothing else installed.</summary>
internal static class DemoCommand
{
    /// <summary>The verb and its options.</summary>
    public static Command Create()
    {
        var output = new Option<string>("--output", "-o") { Description = "table or json", DefaultValueFactory = _ => "table" };
        output.AcceptOnlyFromAmong("table", "json");
        var underlay = new Option<string>("--underlay") { Description = "family of the nodes' own addresses, thus of the tunnels: ipv4 or ipv6", DefaultValueFactory = _ => "ipv4" };
        underlay.AcceptOnlyFromAmong("ipv4", "ipv6");
        var command = new Command("demo", "Connects pods of three nodes on this machine, applies NetworkPolicies, shows who reaches whom, and cleans up (root)") { output, underlay };
        command.SetAction((result, cancellation) => RunAsync(
            result.GetValue(output) == "json" ? null : new DemoText(OpenConsole()),
            result.GetValue(underlay) == "ipv6" ? Family.IPv6 : Family.IPv4,
            cancellation));
        return command;
    }

    /// <summary>Runs the demo.</summary>
    /// <param name="text">For people as it goes on; null for JSON at the end.</param>
    /// <param name="underlay">Family of the tunnels.</param>
    /// <param name="cancellation">Ends it; it cleans up all the same.</param>
    /// <returns>0 when every cell came out as asked, 130 when it was interrupted, else 1.</returns>
    private static async Task<int> RunAsync(DemoText? text, Family underlay, CancellationToken cancellation)
    {
        if (WhyNot() is { } reason)
        {
            await Console.Error.WriteLineAsync($"overlay demo: {reason}");
            return ExitCode.Failure;
        }

        // A signal is waited for only once this task exists: so it must, before anything is made.
        await Task.Yield();

        // A closed terminal, too, must not leave anything behind.
        using var interrupted = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        using var hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, context =>
        {
            context.Cancel = true;
            interrupted.Cancel();
        });
        try
        {
            var result = await new DemoRun(text, underlay, interrupted.Token).RunAsync();
            if (text is null)
                Console.WriteLine(JsonSerializer.Serialize(result, DemoJson.Default.DemoResult));
            return result.DifferingCells == 0 ? ExitCode.Success : ExitCode.Failure;
        }
        catch (OperationCanceledException)
        {
            await Console.Error.WriteLineAsync("overlay demo: interrupted; everything was removed again.");
            return 130;
        }
        catch (Exception exception) when (exception is DemoException or NetlinkException or NetnsException or IOException or UnauthorizedAccessException)
        {
            await Console.Error.WriteLineAsync($"overlay demo: {exception.Message}");
            return ExitCode.Failure;
        }
    }

    private static IAnsiConsole OpenConsole()
    {
        var settings = new AnsiConsoleSettings();
        if (Environment.GetEnvironmentVariable("NO_COLOR") is { Length: > 0 })
            settings.Ansi = AnsiSupport.No;
        return AnsiConsole.Create(settings);
    }

    private static string? WhyNot() =>
        !OperatingSystem.IsLinux() ? "runs on Linux only: it makes network namespaces."
        : !Environment.IsPrivilegedProcess ? "needs root, because it makes network namespaces; run it with sudo."
        : !File.Exists(DemoProcess.OverlayCni) ? $"the CNI plugin is not at {DemoProcess.OverlayCni}; './build.ps1 build' puts both programs side by side."
        : !File.Exists(DemoProcess.Overlay) ? $"this program is not at {DemoProcess.Overlay}, where the nodes' agents would be started from; './build.ps1 build' puts it there."
        : null;
}
