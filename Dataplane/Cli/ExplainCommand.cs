using System.CommandLine;
using System.Globalization;
using Overlay.Dataplane.Operator;

namespace Overlay.Dataplane.Cli;

/// <summary><c>overlay explain</c>: whether a flow passes, and which policy and rule says so.</summary>
internal static class ExplainCommand
{
    private const int DeniedExitCode = 3;

    /// <summary>The verb.</summary>
    public static Command Create()
    {
        Option<string> from = new("--from") { Description = "who sends: NAMESPACE/POD, or an address", Required = true, HelpName = "POD|IP" };
        Option<string> to = new("--to") { Description = "who receives: NAMESPACE/POD, or an address", Required = true, HelpName = "POD|IP" };
        Option<string> protocol = new("--protocol") { Description = "tcp, udp, sctp or icmp (an echo request)", DefaultValueFactory = _ => "tcp" };
        protocol.AcceptOnlyFromAmong("tcp", "udp", "sctp", "icmp");
        Option<string> port = new("--port") { Description = "destination port: a number, or the name of a container port of the receiver; none for icmp", HelpName = "PORT" };
        Option<bool> exitCode = new("--exit-code") { Description = $"exit with {DeniedExitCode} when the policies deny it" };
        var command = new Command(
            "explain",
            "Say whether a flow passes, and by which tier, policy, direction and rule: once from the policies, once from the rules read back from this node's kernel. "
            + $"Exits with 0 when the two agree, whether they allow it or deny it (see --exit-code), with 1 when they disagree or there is no answer.")
        {
            from, to, protocol, port, exitCode,
        };
        var question = AgentQuestion.AddTo(command);
        command.Validators.Add(result =>
        {
            var (wants, given) = (result.GetValue(protocol) != "icmp", result.GetValue(port));
            if (wants && given is null)
                result.AddError("Option '--port' is required but for --protocol icmp.");
            else if (!wants && given is not null)
                result.AddError("Option '--port' makes no sense with --protocol icmp, which has no ports.");
            else if (given is not null && (given.Length == 0 || (given.All(char.IsAsciiDigit) && !(ushort.TryParse(given, CultureInfo.InvariantCulture, out var number) && number > 0))))
                result.AddError($"Option '--port': '{given}' is no port: a number from 1 to 65535, or a name.");
        });
        command.SetAction((result, cancellation) => question.AskAsync(
            result,
            new OperatorRequest
            {
                Command = OperatorRequest.Explain,
                From = result.GetValue(from)!,
                To = result.GetValue(to)!,
                Protocol = result.GetValue(protocol)!,
                Port = result.GetValue(port) ?? "",
            },
            answer => answer.Explanation,
            json => json.Explanation,
            Print,
            answer => !answer.Agrees ? ExitCode.Failure : result.GetValue(exitCode) && !answer.Allowed ? DeniedExitCode : ExitCode.Success,
            cancellation));
        return command;
    }

    /// <summary>Prints for people.</summary>
    internal static void Print(Explanation explanation, OperatorText text)
    {
        foreach (var flow in explanation.Flows)
        {
            text.Line($"{flow.Family} {flow.Protocol}{(flow.Port > 0 ? string.Create(CultureInfo.InvariantCulture, $"/{flow.Port}") : "")}: {(flow.Allowed ? "allowed" : "denied")}");
            text.Line(Print(flow.From), 2, "from     ");
            text.Line(Print(flow.To), 2, "to       ");
            Print("egress", flow.Egress, explanation.Node, text);
            Print("ingress", flow.Ingress, explanation.Node, text);
            text.Line();
        }

        foreach (var note in explanation.Notes)
            text.Line(note, 0, "note: ");
        if (!explanation.Agrees)
            text.Line($"POLICIES AND KERNEL DISAGREE on node {explanation.Node}: somebody changed the table inet overlay, or this is a defect of Overlay. 'overlay verify' lists what differs; the agent repairs it at its next resync.");
    }

    private static void Print(string name, ExplainedHalf half, string node, OperatorText text)
    {
        text.Line(half.Policies.Reason, 2, name.PadRight(9));
        foreach (var miss in half.Policies.Misses)
            text.Line(miss, 4, "- ");
        if (half.AskOn is { } other)
            text.Line($"judged by the kernel of {other}: ask there, too", 4, "kernel ");
        else if (half.Kernel is { } kernel)
            text.Line($"{kernel.Allowed switch { true => "accepts", false => "drops", null => "cannot be judged" }}: {kernel.Reason}", 4, $"kernel of {node} ");
        if (!half.Agrees)
            text.Line("DISAGREES with the policies", 4, "!!! ");
    }

    private static string Print(FlowEnd end) => $"{(end.Pod is null ? "" : $"{end.Pod} ")}{end.Address}{(end.Node is null ? "" : end.Pod is null ? $" of node {end.Node}" : $" on {end.Node}")}";
}
