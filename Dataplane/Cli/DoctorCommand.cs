using System.CommandLine;
using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Doctor;

namespace Overlay.Dataplane.Cli;

/// <summary><c>overlay doctor</c>: whether this machine can be a node, before an agent runs and after.</summary>
internal static class DoctorCommand
{
    private const int Interrupted = 130;

    private static DoctorJson Indented { get; } =
        new(new(DoctorJson.Default.Options) { WriteIndented = true, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });

    /// <summary>The verb.</summary>
    public static Command Create()
    {
        var output = new Option<string>("--output", "-o") { Description = "table or json", DefaultValueFactory = _ => "table" };
        output.AcceptOnlyFromAmong("table", "json");
        var command = new Command(
            "doctor",
            "Look at all that this node needs: kernel, sysctls, ports in use, addresses and MTU, checksum offload, leftovers of other network providers, datastore, other nodes, disk and clock. Each line passes, warns or fails, with the remedy. Before the agent is installed, and after. Changes nothing. Exits with 1 when something fails.")
        {
            output,
        };
        var options = ConfigurationOptions.AddTo(command);
        command.SetAction((result, cancellation) => RunAsync(options.Read(result), result.GetValue(output) == "json", result.InvocationConfiguration.Output, result.InvocationConfiguration.Error, cancellation));
        return command;
    }

    private static async Task<int> RunAsync(ConfigurationReading reading, bool json, TextWriter output, TextWriter error, CancellationToken cancellation)
    {
        if (reading.Configuration is not { } configuration)
        {
            foreach (var line in reading.Errors.ToList())
                await error.WriteLineAsync($"overlay doctor: {line}");
            return ExitCode.Usage;
        }

        if (!OperatingSystem.IsLinux())
        {
            await error.WriteLineAsync("overlay doctor: runs on Linux only in this version.");
            return ExitCode.Failure;
        }

        try
        {
            // A signal is waited for only once this task exists.
            await Task.Yield();
            var report = DoctorReport.Of(configuration.NodeName, await new Examination(configuration).RunAsync(cancellation));
            if (json)
                await output.WriteLineAsync(JsonSerializer.Serialize(report, Indented.DoctorReport));
            else
                Print(report, OperatorText.On(output));
            return report.Failed == 0 ? ExitCode.Success : ExitCode.Failure;
        }
        catch (OperationCanceledException)
        {
            await error.WriteLineAsync("overlay doctor: interrupted.");
            return Interrupted;
        }
    }

    /// <summary>Prints for people: a line for each finding, its remedy below.</summary>
    internal static void Print(DoctorReport report, OperatorText text)
    {
        var column = report.Findings.Select(finding => finding.Check.Length).DefaultIfEmpty().Max() + 2;
        foreach (var finding in report.Findings)
        {
            text.Line(finding.What, 0, $"{finding.Severity.ToString().ToLowerInvariant()}  {finding.Check.PadRight(column)}");
            if (finding.Remedy.Length > 0)
                text.Line(finding.Remedy, 6, "-> ");
        }

        text.Line(string.Create(CultureInfo.InvariantCulture, $"{report.Failed} failed, {report.Warned} {(report.Warned == 1 ? "warning" : "warnings")}, {report.Passed} passed on node {report.Node}."));
    }
}

/// <summary>What <c>overlay doctor</c> found.</summary>
/// <param name="Node">As configured.</param>
/// <param name="Failed">Number of findings of this severity.</param>
/// <param name="Warned">Number of findings of this severity.</param>
/// <param name="Passed">Number of findings of this severity.</param>
/// <param name="Findings">All of them.</param>
internal sealed record DoctorReport(string Node, int Failed, int Warned, int Passed, IReadOnlyList<Finding> Findings)
{
    /// <summary>Counts.</summary>
    public static DoctorReport Of(string node, IReadOnlyList<Finding> findings)
    {
        int Count(Severity severity) => findings.Count(finding => finding.Severity == severity);
        return new(node, Count(Severity.Fail), Count(Severity.Warn), Count(Severity.Pass), findings);
    }
}

/// <summary>Source-generated JSON, camelCase.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UseStringEnumConverter = true)]
[JsonSerializable(typeof(DoctorReport))]
internal sealed partial class DoctorJson : JsonSerializerContext;
