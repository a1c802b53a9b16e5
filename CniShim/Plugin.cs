using System.Buffers;
using System.Text.Json;
using Overlay.CniShim.Protocol;
using Overlay.CniShim.Spec;

namespace Overlay.CniShim;

/// <summary>One call of the plugin from the first variable to the exit code. Whatever happens, stdout gets one JSON document, or nothing when the verb has no result.</summary>
/// <param name="environment">The world.</param>
internal sealed class Plugin(CniEnvironment environment)
{
    private string cniVersion = CniVersion.Latest;
    private Deadline deadline;

    /// <summary>Does what CNI_COMMAND says.</summary>
    /// <returns>The exit code.</returns>
    public int Run()
    {
        if (environment.Variable("CNI_COMMAND") is not { Length: > 0 } command)
        {
            environment.Say(CniVersion.About.TrimEnd());
            return 0;
        }

        try
        {
            deadline = environment.Deadlines.Of(command);
            if (command == "VERSION")
                Print(WriteVersion);
            else
                Call(command);
            return 0;
        }
        catch (Exception error)
        {
            // the runtime understands a document, not a stack: even our own mistakes have to reach it as one
            Report(AsCni(error));
            return 1;
        }
    }

    private static CniException AsCni(Exception error) => error switch
    {
        CniException own => own,

        // keys are looked at when they are needed: whoever stumbles over one, it was on stdin
        JsonException => new(CniErrorCode.Decoding, $"error unmarshall network config: {error.Message}"),
        IOException or UnauthorizedAccessException => new(CniErrorCode.Io, error.Message),
        _ => new(CniErrorCode.Internal, $"overlay-cni failed: {error.Message}", error.ToString()),
    };

    private void Report(CniException error)
    {
        try
        {
            Print(json => error.Write(json, cniVersion));
        }
        catch (CniException)
        {
            environment.Say(error.Message); // the runtime does not listen, or it is what we could not tell it
        }
    }

    private void Call(string command)
    {
        var variables = ReadVariables(command);
        var configuration = ReadConfiguration();
        CniVersion.Require(configuration.CniVersion, command);
        configuration.Check();
        if (configuration.Type == Loopback.Type)
        {
            CallLoopback(new(environment, variables, configuration), command);
            return;
        }

        var verbs = new Verbs(environment, variables, configuration, deadline);
        switch (command)
        {
            case "ADD":
                verbs.Add(result => Print(result.Write));
                break;
            case "DEL":
                verbs.Del();
                break;
            case "CHECK":
                verbs.Check();
                break;
            case "GC":
                verbs.Gc();
                break;
            default:
                verbs.Status();
                break;
        }
    }

    // Even what is wrong with them is told in the version that the runtime speaks, if stdin says it in time. Nobody who calls this by hand is kept waiting.
    private CniVariables ReadVariables(string command)
    {
        try
        {
            return CniVariables.Read(command, environment.Variable);
        }
        catch (CniException)
        {
            try
            {
                if (environment.Stdin is DescriptorStream { IsTerminal: false })
                    ReadConfiguration();
            }
            catch (Exception error) when (error is CniException or JsonException)
            {
                // the variables come first
            }

            throw;
        }
    }

    private NetworkConfiguration ReadConfiguration()
    {
        var configuration = NetworkConfiguration.Read(environment.Stdin, deadline);
        if (CniVersion.IsSupported(configuration.CniVersion))
            cniVersion = configuration.CniVersion; // errors, too, from here on
        return configuration;
    }

    // Its other verbs have nothing to do.
    private void CallLoopback(Loopback loopback, string command)
    {
        if (command == "ADD")
            Print(loopback.Add());
        else if (command == "CHECK")
            loopback.Check();
    }

    // In one write, so that nobody can read half of it.
    private void Print(Action<Utf8JsonWriter> document)
    {
        var buffer = new ArrayBufferWriter<byte>(1024);
        using (var json = new Utf8JsonWriter(buffer, JsonEscaping.Options))
            document(json);
        buffer.Write("\n"u8);
        try
        {
            if (environment.Stdout.CanTimeout)
                environment.Stdout.WriteTimeout = deadline.Milliseconds;
            environment.Stdout.Write(buffer.WrittenSpan);
            environment.Stdout.Flush();
        }
        catch (Exception error) when (error is IOException or TimeoutException)
        {
            throw new CniException(CniErrorCode.Io, $"the result cannot be written to stdout: {error.Message}");
        }
    }

    private static void WriteVersion(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteString("cniVersion", CniVersion.Latest);
        json.WriteStartArray("supportedVersions");
        foreach (var version in CniVersion.Supported)
            json.WriteStringValue(version);
        json.WriteEndArray();
        json.WriteEndObject();
    }
}
