using System.CommandLine;
using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Installation;
using Overlay.Dataplane.Kernel;
using Overlay.Dataplane.Netlink;

namespace Overlay.Dataplane.Cli;

/// <summary><c>overlay cleanup</c>: takes everything of ours out of this node's kernel, and nothing else.</summary>
internal static class CleanupCommand
{
    private static CleanupJson Indented { get; } =
        new(new(CleanupJson.Default.Options) { WriteIndented = true, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });

    /// <summary>The verb.</summary>
    public static Command Create()
    {
        Option<bool> dryRun = new("--dry-run") { Description = "only list what would go" };
        Option<bool> state = new("--state") { Description = "also remove what agent and plugin remember of pods: attachments and lock in stateDir, addresses in cni.ipamDir/overlay, what stands beside the socket" };
        var output = new Option<string>("--output", "-o") { Description = "table or json", DefaultValueFactory = _ => "table" };
        output.AcceptOnlyFromAmong("table", "json");
        var command = new Command(
            "cleanup",
            "List and remove every kernel object that is Overlay's, and nothing else: the nftables table, tunnel devices, routes, pods' interfaces (pods that still run lose their network: drain the node first), the mark of connections; and the conflist, so that runtimes send no new pod. Refuses while an agent runs here. Sysctls (net.ipv4.ip_forward and the like) stay as they are: others may have come to need them.")
        {
            dryRun, state, output,
        };
        var options = ConfigurationOptions.AddTo(command);
        command.SetAction(result => Run(options.Read(result), result.GetValue(state), result.GetValue(dryRun), result.GetValue(output) == "json", result.InvocationConfiguration.Output, result.InvocationConfiguration.Error));
        return command;
    }

    /// <summary>What to do about an agent that runs here.</summary>
    /// <param name="sign">By what it is known that it does.</param>
    internal static string StopIt(string sign) =>
        $"an agent runs on this node ({sign}) and would make everything again. Stop it first: systemctl disable --now overlay, or take its DaemonSet away (helm uninstall overlay).";

    /// <summary>Whether this process can and may; says why not.</summary>
    internal static bool CanRun(string verb, TextWriter error)
    {
        if (!OperatingSystem.IsLinux())
            error.WriteLine($"overlay {verb}: runs on Linux only in this version.");
        else if (!Environment.IsPrivilegedProcess)
            error.WriteLine($"overlay {verb}: reads and changes the kernel's network and must run as root (sudo overlay {verb}).");
        else
            return true;
        return false;
    }

    private static int Run(ConfigurationReading reading, bool withMemory, bool dryRun, bool json, TextWriter output, TextWriter error)
    {
        if (reading.Configuration is not { } configuration)
        {
            foreach (var line in reading.Errors.ToList())
                error.WriteLine($"overlay cleanup: {line}");
            return ExitCode.Usage;
        }

        if (!CanRun("cleanup", error))
            return ExitCode.Failure;
        var cleanup = new NodeCleanup(configuration, withMemory);
        var sign = cleanup.SignOfAgent();
        if (sign is not null && !dryRun)
        {
            error.WriteLine($"overlay cleanup: {StopIt(sign)}");
            return ExitCode.Failure;
        }

        try
        {
            var report = dryRun ? cleanup.Look() : cleanup.Run();
            if (json)
                output.WriteLine(JsonSerializer.Serialize(CleanupText.Of(report, dryRun), Indented.CleanupText));
            else
                Print(report, dryRun, OperatorText.On(output));
            foreach (var failure in report.Failures)
                error.WriteLine($"overlay cleanup: {failure} Try again, or remove it by hand.");
            if (sign is not null)
                error.WriteLine($"overlay cleanup: without --dry-run nothing would be removed now: {StopIt(sign)}");
            return report.Failures.Count == 0 ? ExitCode.Success : ExitCode.Failure;
        }
        catch (NetlinkException e)
        {
            error.WriteLine($"overlay cleanup: the kernel cannot be read: {e.Message}");
            return ExitCode.Failure;
        }
    }

    /// <summary>Prints for people: a line for each object.</summary>
    internal static void Print(CleanupReport report, bool dryRun, OperatorText text)
    {
        if (report.Objects.Count == 0)
        {
            text.Line("Nothing of Overlay is on this node.");
            return;
        }

        foreach (var found in report.Objects)
            text.Line(found.Detail.Length > 0 ? $"{found.Name}  {found.Detail}" : found.Name, 0, found.Kind.PadRight(12));
        text.Line(string.Create(CultureInfo.InvariantCulture, $"{Count(report.Objects.Count, "object")} {(dryRun ? "would be" : "of Overlay")} removed{(report.Failures.Count > 0 ? $", but for {Count(report.Failures.Count, "failure")}" : "")}; sysctls stay as they are."));
    }

    private static string Count(int count, string noun) => string.Create(CultureInfo.InvariantCulture, $"{count} {noun}{(count == 1 ? "" : "s")}");
}

/// <summary>What <c>-o json</c> prints.</summary>
/// <param name="DryRun">Whether it was a look.</param>
/// <param name="Objects">What is, or was, there.</param>
/// <param name="Failures">What could not be removed.</param>
internal sealed record CleanupText(bool DryRun, IReadOnlyList<OwnedObject> Objects, IReadOnlyList<string> Failures)
{
    /// <summary>As text.</summary>
    public static CleanupText Of(CleanupReport report, bool dryRun) => new(dryRun, report.Objects, [.. report.Failures.Select(failure => failure.ToString())]);
}

/// <summary>Source-generated JSON, camelCase.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(CleanupText))]
internal sealed partial class CleanupJson : JsonSerializerContext;
