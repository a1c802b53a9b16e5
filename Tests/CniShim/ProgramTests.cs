using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Overlay.Tests.CniShim;

/// <summary>The program as a runtime starts it: a process with variables, pipes and an exit code.</summary>
public class ProgramTests
{
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
}
