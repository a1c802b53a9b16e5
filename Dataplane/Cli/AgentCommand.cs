using System.CommandLine;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Overlay.Dataplane.Desired;
using Serilog;
using Serilog.Core;
using Serilog.Events;
using Serilog.Filters;
using Serilog.Formatting.Compact;

namespace Overlay.Dataplane.Cli;

/// <summary><c>overlay agent</c>: runs this node in the foreground.</summary>
internal static class AgentCommand
{
    private const string TextTemplate = "{Timestamp:yyyy-MM-ddTHH:mm:ss.fffZ} {Level:u3} [{EventId}] {Message:lj}{NewLine}{Exception}";

    /// <summary>The verb.</summary>
    public static Command Create()
    {
        var command = new Command("agent", "Run the node agent in the foreground: connects this node's pods and enforces their policies until it is stopped. What it put into the kernel stays in force when it stops.");
        var options = ConfigurationOptions.AddTo(command);
        command.SetAction((result, cancellation) => RunAsync(() => options.Read(result), result.InvocationConfiguration.Error, cancellation));
        return command;
    }

    private static async Task<int> RunAsync(Func<ConfigurationReading> read, TextWriter error, CancellationToken cancellation)
    {
        var reading = read();
        if (reading.Configuration is not { } configuration)
        {
            await error.WriteLineAsync(string.Join(Environment.NewLine, reading.Errors.Select(line => $"overlay agent: {line}")));
            return ExitCode.Usage;
        }

        if (!OperatingSystem.IsLinux())
        {
            await error.WriteLineAsync("overlay agent: the agent runs on Linux only in this version.");
            return ExitCode.Failure;
        }

        if (!Environment.IsPrivilegedProcess)
        {
            await error.WriteLineAsync("overlay agent: the agent changes the kernel's network and must run as root (sudo overlay agent).");
            return ExitCode.Failure;
        }

        if (configuration.DatastoreDirectory is not null && !Directory.Exists(configuration.DatastoreDirectory))
        {
            await error.WriteLineAsync($"overlay agent: the datastore's folder {configuration.DatastoreDirectory} does not exist; create it, or set datastore to another.");
            return ExitCode.Failure;
        }

        await using var log = CreateLog(configuration);
        using var changes = new ConfigurationWatch(read, reading, log);
        var agent = new NodeAgent(configuration, changes, log);
        using var host = CreateHost(agent, log);
        try
        {
            await host.RunAsync(cancellation);
        }
        catch (Exception e) when (ReferenceEquals(e, agent.Failure))
        {
            // Told below, in one line.
        }

        if (agent.Failure is null)
            return ExitCode.Success;
        await error.WriteLineAsync($"overlay agent: the agent ended: {agent.Failure.Message}");
        return ExitCode.Failure;
    }

    private static IHost CreateHost(NodeAgent agent, Logger log)
    {
        // The empty builder: the default one watches the whole working directory for configuration files.
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { ApplicationName = "overlay", ContentRootPath = AppContext.BaseDirectory });
        builder.Services.AddSerilog(log);
        builder.Services.AddHostedService(_ => agent);
        builder.Services.Configure<HostOptions>(options => options.ShutdownTimeout = TimeSpan.FromSeconds(10));
        return builder.Build();
    }

    // The names are those of Kubernetes' components; Serilog has its own for the two ends.
    private static LogEventLevel Level(string name) => name switch
    {
        "trace" => LogEventLevel.Verbose,
        "critical" => LogEventLevel.Fatal,
        _ => Enum.Parse<LogEventLevel>(name, ignoreCase: true),
    };

    private static Logger CreateLog(OverlayConfiguration configuration)
    {
        var log = new LoggerConfiguration()
            .MinimumLevel.Is(Level(configuration.LogLevel))
            .MinimumLevel.Override("Microsoft", LogEventLevel.Warning)

            // The host would tell of a failed agent with a stack trace; we do, in one line.
            .Filter.ByExcluding(Matching.FromSource("Microsoft.Extensions.Hosting"))
            .Enrich.WithProperty("EventId", 0);
        return configuration.LogFormat == LogFormat.Json
            ? log.WriteTo.Console(new CompactJsonFormatter()).CreateLogger()
            : log.WriteTo.Console(outputTemplate: TextTemplate, formatProvider: System.Globalization.CultureInfo.InvariantCulture).CreateLogger();
    }
}
