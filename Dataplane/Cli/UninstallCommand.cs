using System.CommandLine;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Installation;
using Overlay.Dataplane.Netlink;

namespace Overlay.Dataplane.Cli;

/// <summary><c>overlay uninstall</c>: takes off a node what <c>overlay install</c> and the agent put there.</summary>
internal static class UninstallCommand
{
    /// <summary>The verb.</summary>
    public static Command Create()
    {
        Option<bool> purge = new("--purge") { Description = "also remove a configuration that was changed" };
        Option<bool> force = new("--force") { Description = "also while pods of this node are wired: their runtime will not be able to delete them, as that needs the plugin" };
        var place = InstallationPlace.Options();
        var command = new Command(
            "uninstall",
            "Take Overlay off this node: everything that cleanup --state removes, and the files that overlay install put there, but for those that were changed since. Refuses while an agent runs here, and while pods are wired: drain the node first. With --root only the files.")
        {
            purge, force, place.Prefix, place.Root,
        };
        command.SetAction(result => Run(InstallationPlace.Of(result, place.Prefix, place.Root), result.GetValue(purge), result.GetValue(force), result.InvocationConfiguration.Output, result.InvocationConfiguration.Error));
        return command;
    }

    /// <summary>Uninstalls.</summary>
    /// <param name="place">From where.</param>
    /// <param name="purge">Also a changed configuration.</param>
    /// <param name="force">Also while pods are wired.</param>
    /// <param name="output">What was done, a line each.</param>
    /// <param name="error">Why it was not.</param>
    internal static int Run(InstallationPlace place, bool purge, bool force, TextWriter output, TextWriter error)
    {
        if (place.Root.Length > 0)
            return RemoveFiles(place, purge, output, error);
        if (!CleanupCommand.CanRun("uninstall", error))
            return ExitCode.Failure;
        var reading = place.ReadConfiguration();
        if (reading.Configuration is not { } configuration)
        {
            foreach (var line in reading.Errors.ToList())
                error.WriteLine($"overlay uninstall: {line} It says where the agent's files are: correct it.");
            return ExitCode.Usage;
        }

        try
        {
            return Clean(configuration, force, output, error) ? RemoveFiles(place, purge, output, error) : ExitCode.Failure;
        }
        catch (NetlinkException e)
        {
            error.WriteLine($"overlay uninstall: the kernel cannot be read: {e.Message}");
            return ExitCode.Failure;
        }
    }

    private static bool Clean(OverlayConfiguration configuration, bool force, TextWriter output, TextWriter error)
    {
        var cleanup = new NodeCleanup(configuration, withMemory: true);
        if (cleanup.SignOfAgent() is { } sign)
        {
            error.WriteLine($"overlay uninstall: {CleanupCommand.StopIt(sign)}");
            return false;
        }

        var pods = cleanup.Look().Objects.Count(found => found.Kind == "pod");
        if (pods > 0 && !force)
        {
            error.WriteLine($"overlay uninstall: {pods} interfaces of pods are wired on this node; without the plugin their runtime cannot delete them. Drain the node first (kubectl drain), or say --force.");
            return false;
        }

        var report = cleanup.Run();
        CleanupCommand.Print(report, dryRun: false, OperatorText.On(output));
        foreach (var failure in report.Failures)
            error.WriteLine($"overlay uninstall: {failure} Nothing else was removed; try again, or remove it by hand.");
        return report.Failures.Count == 0;
    }

    private static int RemoveFiles(InstallationPlace place, bool purge, TextWriter output, TextWriter error) => InstallCommand.Try("uninstall", error, () =>
    {
        if (OperatingSystem.IsWindows())
            return ExitCode.Failure;
        if (!new NodeInstallation(place.Root, place.Prefix, output).Uninstall(purge))
            output.WriteLine($"No overlay install has put anything below {place.Root}{place.Prefix}.");
        else if (place.Root.Length == 0)
            output.WriteLine("Then run:\n  systemctl daemon-reload");
        return ExitCode.Success;
    });
}
