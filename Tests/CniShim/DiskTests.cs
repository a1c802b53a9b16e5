using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Overlay.Tests.CniShim;

/// <summary>The program on a disk that is full or read-only: a small tmpfs in a mount namespace of the test's own.</summary>
public class DiskTests
{
    private const string Full = "dd if=/dev/zero of=$D/fill bs=4k 2>/dev/null;";
    private const string ReadOnly = "mount -o remount,ro $D;";
    private const string Reserved = "printf 'c1\\r\\neth0' > $D/n/10.42.1.9;";

    [TestCase(Full, "ADD", 1, "\"code\":5,\"msg\":\"write $D/n/.claims/c1@eth0: No space left on device\"", TestName = "ADD_on_a_full_disk_names_the_file")]
    [TestCase(Full, "DEL", 0, "", TestName = "DEL_on_a_full_disk_has_nothing_to_do")]
    [TestCase(Reserved + Full, "DEL", 0, "", TestName = "DEL_on_a_full_disk_gives_back")]
    [TestCase(ReadOnly, "ADD", 1, "\"code\":5,\"msg\":\"open $D/n/lock: Read-only file system\"", TestName = "ADD_on_a_read_only_disk_names_the_file")]
    [TestCase(ReadOnly, "DEL", 0, "", TestName = "DEL_on_a_read_only_disk_has_nothing_to_do")]
    [TestCase(Reserved + ReadOnly, "DEL", 1, "\"code\":5,\"msg\":\"open $D/n/lock: Read-only file system\"", TestName = "DEL_on_a_read_only_disk_cannot_give_back")]
    public async Task Disk(string state, string command, int exitCode, string said)
    {
        if (!OperatingSystem.IsLinux() || !Environment.IsPrivilegedProcess)
            Assert.Ignore("Needs root on Linux: it mounts a disk of its own.");
        await using var agent = new AgentFixture();
        agent.Start();
        var disk = Path.Combine(agent.Folder, "disk");
        Directory.CreateDirectory(disk);
        const string AndThen = "\"$0\"; code=$?; ls $D/n | grep '^[0-9]' >&2; exit $code";
        var start = new ProcessStartInfo("unshare")
        {
            ArgumentList = { "-m", "sh", "-c", $"D={disk}; mount -t tmpfs -o size=16k none $D && mkdir $D/n; {state} {AndThen}", Path.Combine(AppContext.BaseDirectory, "overlay-cni") },
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["DOTNET_ROOT"] = Path.GetFullPath(Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "../../.."));
        foreach (var (name, value) in new[] { ("COMMAND", command), ("CONTAINERID", "c1"), ("IFNAME", "eth0"), ("NETNS", "/proc/self/ns/net"), ("NETNS_OVERRIDE", "1"), ("PATH", "/opt/cni/bin") })
            start.Environment[$"CNI_{name}"] = value;
        using var process = Process.Start(start)!;
        await process.StandardInput.WriteAsync(agent.Configuration(ranges: """[[{"subnet":"10.42.1.0/24"}]]""").Replace($"{agent.Folder}/networks", disk));
        process.StandardInput.Close();
        var answer = await process.StandardOutput.ReadToEndAsync();
        var left = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.That(process.ExitCode, Is.EqualTo(exitCode), answer + left);
        Assert.That(answer, said.Length == 0 ? Is.Empty : Does.Contain(said.Replace("$D", disk)));
        Assert.That(left.Trim(), Is.EqualTo(exitCode == 1 && command == "DEL" ? "10.42.1.9" : ""), "addresses that are still given away");
    }
}
