using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Overlay.Tests.CniShim;

/// <summary>The program as a runtime starts it: a process with variables, pipes and an exit code.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class ProgramTests : IAsyncDisposable
{
    private static readonly string Plugin = Path.Combine(AppContext.BaseDirectory, "overlay-cni");

    // Where the runtime that compiles as it goes runs the program, it has opened files of its own under the numbers that were closed before any of ours is called.
    private static readonly string NativePlugin = Path.Combine(SourceTree.Root, "artifacts", "bin", "overlay-cni");

    private readonly AgentFixture agent = new();

    public ValueTask DisposeAsync() => agent.DisposeAsync();

    [TestCase("VERSION", 0, """{"cniVersion":"1.1.0","supportedVersions":["0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}""" + "\n")]
    [TestCase("ADD", 1, """{"cniVersion":"0.4.0","code":8,"msg":"plugin's netns and netns from CNI_NETNS should not be the same (\"/proc/self/ns/net\")"}""" + "\n")]
    [TestCase("", 0, "")]
    public void One_document_on_stdout_and_the_exit_code_says_how_it_went(string command, int exitCode, string stdout)
    {
        var start = new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "overlay-cni")) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["DOTNET_ROOT"] = Path.GetFullPath(Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "../../.."));
        start.Environment["CNI_COMMAND"] = command;
        start.Environment["CNI_CONTAINERID"] = "c1";
        start.Environment["CNI_IFNAME"] = "eth0";
        start.Environment["CNI_NETNS"] = "/proc/self/ns/net";
        start.Environment["CNI_PATH"] = "/opt/cni/bin";
        using var process = Process.Start(start)!;
        process.StandardInput.Write("""{"cniVersion":"0.4.0","name":"n"}""");
        process.StandardInput.Close();
        Assert.That(process.StandardOutput.ReadToEnd(), Is.EqualTo(stdout));
        process.WaitForExit();
        Assert.That(process.ExitCode, Is.EqualTo(exitCode));
    }

    [TestCase("FOO", "CNI_PATH", "/opt/cni/bin", "unknown CNI_COMMAND: FOO")]
    [TestCase("ADD", "CNI_CONTAINERID", "", "required env variables [CNI_CONTAINERID] missing")]
    [TestCase("DEL", "CNI_CONTAINERID", "a/b", "invalid characters in containerID")]
    [TestCase("CHECK", "CNI_IFNAME", ".", "interface name is . or ..")]
    public void An_error_of_the_variables_is_told_in_the_version_of_stdin(string command, string variable, string value, string msg)
    {
        Assert.That(Call("""{"cniVersion":"0.4.0","name":"n"}"""), Does.StartWith($"{{\"cniVersion\":\"0.4.0\",\"code\":4,\"msg\":\"{msg}\""));
        foreach (var other in new[] { "", "{", """{"cniVersion":"9.9.9"}""" })
            Assert.That(Call(other), Does.StartWith($"{{\"cniVersion\":\"1.1.0\",\"code\":4,\"msg\":\"{msg}\""), "whatever is wrong with it, too");

        string Call(string stdin)
        {
            var start = Shell("exec \"$0\"", command);
            start.Environment[variable] = value;
            start.RedirectStandardInput = start.RedirectStandardOutput = true;
            using var process = Process.Start(start)!;
            process.StandardInput.Write(stdin);
            process.StandardInput.Close();
            var said = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            Assert.That(process.ExitCode, Is.EqualTo(1));
            return said;
        }
    }

    // What is seen is that it ends: our end of its stdin stays open.
    [TestCase("exec \"$0\"", Description = "nothing comes")]
    [TestCase("yes '  ' | \"$0\"", Description = "it never ends")]
    [TestCase("script -qec \"$0\" /dev/null", Description = "a terminal")]
    public void For_the_version_nobody_waits_for_ever(string script)
    {
        if (script.StartsWith("script", StringComparison.Ordinal) && !File.Exists("/usr/bin/script"))
            Assert.Ignore("needs script(1)");
        var start = Shell(script, "STATUS");
        start.Environment["CNI_PATH"] = "";
        start.RedirectStandardInput = start.RedirectStandardOutput = true;
        using var process = Process.Start(start)!;
        Assert.That(process.StandardOutput.ReadToEnd(), Does.Contain("""{"cniVersion":"1.1.0","code":4,"msg":"required env variables [CNI_PATH] missing"}"""));
        process.WaitForExit();
    }

    [Test]
    public void What_it_prints_follows_what_is_already_in_a_file()
    {
        var file = Path.GetTempFileName();
        var start = new ProcessStartInfo("/bin/sh") { ArgumentList = { "-c", "(\"$0\"; \"$0\") </dev/null >\"$1\"", Path.Combine(AppContext.BaseDirectory, "overlay-cni"), file } };
        start.Environment["DOTNET_ROOT"] = Path.GetFullPath(Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "../../.."));
        start.Environment["CNI_COMMAND"] = "VERSION";
        using var process = Process.Start(start)!;
        process.WaitForExit();
        Assert.That(File.ReadAllLines(file), Has.Length.EqualTo(2));
        File.Delete(file);
    }

    [TestCase(">&-")]
    [TestCase(">/dev/full")]
    [TestCase("| true")]
    public void A_result_that_the_runtime_does_not_get_is_undone(string redirection)
    {
        if (redirection == ">&-")
            RequireNative();
        agent.Start();
        var isPipe = redirection == "| true";
        var start = Shell(isPipe ? "exec \"$0\"" : $"exec \"$0\" {redirection}", "ADD");
        start.RedirectStandardInput = start.RedirectStandardError = true;
        start.RedirectStandardOutput = isPipe;
        using var process = Process.Start(start)!;
        if (isPipe)
            process.StandardOutput.Close(); // nobody reads
        process.StandardInput.Write(agent.Configuration());
        process.StandardInput.Close();
        var said = process.StandardError.ReadToEnd();
        process.WaitForExit();
        Assert.That(process.ExitCode, Is.EqualTo(1), said);
        Assert.That(said, Does.StartWith("the result cannot be written to stdout: write: "));
        Assert.That(agent.Asked.Select(request => request.Command), Is.EqualTo(new[] { "ADD", "DEL" }));
        Assert.That(agent.Asked.Last().Began, Is.GreaterThan(agent.Asked.First().Began), "else the agent takes it for an earlier one");
        Assert.That(agent.Reserved, Is.Empty);
    }

    [Test]
    public void Without_a_stdin_there_is_an_error_on_stdout()
    {
        RequireNative();
        var start = Shell("exec \"$0\" <&-", "ADD");
        start.RedirectStandardOutput = true;
        using var process = Process.Start(start)!;
        Assert.That(process.StandardOutput.ReadToEnd(), Does.StartWith("""{"cniVersion":"1.1.0","code":6,"msg":"error unmarshall network config: """));
        process.WaitForExit();
        Assert.That(process.ExitCode, Is.EqualTo(1));
    }

    private static void RequireNative()
    {
        if (!File.Exists(NativePlugin))
            Assert.Ignore($"Needs the native plugin at {NativePlugin}: ./build.ps1 build");
    }

    private static ProcessStartInfo Shell(string script, string command)
    {
        var start = new ProcessStartInfo("/bin/sh") { ArgumentList = { "-c", script, script.EndsWith("&-", StringComparison.Ordinal) ? NativePlugin : Plugin } };
        start.Environment["DOTNET_ROOT"] = Path.GetFullPath(Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "../../.."));
        start.Environment["CNI_COMMAND"] = command;
        start.Environment["CNI_CONTAINERID"] = "c1";
        start.Environment["CNI_IFNAME"] = "eth0";
        start.Environment["CNI_NETNS"] = "/proc/self/ns/net";
        start.Environment["CNI_NETNS_OVERRIDE"] = "1";
        start.Environment["CNI_PATH"] = "/opt/cni/bin";
        return start;
    }
}
