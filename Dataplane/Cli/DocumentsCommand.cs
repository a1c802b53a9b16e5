using System.CommandLine;
using System.Text;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Installation;

namespace Overlay.Dataplane.Cli;

/// <summary><c>overlay documents</c>, for those who make packages: writes what belongs to the program but is no program. Not shown to users.</summary>
internal static class DocumentsCommand
{
    /// <summary>The verb.</summary>
    public static Command Create()
    {
        Argument<string> folder = new("folder") { Description = "where to", HelpName = "DIR" };
        var command = new Command("documents", "Write the man pages, completion scripts, unit and sample configuration into a folder.") { folder };
        command.Hidden = true;
        command.SetAction(result => InstallCommand.Try("documents", result.InvocationConfiguration.Error, () =>
        {
            if (OperatingSystem.IsWindows())
                return ExitCode.Failure;
            foreach (var file in Files(result.RootCommandResult.Command))
                file.Write(Path.GetFullPath(result.GetValue(folder)!));
            return ExitCode.Success;
        }));
        return command;
    }

    private static IReadOnlyList<InstalledFile> Files(Command root) =>
    [
        .. Reference.Files(root, ""),
        new($"/{SystemdUnit.Name}", Encoding.UTF8.GetBytes(new SystemdUnit($"{InstallCommand.DefaultPrefix}/bin/overlay", new OverlayConfiguration()).Text)),
        new("/overlay.yaml", Encoding.UTF8.GetBytes(SampleConfiguration.Text)),
    ];
}
