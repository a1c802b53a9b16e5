using System.Collections;
using System.Text;
using System.Text.Json;
using Overlay.CniShim.Protocol;
using Overlay.CniShim.Spec;
using Overlay.PolicyEngine.Model;

namespace Overlay.CniShim.Ipam;

/// <summary>Runs the plugin that <c>ipam.type</c> names, as the CNI specification says ("Plugin Delegation"): same variables, same stdin.
/// It has pipes of its own and ends with our deadline: a child that kept the runtime's stdout open would hold the runtime up.</summary>
/// <param name="type">Its name.</param>
/// <param name="configuration">Its stdin.</param>
/// <param name="variables">Where to look for it.</param>
/// <param name="variable">What it inherits of CNI_*.</param>
/// <param name="total">Until when to take back what an ADD gave that came to nothing.</param>
internal sealed class DelegatedIpam(string type, NetworkConfiguration configuration, CniVariables variables, Func<string, string?> variable, Deadline total) : IIpam
{
    private static readonly string[] Inherited = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH", "CNI_ARGS", "CNI_NETNS_OVERRIDE"];

    /// <inheritdoc/>
    public IpamResult Add(Deadline deadline)
    {
        var isUnclear = true; // whether it has given addresses that we did not get to know
        try
        {
            var stdout = Execute("ADD", deadline);
            var result = JsonElement.Parse(stdout);
            var given = new IpamResult([.. result.List("ips").Select(IpamAddress.Read)], result.Find("dns"));
            isUnclear = given.Hosts.Count == 0;
            return isUnclear ? throw new CniException(CniErrorCode.Decoding, $"the IPAM plugin {type} gave no address") : given;
        }
        catch (PluginFailure)
        {
            isUnclear = false; // it has undone its own work
            throw;
        }
        catch (JsonException error)
        {
            throw new CniException(CniErrorCode.Decoding, $"the result of the IPAM plugin {type} cannot be decoded", error.Message);
        }
        finally
        {
            if (isUnclear)
                TakeBack();
        }
    }

    /// <inheritdoc/>
    /// <remarks>Of a configuration that is too long the agent hears nothing: then only the runtime's DEL gives the addresses back.</remarks>
    public AgentRequest Describe(AgentRequest add) => configuration.Stdin.Length > Delegation.MaxLength
        ? add
        : add with { Delegation = new(Encoding.UTF8.GetString(configuration.Stdin.Span), variables.Path, variables.Args) };

    /// <inheritdoc/>
    public void Persist()
    {
        // its own business
    }

    /// <inheritdoc/>
    public void Undo(Deadline deadline) => Execute("DEL", deadline);

    /// <inheritdoc/>
    public void Del(Deadline deadline) => Execute("DEL", deadline);

    /// <inheritdoc/>
    public void Check(IReadOnlyList<InetAddress> addresses, Deadline deadline) => Execute("CHECK", deadline);

    /// <inheritdoc/>
    public void Gc(IReadOnlyList<Attachment> valid, Deadline deadline) => Execute("GC", deadline);

    /// <inheritdoc/>
    public void Status(Deadline deadline) => Execute("STATUS", deadline);

    // What goes wrong here must not hide why we are here.
    private void TakeBack()
    {
        try
        {
            Execute("DEL", total);
        }
        catch (CniException)
        {
            // the runtime's DEL asks it again
        }
    }

    // Most plugins know our version. One that does not says so by its own error; then it is asked in the highest version that both know. Of GC and STATUS an old one has never heard, and what it says then
    // depends on what else it misses: so it is asked what it knows.
    private string Execute(string command, Deadline deadline)
    {
        try
        {
            return Run(command, command == "CHECK" ? configuration.StdinOf(configuration.CniVersion) : configuration.Stdin, deadline);
        }
        catch (PluginFailure failure) when (failure.Code == CniErrorCode.IncompatibleVersion || command is "GC" or "STATUS")
        {
            if (Known(deadline) is not { } known)
                throw;
            if (CniVersion.Supported.LastOrDefault(known.Contains) is { } newest && !CniVersion.Has(newest, command))
                return ""; // nothing to ask
            if (failure.Code != CniErrorCode.IncompatibleVersion
                || CniVersion.Supported.LastOrDefault(version => known.Contains(version) && !CniVersion.IsAtLeast(version, configuration.CniVersion)) is not { } version)
                throw;
            return Run(command, configuration.StdinOf(version), deadline);
        }
    }

    // Null when it does not even say that.
    private List<string>? Known(Deadline deadline)
    {
        try
        {
            return [.. JsonElement.Parse(Run("VERSION", configuration.Stdin, deadline)).Texts("supportedVersions")];
        }
        catch (Exception error) when (error is PluginFailure or JsonException)
        {
            return null;
        }
    }

    private string Run(string command, ReadOnlyMemory<byte> stdin, Deadline deadline)
    {
        var program = Find();
        var environment = Environment.GetEnvironmentVariables().Cast<DictionaryEntry>().ToDictionary(entry => (string)entry.Key, entry => (string?)entry.Value);
        foreach (var name in Inherited)
            environment[name] = variable(name);
        environment["CNI_COMMAND"] = command;
        try
        {
            var outcome = ChildProgram.Run(program, [.. environment.Where(entry => entry.Value is not null).Select(entry => $"{entry.Key}={entry.Value}")], stdin, command is "ADD" or "VERSION", deadline)
                ?? throw new CniException(CniErrorCode.TryAgainLater, $"the IPAM plugin {type} did not finish {command} in time and was ended");
            return outcome.ExitCode == 0 ? outcome.Stdout : throw Failure(command, outcome.ExitCode, outcome.Stdout, outcome.Stderr);
        }
        catch (IOException error)
        {
            throw new CniException(CniErrorCode.Io, $"cannot run the IPAM plugin {program}: {error.Message}");
        }
    }

    private PluginFailure Failure(string command, int exitCode, string stdout, string stderr)
    {
        try
        {
            var error = JsonElement.Parse(stdout);
            return new(error.Number("code") ?? CniErrorCode.Internal, $"{type}: {error.Text("msg")}", error.Text("details"));
        }
        catch (JsonException)
        {
            return new(CniErrorCode.Internal, $"the IPAM plugin {type} failed {command} with exit code {exitCode}", stderr.Trim());
        }
    }

    private string Find()
    {
        if (type.Contains('/', StringComparison.Ordinal))
            throw new CniException(CniErrorCode.InvalidConfiguration, $"invalid ipam.type \"{type}\": it is the name of a plugin, not a path");
        return variables.Path.Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries)
            .Select(folder => Path.Combine(folder, type))
            .FirstOrDefault(File.Exists)
            ?? throw new CniException(CniErrorCode.InvalidConfiguration, $"the IPAM plugin \"{type}\" (ipam.type) is in none of CNI_PATH {variables.Path}");
    }

    /// <summary>The plugin ran and said no.</summary>
    private sealed class PluginFailure(int code, string msg, string details) : CniException(code, msg, details);
}
