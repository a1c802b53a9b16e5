using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Overlay.CniShim.Protocol;
using Attachment = Overlay.Dataplane.Desired.Attachment;

namespace Overlay.Dataplane.Cni;

/// <summary>Our own plugin as a process of the agent's: its DEL, for a pod that no runtime knows any more and whose addresses only the plugin that <c>ipam.type</c> names can take back.</summary>
internal static class PluginProcess
{
    // Longer than a DEL of the plugin lives: see its deadlines.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    /// <summary>Calls DEL as the runtime called ADD, without a namespace: that is gone. It has pipes of its own.</summary>
    /// <param name="orphan">Whose <see cref="Attachment.Delegation"/> says how.</param>
    /// <param name="began">A pod of the same container that was wired after this moment (<see cref="BootClock"/>) is left alone, and so are its addresses.</param>
    /// <param name="stop">Ends the plugin, too.</param>
    /// <returns>A sentence that says why it failed; null when it did not.</returns>
    public static async Task<string?> DeleteAsync(Attachment orphan, long began, CancellationToken stop)
    {
        var delegation = orphan.Delegation ?? throw new ArgumentException($"the addresses of container {orphan.ContainerId} are files.", nameof(orphan));
        if (Find(delegation) is not { } program)
            return $"the plugin that wired container {orphan.ContainerId} is in none of CNI_PATH {delegation.Path} any more";
        var start = new ProcessStartInfo(program) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["CNI_COMMAND"] = "DEL";
        start.Environment["CNI_CONTAINERID"] = orphan.ContainerId;
        start.Environment["CNI_NETNS"] = "";
        start.Environment["CNI_IFNAME"] = orphan.IfName;
        start.Environment["CNI_PATH"] = delegation.Path;
        start.Environment["CNI_ARGS"] = delegation.Args;
        start.Environment[Delegation.BeganVariable] = began.ToString(CultureInfo.InvariantCulture);
        try
        {
            using var process = Process.Start(start)!;
            return await ConverseAsync(process, delegation.Configuration, stop).ConfigureAwait(false) is { } fault ? $"{program} DEL of container {orphan.ContainerId}: {fault}" : null;
        }
        catch (Win32Exception error)
        {
            return $"{program} cannot be run: {error.Message}";
        }
    }

    private static async Task<string?> ConverseAsync(Process process, string configuration, CancellationToken stop)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(stop);
        deadline.CancelAfter(Patience);
        try
        {
            var (output, error) = (process.StandardOutput.ReadToEndAsync(deadline.Token), process.StandardError.ReadToEndAsync(deadline.Token));
            await WriteAsync(process.StandardInput, configuration, deadline.Token).ConfigureAwait(false);
            await Task.WhenAll(output, error, process.WaitForExitAsync(deadline.Token)).ConfigureAwait(false);
            return process.ExitCode == 0 ? null : $"exit code {process.ExitCode}: {(await output.ConfigureAwait(false) + await error.ConfigureAwait(false)).ReplaceLineEndings(" ").Trim()}";
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            stop.ThrowIfCancellationRequested();
            return $"it did not end in {Patience.TotalSeconds:0} s and was ended";
        }
    }

    // It need not read: what it says counts.
    private static async Task WriteAsync(StreamWriter stdin, string text, CancellationToken cancellation)
    {
        try
        {
            await stdin.WriteAsync(text.AsMemory(), cancellation).ConfigureAwait(false);
            stdin.Close();
        }
        catch (IOException)
        {
            // it has closed its end
        }
    }

    // As a runtime does: the configuration's type, in CNI_PATH.
    private static string? Find(Delegation delegation)
    {
        try
        {
            var type = Path.GetFileName(JsonElement.Parse(delegation.Configuration).Text("type"));
            return type.Length == 0 ? null : delegation.Path.Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries).Select(folder => Path.Combine(folder, type)).FirstOrDefault(File.Exists);
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
