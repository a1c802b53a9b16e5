using System.CommandLine;
using System.Text;
using Overlay.Dataplane.Installation;

namespace Overlay.Dataplane.Cli;

/// <summary>The documents that belong to the program, made from its commands.</summary>
internal static class Reference
{
    /// <summary>Man pages and completion scripts, with their paths.</summary>
    /// <param name="root">The program's command, with its verbs.</param>
    /// <param name="prefix">What they go below.</param>
    public static IReadOnlyList<InstalledFile> Files(Command root, string prefix) =>
    [
        Page(prefix, ManPage.Program, ManPage.OfProgram(root)),
        .. ManPage.Visible(root).Select(verb => Page(prefix, $"{ManPage.Program}-{verb.Name}", ManPage.OfVerb(verb))),
        .. ShellCompletion.Paths.Select(shell => new InstalledFile($"{prefix}/share/{shell.Value}", Encoding.UTF8.GetBytes(ShellCompletion.Of(shell.Key)))),
    ];

    private static InstalledFile Page(string prefix, string name, string text) =>
        new($"{prefix}/share/man/man{ManPage.Section}/{name}.{ManPage.Section}", Encoding.UTF8.GetBytes(text));
}
