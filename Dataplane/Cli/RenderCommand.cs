using System.CommandLine;
using Overlay.Dataplane.Desired;

namespace Overlay.Dataplane.Cli;

/// <summary><c>overlay render</c>: what a node would get from the datastore, as text, without touching the kernel.</summary>
internal static class RenderCommand
{
    /// <summary>The verb.</summary>
    public static Command Create()
    {
        var output = new Option<string>("--output", "-o") { Description = "table (nft, ip and bridge text) or json", DefaultValueFactory = _ => "table" };
        output.AcceptOnlyFromAmong("table", "json");
        var command = new Command("render", "Print the nftables ruleset and the routes that this node, or the one named, would get from the datastore. Touches nothing; needs no root.") { output };
        var options = ConfigurationOptions.AddTo(command);
        command.SetAction((result, cancellation) => RunAsync(options.Read(result), result.GetValue(output) == "json", result.InvocationConfiguration.Output, result.InvocationConfiguration.Error, cancellation));
        return command;
    }

    // What was rejected, and what this node itself lacks, is told on stderr and makes the exit status 1, so that a folder can be checked by it; the rest is rendered all the same, as an agent would.
    private static async Task<int> RunAsync(ConfigurationReading reading, bool json, TextWriter output, TextWriter error, CancellationToken cancellation)
    {
        if (reading.Configuration is not { } configuration)
        {
            foreach (var line in reading.Errors.ToList())
                await error.WriteLineAsync($"overlay render: {line}");
            return ExitCode.Usage;
        }

        Rendering rendering;
        try
        {
            rendering = configuration.DatastoreDirectory is { } folder ? Rendering.OfFolder(folder, configuration) : await Rendering.OfApiServerAsync(configuration, cancellation);
        }
        catch (IOException e)
        {
            await error.WriteLineAsync($"overlay render: {e.Message}");
            return ExitCode.Failure;
        }

        await output.WriteAsync(json ? rendering.ToJson() : rendering.ToText());
        foreach (var rejection in rendering.Rejections.ToList())
            await error.WriteLineAsync($"overlay render: {rejection}");
        foreach (var degradation in rendering.OfThisNode)
            await error.WriteLineAsync($"overlay render: {degradation}");
        return rendering.Rejections.Count == 0 && !rendering.OfThisNode.Any() ? ExitCode.Success : ExitCode.Failure;
    }
}
