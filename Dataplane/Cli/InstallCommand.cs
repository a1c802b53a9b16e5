using System.CommandLine;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Installation;

namespace Overlay.Dataplane.Cli;

/// <summary>
/// <c>overlay install</c>: puts Overlay onto a node without containers. With <c>--cni-bin-dir</c> the plugin alone, where container runtimes look for it: that is what a DaemonSet's init container runs, whose image
/// holds no shell.
/// </summary>
internal static class InstallCommand
{
    /// <summary>Where programs go when nobody says otherwise.</summary>
    internal const string DefaultPrefix = "/usr/local";

    /// <summary>The verb.</summary>
    public static Command Create()
    {
        Option<string?> folder = new("--cni-bin-dir") { Description = "only the plugin, into this folder (as a runtime is configured: /opt/cni/bin); made when it is not there", HelpName = "DIR" };
        var place = InstallationPlace.Options();
        var command = new Command(
            "install",
            "Put Overlay onto this node, without containers: overlay, overlay-cni (which must stand beside this program; with a loopback that is a link to it where there is none), a systemd unit, man pages, shell completion, and a configuration where there is none. Every file is replaced in one step, a second time changes nothing, and another version replaces this one while pods keep their connections. It starts nothing: it says what to run. With --cni-bin-dir only the plugin is put there.")
        {
            folder, place.Prefix, place.Root,
        };
        command.SetAction(result =>
        {
            var (output, error) = (result.InvocationConfiguration.Output, result.InvocationConfiguration.Error);
            if (result.GetValue(folder) is not { } target)
                return RunAll(AppContext.BaseDirectory, InstallationPlace.Of(result, place.Prefix, place.Root), prefix => Reference.Files(result.RootCommandResult.Command, prefix), output, error);
            if (result.GetResult(place.Prefix) is { Implicit: false } || result.GetResult(place.Root) is { Implicit: false })
            {
                error.WriteLine("overlay install: --cni-bin-dir installs the plugin alone, and goes with neither --prefix nor --root; for the whole, the folder is cni.binDir of the configuration.");
                return ExitCode.Usage;
            }

            return Run(AppContext.BaseDirectory, target, output, error);
        });
        return command;
    }

    /// <summary>Installs the plugin alone; a second time changes nothing.</summary>
    /// <param name="source">The folder that has overlay-cni.</param>
    /// <param name="target">The folder of the plugins.</param>
    /// <param name="output">What was done, a line each.</param>
    /// <param name="error">Why it was not.</param>
    internal static int Run(string source, string target, TextWriter output, TextWriter error) => Try("install", error, () =>
    {
        if (!OperatingSystem.IsWindows())
            new NodeInstallation("", DefaultPrefix, output).InstallPlugin(source, target);
        return ExitCode.Success;
    });

    /// <summary>Installs everything.</summary>
    /// <param name="source">The folder that has overlay and overlay-cni.</param>
    /// <param name="place">Where to.</param>
    /// <param name="documents">Man pages and completions.</param>
    /// <param name="output">What was done, a line each, and what to run.</param>
    /// <param name="error">Why it was not.</param>
    internal static int RunAll(string source, InstallationPlace place, Func<string, IReadOnlyList<InstalledFile>> documents, TextWriter output, TextWriter error)
    {
        var reading = place.ReadConfiguration();
        if (reading.Configuration is not { } configuration)
        {
            foreach (var line in reading.Errors.ToList())
                error.WriteLine($"overlay install: {line}");
            return ExitCode.Usage;
        }

        return Try("install", error, () =>
        {
            if (OperatingSystem.IsWindows())
                return ExitCode.Failure;
            var isUpgrade = File.Exists(place.Root + NodeInstallation.Unit);
            var isNew = new NodeInstallation(place.Root, place.Prefix, output).Install(source, configuration, documents(place.Prefix));
            if (place.Root.Length == 0)
                Advise(isUpgrade, isNew, configuration, output);
            return ExitCode.Success;
        });
    }

    private static void Advise(bool isUpgrade, bool isNew, OverlayConfiguration configuration, TextWriter output)
    {
        if (!isNew)
            return;
        if (configuration is { DatastoreDirectory: null, Kubeconfig: "" })
            output.WriteLine($"First say in {ConfigurationReader.DefaultPath} how the API server is reached (kubeconfig), and ask overlay doctor.");
        output.WriteLine("Then run:");
        output.WriteLine("  systemctl daemon-reload");
        output.WriteLine(isUpgrade ? "  systemctl restart overlay        # pods keep their connections meanwhile" : "  systemctl enable --now overlay   # comes back when this node serves");
    }

    /// <summary>Runs; what the file system refuses is one line.</summary>
    internal static int Try(string verb, TextWriter error, Func<int> run)
    {
        if (OperatingSystem.IsWindows())
        {
            error.WriteLine($"overlay {verb}: this version installs on Linux only.");
            return ExitCode.Failure;
        }

        try
        {
            return run();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            error.WriteLine($"overlay {verb}: {e.Message}");
            return ExitCode.Failure;
        }
    }
}

/// <summary>Where an installation is.</summary>
/// <param name="Root">Before every path; empty for this machine.</param>
/// <param name="Prefix">Where programs and documents go, without the root.</param>
internal sealed record InstallationPlace(string Root, string Prefix)
{
    /// <summary>The options.</summary>
    public static (Option<string> Prefix, Option<string> Root) Options() =>
    (
        new("--prefix") { Description = "where bin and share are", HelpName = "DIR", DefaultValueFactory = _ => InstallCommand.DefaultPrefix },
        new("--root") { Description = "a folder that stands for / (as DESTDIR does): to make an image or a package", HelpName = "DIR", DefaultValueFactory = _ => "/" }
    );

    /// <summary>As a command line says.</summary>
    public static InstallationPlace Of(ParseResult result, Option<string> prefix, Option<string> root) =>
        new(Path.GetFullPath(result.GetValue(root)!).TrimEnd('/'), "/" + result.GetValue(prefix)!.Trim('/'));

    /// <summary>The configuration that is there, or the defaults.</summary>
    public ConfigurationReading ReadConfiguration()
    {
        var path = Root + ConfigurationReader.DefaultPath;
        return Root.Length == 0 || File.Exists(path)
            ? ConfigurationReader.Read(Root.Length == 0 ? null : path, ConfigurationOptions.Variables(), new Dictionary<string, string>())
            : ConfigurationReader.Read(path, null, ConfigurationOptions.Variables(), new Dictionary<string, string>());
    }
}
