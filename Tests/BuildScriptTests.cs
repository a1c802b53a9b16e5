using System.Diagnostics;
using System.Management.Automation;
using System.Management.Automation.Language;
using System.Management.Automation.Runspaces;

namespace Overlay.Tests;

/// <summary>build.ps1 is two scripts in one file: each shell must read its own half and none of the other's.</summary>
public class BuildScriptTests
{
    private static readonly string Script = Path.Combine(SourceTree.Root, "build.ps1");

    [Test]
    public void Sh_starts_it_on_a_machine_without_PowerShell()
    {
        var text = File.ReadAllText(Script);
        Assert.That(text, Does.StartWith("#!/bin/sh\n").And.Match("^[\t\n -~]*$"), "no byte order mark, LF, ASCII");
        if (!OperatingSystem.IsWindows())
            Assert.That(File.GetUnixFileMode(Script) & UnixFileMode.UserExecute, Is.Not.EqualTo(UnixFileMode.None));
    }

    [Test]
    public void Both_shells_can_read_all_of_it()
    {
        Parser.ParseFile(Script, out _, out var errors);
        Assert.That(errors.Select(error => error.ToString()), Is.Empty);
        Assert.That(Sh(["-n", Script]), Is.EqualTo((0, "", "")));
    }

    [TestCase("build")]
    [TestCase("test")]
    [TestCase("test", "Demo")]
    public void Both_halves_make_the_same_calls_of_dotnet(params string[] arguments)
    {
        var sh = RunShHalf(arguments);
        Assert.That(sh.Calls, Is.Not.Empty.And.EqualTo(RunPowerShellHalf(arguments).Calls));
    }

    [TestCase(0, "help")]
    [TestCase(0, "-h")]
    [TestCase(1, "bench")]
    [TestCase(2, "biuld")]
    [TestCase(1, "test")] // The dotnet of these tests runs none.
    [TestCase(0, "build")]
    public void Both_halves_end_with_the_same_exit_code(int expected, params string[] arguments) =>
        Assert.That((RunShHalf(arguments).ExitCode, RunPowerShellHalf(arguments).ExitCode), Is.EqualTo((expected, expected)));

    [Test]
    public void A_test_run_ends_with_a_line_that_counts()
    {
        const string Results = """
              <UnitTestResult testName="A" outcome="Passed" />
              <UnitTestResult testName="B" outcome="Passed" />
              <UnitTestResult testName="C(&quot;outcome=&quot;)" outcome="Failed" />
              <UnitTestResult testName="D" outcome="NotExecuted" />
            """;
        foreach (var output in new[] { RunShHalf(["test"], Results).Output, RunPowerShellHalf(["test"], Results).Output })
            Assert.That(output.TrimEnd().Split('\n')[^1], Is.EqualTo("2 passed, 1 failed, 1 skipped"));
    }

    [Test]
    public void A_run_that_broke_off_counts_as_failed()
    {
        const string Results = """<UnitTestResult testName="A" outcome="Passed" />""";
        foreach (var (exitCode, output, _) in new[] { RunShHalf(["test"], Results, status: 3), RunPowerShellHalf(["test"], Results, status: 3) })
        {
            Assert.That(output.TrimEnd().Split('\n')[^1], Is.EqualTo("1 passed, 1 failed"));
            Assert.That(exitCode, Is.EqualTo(1));
        }
    }

    [TestCase("0")]
    [TestCase("1000")]
    public void What_is_missing_is_named_and_installed_by_root_alone(string user)
    {
        using var place = BarePlace(user);
        var (exitCode, output, error) = Sh(["./build.ps1", "test"], place.Folder, path: place.Folder);
        if (user == "0")
        {
            Assert.That(output, Does.Match("^Installing what the test suite .* needs:.* nftables").And.Not.Contains("strace"));
            Assert.That(place.Calls, Has.One.StartsWith("apt-get update").And.One.Match("apt-get install .*nftables"));
            return;
        }

        Assert.That(error, Does.Match("^build.ps1: .*sudo.*nftables"));
        Assert.That((exitCode, place.Calls.Length), Is.EqualTo((1, 0)));
    }

    [TestCase(false)]
    [TestCase(true)]
    public void Etcd_is_asked_for_beside_an_API_server_only(bool isThere)
    {
        using var place = BarePlace("1000");
        if (isThere)
            File.CreateSymbolicLink(place.File("kube-apiserver"), "/bin/true");
        Assert.That(Sh(["./build.ps1", "test"], place.Folder, path: place.Folder).Error.Contains(" etcd-server", StringComparison.Ordinal), Is.EqualTo(isThere));
    }

    // Nothing is on PATH but what the script itself needs, and most of what the tests need, without nft.
    private static Place BarePlace(string user)
    {
        var place = new Place("", 0);
        place.Write("id", $"echo {user}");
        place.Write("apt-get", "echo apt-get \"$*\" >> calls");
        foreach (var tool in new[] { "sh", "cat", "dirname", "getent", "cut", "rm", "mkdir", "cp", "grep", "sed" })
            File.CreateSymbolicLink(place.File(tool), Tool(tool));
        File.Delete(place.File("nft"));
        return place;
    }

