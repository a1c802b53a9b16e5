using System.CommandLine;
using Overlay.Dataplane.Desired;

namespace Overlay.Dataplane.Cli;

/// <summary><c>overlay render</c>: what a node would get from a directory datastore, as text, without touching the kernel.</summary>
internal static class RenderCommand
{
    /// <summary>The verb.</summary>
    public static Command Create()
    {
        var output = new Option<string>("--output", "-o") { Description = "table (nft, ip and bridge text) or json", DefaultValueFactory = _ => "table" };
        output.AcceptOnlyFromAmong("table", "json");
        var command = new Command("render", "Print the nftables ruleset and the routes that this node, or the one named, would get from the datastore. Touches nothing; needs no root.") { output };
        var options = ConfigurationOptions.AddTo(command);
        command.SetAction(result => Run(options.Read(result), result.GetValue(output) == "json", result.InvocationConfiguration.Output, result.InvocationConfiguration.Error));
        return command;
    }

    // What was rejected, and what this node itself lacks, is told on stderr and makes the exit status 1, so that a folder can be checked by it; the rest is rendered all the same, as an agent would.
    private static int Run(ConfigurationReading reading, bool json, TextWriter output, TextWriter error)
    {
        if (reading.Configuration is not { } configuration)
        {
            foreach (var line in reading.Errors)
                error.WriteLine($"overlay render: {line}");
            return ExitCode.Usage;
        }

        Rendering rendering;
        try
        {
            rendering = Rendering.Of(configuration.DatastoreDirectory!, configuration);
        }
        catch (IOException e)
        {
            error.WriteLine($"overlay render: {e.Message}");
            return ExitCode.Failure;
        }

        output.Write(json ? rendering.ToJson() : rendering.ToText());
        foreach (var rejection in rendering.Rejections)
            error.WriteLine($"overlay render: {rejection}");
        foreach (var degradation in rendering.OfThisNode)
            error.WriteLine($"overlay render: {degradation}");
        return rendering.Rejections.Count == 0 && !rendering.OfThisNode.Any() ? ExitCode.Success : ExitCode.Failure;
    }
}
