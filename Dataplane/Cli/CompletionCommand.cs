using System.CommandLine;

namespace Overlay.Dataplane.Cli;

/// <summary><c>overlay completion</c>: the script by which a shell completes command lines.</summary>
internal static class CompletionCommand
{
    /// <summary>The verb.</summary>
    public static Command Create()
    {
        Argument<string> shell = new("shell") { Description = "bash, zsh or fish", HelpName = "SHELL" };
        shell.AcceptOnlyFromAmong([.. ShellCompletion.Paths.Keys]);
        var command = new Command("completion", "Print the script by which a shell completes command lines of overlay: source <(overlay completion bash). overlay install puts it where shells look for it.") { shell };
        command.SetAction(result => result.InvocationConfiguration.Output.Write(ShellCompletion.Of(result.GetValue(shell)!)));
        return command;
    }
}
