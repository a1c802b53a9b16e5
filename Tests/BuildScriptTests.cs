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

    // Every run has a copy of the script in a folder of its own, so that nothing of the repository is built, tested or removed.
    private static (int ExitCode, string Output, string[] Calls) RunShHalf(string[] arguments, string results = "", int status = 0)
    {
        var folder = Directory.CreateTempSubdirectory("overlay-build-");
        try
        {
            File.Copy(Script, Path.Combine(folder.FullName, "build.ps1"));
            File.WriteAllText(Path.Combine(folder.FullName, "results"), Trx(results));
            var dotnet = Path.Combine(folder.FullName, "dotnet");
            File.WriteAllText(dotnet, $"""
                #!/bin/sh
                cd '{folder}'
                echo "$*" >> calls
                mkdir -p artifacts/test-results
                cp results artifacts/test-results/tests.trx
                exit {status}
                """);
            if (!OperatingSystem.IsWindows())
                File.SetUnixFileMode(dotnet, UnixFileMode.UserRead | UnixFileMode.UserExecute);
            foreach (var tool in new[] { "gcc", "nft", "ip", "strace" }) // What is installed here is no matter of these tests.
                File.CreateSymbolicLink(Path.Combine(folder.FullName, tool), "/bin/true");
            var (exitCode, output, _) = Sh(["./build.ps1", .. arguments], folder.FullName);
            var calls = Path.Combine(folder.FullName, "calls");
            return (exitCode, output, File.Exists(calls) ? File.ReadAllLines(calls) : []);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
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

    private static (int ExitCode, string Output, string Error) Sh(string[] arguments, string? path = null)
    {
        if (OperatingSystem.IsWindows())
            Assert.Ignore("Needs sh, which Windows does not have.");
        var start = new ProcessStartInfo("sh", arguments) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = path ?? "/" };
        if (path is not null)
            start.Environment["PATH"] = $"{path}:{start.Environment["PATH"]}";
        using var process = Process.Start(start)!;
        var error = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output, error.Result);
    }
}
