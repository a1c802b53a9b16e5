using System.CommandLine;
using System.Runtime.Versioning;

namespace Overlay.Dataplane.Cli;

/// <summary><c>overlay install</c>: puts the CNI plugin where container runtimes look for it. What a DaemonSet's init container runs: its image holds no shell.</summary>
internal static class InstallCommand
{
    private const string Plugin = "overlay-cni";

    /// <summary>Runtimes call a plugin of this name for every pod; overlay-cni does its work when it is called so.</summary>
    private const string Loopback = "loopback";

    private const UnixFileMode Executable = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute
        | UnixFileMode.GroupRead | UnixFileMode.GroupExecute | UnixFileMode.OtherRead | UnixFileMode.OtherExecute;

    /// <summary>The verb.</summary>
    public static Command Create()
    {
        Option<string> folder = new("--cni-bin-dir") { Description = "folder of the CNI plugins (as a runtime is configured: /opt/cni/bin); made when it is not there", HelpName = "DIR", Required = true };
        var command = new Command(
            "install",
            "Put overlay-cni, which must stand beside this program, into the folder of the CNI plugins, and a loopback that is a link to it where there is none. Runtimes see the old plugin or the new one, never a part.")
        {
            folder,
        };
        command.SetAction(result => Run(AppContext.BaseDirectory, result.GetValue(folder)!, result.InvocationConfiguration.Output, result.InvocationConfiguration.Error));
        return command;
    }

    /// <summary>Installs; a second time changes nothing.</summary>
    /// <param name="source">The folder that has overlay-cni.</param>
    /// <param name="target">The folder of the plugins.</param>
    /// <param name="output">What was done, a line each.</param>
    /// <param name="error">Why it was not.</param>
    internal static int Run(string source, string target, TextWriter output, TextWriter error)
    {
        if (OperatingSystem.IsWindows())
        {
            error.WriteLine("overlay install: this version installs on Linux only.");
            return ExitCode.Failure;
        }

        try
        {
            Directory.CreateDirectory(target);
            var (from, to) = (Path.Combine(source, Plugin), Path.Combine(target, Plugin));
            var content = File.ReadAllBytes(from);
            if (IsInstalled(to, content))
            {
                output.WriteLine($"{to} is already this one");
            }
            else
            {
                Replace(to, content);
                output.WriteLine($"{to} written");
            }

            output.WriteLine(Link(Path.Combine(target, Loopback)));
            return ExitCode.Success;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            error.WriteLine($"overlay install: {e.Message}");
            return ExitCode.Failure;
        }
    }

    [UnsupportedOSPlatform("windows")]
    private static bool IsInstalled(string path, byte[] content) =>
        new FileInfo(path) is { Exists: true, LinkTarget: null } file && file.Length == content.Length
        && File.GetUnixFileMode(path) == Executable && File.ReadAllBytes(path).AsSpan().SequenceEqual(content);

    // Under a name that no runtime calls, on the disk, and then in one step in place of the old: a call of the old one that is under way goes on,
    // and a power cut leaves one or the other.
    [UnsupportedOSPlatform("windows")]
    private static void Replace(string path, byte[] content)
    {
        var temporary = Path.Combine(Path.GetDirectoryName(path)!, $".{Path.GetFileName(path)}.tmp");
        File.Delete(temporary); // of an installation that was cut short; its mode would stay
        using (var file = new FileStream(temporary, FileMode.CreateNew, FileAccess.Write, FileShare.None))
        {
            file.Write(content);
            File.SetUnixFileMode(file.SafeFileHandle, Executable); // whatever the umask is
            file.Flush(flushToDisk: true);
        }

        File.Move(temporary, path, overwrite: true);
    }

    // A link, so that it is always the same version; it never takes the place of somebody else's.
    private static string Link(string path)
    {
        var there = new FileInfo(path);
        if (there.LinkTarget == Plugin)
            return $"{path} is already a link to {Plugin}";
        if (there.Exists && there.ResolveLinkTarget(returnFinalTarget: true) is not { Exists: false })
            return $"{path} of somebody else stays";
        File.Delete(path); // a link to nothing
        File.CreateSymbolicLink(path, Plugin);
        return $"{path} linked to {Plugin}";
    }
}
