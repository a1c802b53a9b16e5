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
    return await invocation.InvokeAsync();

var verb = invocation.CommandResult.Command is RootCommand ? "overlay" : $"overlay {invocation.CommandResult.Command.Name}";
foreach (var error in invocation.Errors)
    await Console.Error.WriteLineAsync($"{verb}: {error.Message} See {verb} --help.");
return ExitCode.Usage;
