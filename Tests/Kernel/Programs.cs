using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Overlay.Tests.Kernel;

/// <summary>The two programs that nodes run.</summary>
/// <param name="Folder">Where they are.</param>
internal sealed record Programs(string Folder)
{
    // One build for a run of the tests, when the first of them asks.
    private static readonly Lazy<Programs> Published = new(Publish);

    /// <summary>As the tests' own build makes them: with fault points, and a second slower to start.</summary>
    public static Programs WithFaultPoints { get; } = new(Path.Combine(AppContext.BaseDirectory, "programs"));

    /// <summary>As users have them: native.</summary>
    public static Programs Native => Published.Value;

    /// <summary>Those that tests run as a rule: native ones in the guest, for measurements, and by <c>build.ps1 test</c>, which says so by OVERLAY_NATIVE.</summary>
    public static Programs Usual => Guest.Guest.IsHere || Is("OVERLAY_BENCH") || Is("OVERLAY_NATIVE") ? Native : WithFaultPoints;

    /// <summary>Where the running .NET is: its folder is ROOT/shared/Microsoft.NETCore.App/VERSION/.</summary>
    public static string DotnetRoot => Path.GetFullPath(Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", ".."));

    public string Overlay => Path.Combine(Folder, "overlay");

    public string OverlayCni => Path.Combine(Folder, "overlay-cni");

    private static Programs Publish()
    {
        var native = new Programs(Path.Combine(SourceTree.Root, "artifacts", "bin"));
        // In the guest all files but its own can only be read.
        foreach (var project in Guest.Guest.IsHere ? (string[])[] : ["Dataplane", "CniShim"])
        {
            var (code, said) = Execute(Path.Combine(DotnetRoot, "dotnet"), "publish", Path.Combine(SourceTree.Root, project), "-c", "Release", "-o", native.Folder, "-v", "quiet");
            if (code != 0)
                throw new InvalidOperationException($"dotnet publish {project} failed: {said}");
        }

        return native;
    }

    /// <summary>Runs a program; its exit code, and both streams, standard error last.</summary>
    public static (int ExitCode, string Said) Execute(string file, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(file, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var (output, error) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        process.WaitForExit();
        return (process.ExitCode, $"{output.GetAwaiter().GetResult()}{error.GetAwaiter().GetResult()}");
    }

    private static bool Is(string variable) => Environment.GetEnvironmentVariable(variable) == "1";
}
