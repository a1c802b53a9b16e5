using System.Reflection;
using System.Text.Json;
using Overlay.Tests.Kernel;

namespace Overlay.Tests.Guest;

/// <summary>What came of a test in the guest.</summary>
/// <param name="Name">The test's full name.</param>
/// <param name="Status">Passed, Failed, Skipped ….</param>
/// <param name="Message">Why, when it did not pass; and what the test printed.</param>
internal sealed record GuestResult(string Name, string Status, string Message);

/// <summary>
/// A virtual machine with Debian's kernel and this machine's files (<c>guest.sh</c>), for what this machine's own kernel lacks. It is booted once, when the first test that is marked with
/// <see cref="InGuestAttribute"/> is due; it runs all of them by <see cref="GuestProgram"/>, and each takes its result from there.
/// </summary>
internal static class Guest
{
    // EX_UNAVAILABLE of sysexits.h: guest.sh says so when it lacks something.
    private const int Unavailable = 69;

    private const string Variable = "OVERLAY_GUEST";

    private static readonly Lazy<GuestRun> Run = new(Boot);

    /// <summary>Whether this process runs in the guest.</summary>
    public static bool IsHere => Environment.GetEnvironmentVariable(Variable) == "1";

    /// <summary>Whether the tests of a fixture run in the guest, and this process does not: there is nothing to be set up for them here.</summary>
    public static bool Keeps(object fixture) => !IsHere && fixture.GetType().IsDefined(typeof(InGuestAttribute), inherit: true);

    /// <summary>Ends the current test with the result that it had in the guest.</summary>
    public static void Conclude(string test)
    {
        var run = Run.Value;
        if (run.Obstacle is { } obstacle)
            Assert.Ignore(obstacle);
        var result = run.Results.GetValueOrDefault(test) ?? new(test, "Failed", $"The guest has no result of it.\n{run.Output}");
        if (result.Status == "Passed")
            Assert.Pass(result.Message);
        if (result.Status == "Skipped")
            Assert.Ignore(result.Message);
        Assert.Fail($"In the guest: {result.Message}");
    }

    private static GuestRun Boot()
    {
        if (!OperatingSystem.IsLinux() || !Environment.IsPrivilegedProcess)
            return new("Needs root on Linux: it boots a machine that sees all files.", "", []);
        _ = Programs.Native;
        var share = Directory.CreateTempSubdirectory("overlay-guest-").FullName;
        try
        {
            // Nothing of the compiler's second thoughts is worth its time there.
            File.WriteAllText(Path.Combine(share, "script"), $"""
                export {Variable}=1 OVERLAY_BENCH='{Environment.GetEnvironmentVariable("OVERLAY_BENCH")}' OVERLAY_TEST_FILTER='{Environment.GetEnvironmentVariable("OVERLAY_TEST_FILTER")}' DOTNET_ROOT='{Programs.DotnetRoot}' DOTNET_EnableDiagnostics=0 DOTNET_TieredPGO=0 DOTNET_TC_CallCountThreshold=7FFF
                exec '{Programs.DotnetRoot}/dotnet' '{Assembly.GetExecutingAssembly().Location}' /run/share/results

                """);
            var (code, said) = Programs.Execute("sh", Path.Combine(SourceTree.Root, "Tests", "Guest", "guest.sh"), Path.Combine(SourceTree.Root, "artifacts", "guest"), share);
            if (code == Unavailable)
                return new(said.TrimEnd().Split('\n')[^1], "", []);
            File.WriteAllText(Path.Combine(SourceTree.Root, "artifacts", "guest", "output"), Read("output")); // which test took how long
            var results = Read("results").Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonSerializer.Deserialize<GuestResult>(line)!).ToDictionary(result => result.Name);
            return new(null, $"guest.sh ended with {code}, the tests with {Read("status").Trim()}.\n{said}\n{Read("output")}", results);
        }
        finally
        {
            Directory.Delete(share, recursive: true);
        }

        string Read(string file) => File.Exists(Path.Combine(share, file)) ? File.ReadAllText(Path.Combine(share, file)) : "";
    }

    private sealed record GuestRun(string? Obstacle, string Output, IReadOnlyDictionary<string, GuestResult> Results)
    {
        public GuestRun(string? obstacle, string output, GuestResult[] results) : this(obstacle, output, results.ToDictionary(result => result.Name))
        {
        }
    }
}
