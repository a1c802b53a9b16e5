using System.CommandLine;
using Overlay.Dataplane.Cli;

var root = new RootCommand("Connects and protects the pods of a Kubernetes node: VXLAN, IP-in-IP or plain routes, dual stack, NetworkPolicy in nftables.")
{
    AgentCommand.Create(),
    StatusCommand.Create(),
    ExplainCommand.Create(),
    VerifyCommand.Create(),
    CaptureCommand.Create(),
    DoctorCommand.Create(),
    RenderCommand.Create(),
    InstallCommand.Create(),
    CleanupCommand.Create(),
    UninstallCommand.Create(),
    CompletionCommand.Create(),
    DocumentsCommand.Create(),
    DemoCommand.Create(),
};
var invocation = root.Parse(args.Length == 0 ? ["--help"] : args);
if (invocation.Errors.Count == 0)
    return await invocation.InvokeAsync(new() { ProcessTerminationTimeout = TimeSpan.FromSeconds(30) }); // Whoever is interrupted may clean up.

var verb = invocation.CommandResult.Command is RootCommand ? "overlay" : $"overlay {invocation.CommandResult.Command.Name}";

// One mistake may be reported as several: a mistyped verb also as a missing one, a mistyped flag also by its value. What was typed first is the clearest.
var error = invocation.Errors.FirstOrDefault(error => invocation.UnmatchedTokens.Any(token => error.Message.Contains($"'{token}'", StringComparison.Ordinal))) ?? invocation.Errors[0];
await Console.Error.WriteLineAsync($"{verb}: {string.Join(' ', error.Message.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries))} See {verb} --help.");
return ExitCode.Usage;
