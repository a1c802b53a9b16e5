using System.CommandLine;
using System.Net.Sockets;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Operator;

namespace Overlay.Dataplane.Cli;

/// <summary>What the verbs that ask the running agent have in common: where it listens, how the answer is printed, and what goes wrong.</summary>
internal sealed class AgentQuestion
{
    private const int Interrupted = 130;

    private readonly Option<string?> _config = new("--config")
    {
        Description = $"Configuration file of the agent, for its socket (default {ConfigurationReader.DefaultPath})", HelpName = "FILE",
    };

    private readonly Option<string?> _socket = new("--socket") { Description = "Where the agent listens (default /run/overlay/agent.sock, or as configured)", HelpName = "PATH" };
    private readonly Option<string> _output = new("--output", "-o") { Description = "table or json", DefaultValueFactory = _ => "table" };

    private AgentQuestion() => _output.AcceptOnlyFromAmong("table", "json");

    /// <summary>Adds the options to a verb.</summary>
    public static AgentQuestion AddTo(Command command)
    {
        var question = new AgentQuestion();
        command.Add(question._config);
        command.Add(question._socket);
        command.Add(question._output);
        return question;
    }

    /// <summary>Asks the agent and prints its answer.</summary>
    /// <param name="result">The command line.</param>
    /// <param name="request">What to ask.</param>
    /// <param name="pick">The part of the answer that is asked for.</param>
    /// <param name="json">How that part is written.</param>
    /// <param name="print">How it is printed for people.</param>
    /// <param name="exitCode">What it means.</param>
    /// <param name="cancellation">Ctrl-C.</param>
    public async Task<int> AskAsync<T>(
        ParseResult result,
        OperatorRequest request,
        Func<OperatorAnswer, T?> pick,
        Func<OperatorJson, JsonTypeInfo<T>> json,
        Action<T, OperatorText> print,
        Func<T, int> exitCode,
        CancellationToken cancellation)
        where T : class
    {
        var (output, error) = (result.InvocationConfiguration.Output, result.InvocationConfiguration.Error);
        var verb = $"overlay {result.CommandResult.Command.Name}";
        if (Configuration(result) is not { } configuration)
            return ExitCode.Usage;

        try
        {
            var socket = configuration.Socket;
            var answer = pick(await new AgentConnection(socket).AskAsync(request, cancellation))
                ?? throw new OperatorException($"The agent at {socket} answered something else; it is of another version than this program. Restart it.");
            if (IsJson(result))
                await output.WriteLineAsync(JsonSerializer.Serialize(answer, json(Indented)));
            else
                print(answer, OperatorText.On(output));
            return exitCode(answer);
        }
        catch (OperationCanceledException)
        {
            await error.WriteLineAsync($"{verb}: interrupted.");
            return Interrupted;
        }
        catch (Exception exception) when (exception is OperatorException or SocketException or IOException)
        {
            await error.WriteLineAsync($"{verb}: {exception.Message}");
            return ExitCode.Failure;
        }
    }

    private static OperatorJson Indented { get; } =
        new(new(OperatorJson.Default.Options) { WriteIndented = true, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });

    /// <summary>The configuration that says where the agent is; null when it is wrong, which is told.</summary>
    public OverlayConfiguration? Configuration(ParseResult result)
    {
        var flags = new Dictionary<string, string>(StringComparer.Ordinal);
        if (result.GetValue(_socket) is { } given)
            flags["socket"] = given;
        var reading = ConfigurationReader.Read(result.GetValue(_config), ConfigurationOptions.Variables(), flags);
        if (reading.Configuration is null)
        {
            foreach (var line in reading.Errors)
                result.InvocationConfiguration.Error.WriteLine($"overlay {result.CommandResult.Command.Name}: {line}");
        }

        return reading.Configuration;
    }

    /// <summary>Whether the answer is wanted as JSON.</summary>
    public bool IsJson(ParseResult result) => result.GetValue(_output) == "json";
}
