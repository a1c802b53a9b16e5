using System.CommandLine;
using Overlay.Dataplane.Cli;

var root = new RootCommand("Connects and protects the pods of a Kubernetes node: VXLAN, dual stack, NetworkPolicy in nftables.")
{
    AgentCommand.Create(),
    RenderCommand.Create(),
    DemoCommand.Create(),
};
var invocation = root.Parse(args.Length == 0 ? ["--help"] : args);
if (invocation.Errors.Count == 0)
    return await invocation.InvokeAsync(new() { ProcessTerminationTimeout = TimeSpan.FromSeconds(30) }); // Whoever is interrupted may clean up.

var verb = invocation.CommandResult.Command is RootCommand ? "overlay" : $"overlay {invocation.CommandResult.Command.Name}";

// A mistyped verb is reported twice, as itself and as a verb that is missing; what was typed is the clearer one, and the last.
await Console.Error.WriteLineAsync($"{verb}: {invocation.Errors[^1].Message} See {verb} --help.");
return ExitCode.Usage;
