using System.Runtime.CompilerServices;

namespace Overlay.Tests;

/// <summary>The folder that the tests were compiled from.</summary>
public static class SourceTree
{
    /// <summary>The top of the repository.</summary>
    public static string Root { get; } = Path.GetDirectoryName(Path.GetDirectoryName(ThisFile()))!;

    private static string ThisFile([CallerFilePath] string path = "") => path;
}