    // Beside dotnet these stand for a machine of that architecture, on which everything is installed but perhaps what only arm64 needs, and which apt-get gives nothing.
    [TestCase("x86_64", true, "linux-x64 linux-arm64")]
    [TestCase("x86_64", false, "linux-x64")]
    [TestCase("aarch64", false, "linux-arm64")]
    public void A_package_has_this_machines_architecture_and_arm64_where_that_can_be_linked(string machine, bool isOpenSslHere, string linked)
    {
        const string Libc = "/usr/aarch64-linux-gnu/lib/libc.a";
        if (isOpenSslHere && !File.Exists(Libc))
            Assert.Ignore($"Needs {Libc} (Debian's package libc6-dev-arm64-cross), which is looked for by that name.");
        using var place = new Place("", 0);
        place.Write("uname", $"echo {machine}");
        place.Write("apt-get", "exit 1");
        foreach (var tool in new[] { "cmake", "clang", "ld.lld", "aarch64-linux-gnu-gcc" })
            File.CreateSymbolicLink(place.File(tool), "/bin/true");
        if (isOpenSslHere)
            File.WriteAllText(Path.Combine(Directory.CreateDirectory(place.File("artifacts/cross/arm64/lib")).FullName, "libssl.a"), "");
        var (exitCode, output, error) = Sh(["./build.ps1", "package"], place.Folder, $"{place.Folder}:{Environment.GetEnvironmentVariable("PATH")}");
        if (place.Calls.Length == 0 && error.Contains("packages", StringComparison.Ordinal))
            Assert.Ignore($"Needs the libraries that the image is linked with, whose files are looked for: {error}");
        Assert.That(exitCode, Is.Zero, error);
        Assert.That(string.Join(' ', place.Calls.Where(call => call.StartsWith("publish Dataplane", StringComparison.Ordinal)).Select(call => call.Split(' ')[5])), Is.EqualTo(linked), output);
        Assert.That(place.Calls[^1], Is.EqualTo("run --project Packaging -- artifacts/static . artifacts/package"));
        Assert.That(output.Contains("No image for arm64", StringComparison.Ordinal), Is.EqualTo(!linked.Contains("arm64", StringComparison.Ordinal)));
    }

    private static (int ExitCode, string Output, string[] Calls) RunShHalf(string[] arguments, string results = "", int status = 0)
    {
        using var place = new Place(results, status);
        var (exitCode, output, _) = Sh(["./build.ps1", .. arguments], place.Folder, $"{place.Folder}:{Environment.GetEnvironmentVariable("PATH")}");
        return (exitCode, output, place.Calls);
    }

    // The engine alone, without the modules that come with pwsh: the few commands of theirs that the script uses are given here.
    private static (int ExitCode, string Output, string[] Calls) RunPowerShellHalf(string[] arguments, string results = "", int status = 0)
    {
        using var runspace = RunspaceFactory.CreateRunspace(InitialSessionState.CreateDefault2());
        runspace.Open();
        using var prepare = PowerShell.Create(runspace).AddScript($$"""
            param($results)
            $PSVersionTable.Platform = 'Win32NT'
            $global:calls = @()
            $global:results = $results
            function global:dotnet { $global:calls += $args -join ' '; $global:LASTEXITCODE = {{status}} }
            function global:Write-Output { $args }
            function global:Set-Location { }
            function global:Test-Path { $true }
            function global:Remove-Item { }
            function global:Get-Content { $global:results }
            """).AddArgument(Trx(results));
        prepare.Invoke();
        using var shell = PowerShell.Create(runspace).AddCommand(Script);
        foreach (var argument in arguments)
            shell.AddArgument(argument);
        var output = string.Join('\n', shell.Invoke());
        Assert.That(shell.Streams.Error.Select(error => error.ToString()), Is.Empty);
        return (runspace.SessionStateProxy.GetVariable("LASTEXITCODE") as int? ?? 0, output, [.. ((object[])runspace.SessionStateProxy.GetVariable("calls")).Select(call => $"{call}")]);
    }

    private static string Trx(string results) => $"<TestRun>\n<Results>\n{results}\n</Results>\n</TestRun>";

    private static string Tool(string name) => Environment.GetEnvironmentVariable("PATH")!.Split(':').Select(folder => Path.Combine(folder, name)).First(File.Exists);

    private static (int ExitCode, string Output, string Error) Sh(string[] arguments, string folder = "/", string? path = null)
    {
        if (OperatingSystem.IsWindows())
            Assert.Ignore("Needs sh, which Windows does not have.");
        var start = new ProcessStartInfo(Tool("sh"), arguments) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = folder };
        if (path is not null)
            start.Environment["PATH"] = path;
        using var process = Process.Start(start)!;
        var error = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output, error.Result);
    }

    /// <summary>A folder with a copy of the script, so that nothing of the repository is built, tested or removed, and with programs that stand for the real ones.</summary>
    private sealed class Place : IDisposable
    {
        private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("overlay-build-");

        public Place(string results, int status)
        {
            System.IO.File.Copy(Script, File("build.ps1"));
            System.IO.File.WriteAllText(File("results"), Trx(results));
            Write("dotnet", $"""
                cd '{Folder}'
                echo "$*" >> calls
                mkdir -p artifacts/test-results
                cp results artifacts/test-results/tests.trx
                exit {status}
                """);
            foreach (var tool in new[] { "gcc", "nft", "ip", "strace" }) // What is installed here is no matter of these tests.
                System.IO.File.CreateSymbolicLink(File(tool), "/bin/true");
        }

        public string Folder => _folder.FullName;

        public string[] Calls => System.IO.File.Exists(File("calls")) ? System.IO.File.ReadAllLines(File("calls")) : [];

        public string File(string name) => Path.Combine(Folder, name);

        public void Write(string name, string script)
        {
            System.IO.File.WriteAllText(File(name), $"#!/bin/sh\n{script}\n");
            if (!OperatingSystem.IsWindows())
                System.IO.File.SetUnixFileMode(File(name), UnixFileMode.UserRead | UnixFileMode.UserExecute);
        }

        public void Dispose() => _folder.Delete(recursive: true);
    }
}
