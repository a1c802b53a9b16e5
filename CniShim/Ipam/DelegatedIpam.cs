using System.ComponentModel;
using System.Diagnostics;
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
internal sealed class DelegatedIpam(string type, NetworkConfiguration configuration, CniVariables variables, Func<string, string?> variable) : IIpam
{
    private static readonly string[] Inherited = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH", "CNI_ARGS", "CNI_NETNS_OVERRIDE"];

    /// <inheritdoc/>
    public IpamResult Add(Deadline deadline)
    {
        var stdout = Execute("ADD", deadline);
        try
        {
            var result = JsonElement.Parse(stdout);
            return new([.. result.List("ips").Select(IpamAddress.Read)], result.Find("dns"));
        }
        catch (JsonException error)
        {
            throw new CniException(CniErrorCode.Decoding, $"the result of the IPAM plugin {type} cannot be decoded", error.Message);
        }
    }

    /// <inheritdoc/>
    public void Undo(IpamResult given, Deadline deadline) => Execute("DEL", deadline);

    /// <inheritdoc/>
    public void Del(Deadline deadline) => Execute("DEL", deadline);

    /// <inheritdoc/>
    public void Check(IReadOnlyList<InetAddress> addresses, Deadline deadline) => Execute("CHECK", deadline);

    /// <inheritdoc/>
    public void Gc(IReadOnlyList<Attachment> valid, Deadline deadline) => Execute("GC", deadline);

    /// <inheritdoc/>
    public void Status(Deadline deadline) => Execute("STATUS", deadline);

    private string Execute(string command, Deadline deadline)
    {
        var start = new ProcessStartInfo(Find()) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var name in Inherited)
            start.Environment[name] = variable(name);
        start.Environment["CNI_COMMAND"] = command;
        try
        {
            using var process = Process.Start(start)!;
            return TalkAsync(process, command, deadline).GetAwaiter().GetResult();
        }
        catch (Win32Exception error)
        {
            throw new CniException(CniErrorCode.Io, $"cannot run the IPAM plugin {start.FileName}: {error.Message}");
        }
    }

    private async Task<string> TalkAsync(Process process, string command, Deadline deadline)
    {
        using var limit = new CancellationTokenSource(deadline.Remaining);
        try
        {
            var stdout = process.StandardOutput.ReadToEndAsync(limit.Token);
            var stderr = process.StandardError.ReadToEndAsync(limit.Token);
            try
            {
                await process.StandardInput.BaseStream.WriteAsync(configuration.Stdin, limit.Token).ConfigureAwait(false);
                process.StandardInput.Close();
            }
            catch (IOException)
            {
                // it does not care to read on: what it says counts
            }

            await process.WaitForExitAsync(limit.Token).ConfigureAwait(false);
            var said = await stdout.ConfigureAwait(false);
            return process.ExitCode == 0 ? said : throw Failure(command, process.ExitCode, said, await stderr.ConfigureAwait(false));
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw new CniException(CniErrorCode.TryAgainLater, $"the IPAM plugin {type} did not finish {command} in time and was ended");
        }
    }

    private CniException Failure(string command, int exitCode, string stdout, string stderr)
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
}
