using System.CommandLine;
using System.Globalization;
using Overlay.Dataplane.Operator;

namespace Overlay.Dataplane.Cli;

/// <summary><c>overlay verify</c>: whether the live kernel is as the agent wants it, and with <c>--policies</c> as the policies want it.</summary>
internal static class VerifyCommand
{
    /// <summary>The verb.</summary>
    public static Command Create()
    {
        Option<bool> policies = new("--policies")
        {
            Description = "also judge every class of packets that policies or rules tell apart, by the policies and by the ruleset read back from the kernel (seconds on a big cluster)",
        };
        var command = new Command(
            "verify",
            "Prove that the live kernel is as it should be: rules, sets, elements, routes, links, addresses, neighbours, forwarding entries, and that the node forwards. Lists every difference and repairs none. Exits with 1 when there is any.")
        {
            policies,
        };
        var question = AgentQuestion.AddTo(command);
        command.SetAction((result, cancellation) => question.AskAsync(
            result,
            new OperatorRequest { Command = OperatorRequest.Verify, Policies = result.GetValue(policies) },
            answer => answer.Verification,
            json => json.Verification,
            Print,
            answer => answer.Agrees ? ExitCode.Success : ExitCode.Failure,
            cancellation));
        return command;
    }

    /// <summary>Prints for people.</summary>
    internal static void Print(Verification verification, OperatorText text)
    {
        foreach (var difference in verification.Differences)
            text.Line(difference, 0, "! ");
        var (chains, rules, sets, elements, rows) = verification.Checked;
        text.Line(string.Create(CultureInfo.InvariantCulture, $"{Count(verification.Differences.Count)} on node {verification.Node}: compared {chains} chains with {rules} rules, {sets} sets with {elements} elements, {rows} links, addresses, neighbours, forwarding entries and routes; and whether the node forwards."));
        if (verification.Policies is not { } policies)
            return;
        foreach (var example in policies.Examples.SelectMany(example => example.Split('\n').Select((line, index) => (line, index))))
            text.Line(example.line.Trim(), example.index == 0 ? 0 : 4, example.index == 0 ? "! " : "");
        if (policies.Disagreeing > policies.Examples.Count)
            text.Line(string.Create(CultureInfo.InvariantCulture, $"and {policies.Disagreeing - policies.Examples.Count} more"), 2);
        text.Line(string.Create(CultureInfo.InvariantCulture, $"Policies and kernel {(policies.Disagreeing == 0 ? "agree" : "DISAGREE")} on {(policies.Disagreeing == 0 ? policies.Classes : policies.Disagreeing)} of {policies.Classes} classes of packets."));
    }

    private static string Count(int differences) => differences switch
    {
        0 => "Nothing differs",
        1 => "1 difference",
        _ => string.Create(CultureInfo.InvariantCulture, $"{differences} differences"),
    };
}
