using System.Diagnostics;
using k8s.Models;

namespace Overlay.Tests.Packaging;

/// <summary>A containerd of the test's own, with everything of it below one folder; it ends with the test.</summary>
internal sealed class Containerd : IDisposable
{
    // What ctr gives every container; a Pod's capabilities replace them.
    private static readonly string[] Given =
    [
        "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
    ];

    private readonly string _folder;
    private readonly Process _process;
    private readonly Task<string> _rest;

    /// <summary>Starts it, or skips the test, saying why.</summary>
    /// <param name="folder">Where it keeps everything.</param>
    public Containerd(string folder)
    {
        if (!OperatingSystem.IsLinux() || !Environment.IsPrivilegedProcess || !IsInstalled("containerd") || !IsInstalled("ctr") || !IsInstalled("runc"))
            Assert.Ignore("Needs root on Linux, and containerd, ctr and runc on PATH (Debian's package containerd).");
        _folder = folder;
        File.WriteAllText(Path.Combine(folder, "config.toml"), $"""
            version = 2
            root = "{folder}/root"
            state = "{folder}/state"
            disabled_plugins = ["io.containerd.grpc.v1.cri"]
            [grpc]
              address = "{folder}/containerd.sock"
            """);
        _process = Process.Start(new ProcessStartInfo("containerd", ["--config", Path.Combine(folder, "config.toml")]) { RedirectStandardError = true })!;
        while (_process.StandardError.ReadLine() is { } line && !line.Contains("successfully booted", StringComparison.Ordinal))
            TestContext.Out.WriteLine(line);
        _rest = _process.StandardError.ReadToEndAsync(); // or it would stop when the pipe is full
    }

    /// <summary>Runs <c>ctr ARGUMENTS</c>, which must succeed; returns what it printed.</summary>
    public string Run(params string[] arguments)
    {
        using var process = Start(arguments);
        var error = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.That(process.ExitCode, Is.Zero, $"ctr {string.Join(' ', arguments)}: {error.Result}{output}");
        return output;
    }

    /// <summary>Starts <c>ctr ARGUMENTS</c>.</summary>
    public Process Start(params string[] arguments) => Process.Start(new ProcessStartInfo("ctr", ["--address", $"{_folder}/containerd.sock", "--namespace", "k8s.io", .. arguments])
    {
        RedirectStandardOutput = true,
        RedirectStandardError = true,
    })!;

    /// <summary>The arguments of <c>ctr run</c> that give a container of a Pod what kubelet would: its capabilities, mounts, environment, seccomp profile and root file system.</summary>
    /// <param name="container">The container.</param>
    /// <param name="volumes">The folder of this machine by the name of the volume.</param>
    /// <param name="netns">The network namespace that is the node's.</param>
    /// <param name="nodeName">The node's name, the only field of the Pod that a variable may stand for.</param>
    public static string[] Arguments(V1Container container, Func<string, string> volumes, string netns, string nodeName)
    {
        var allowed = container.SecurityContext;
        Assert.That((allowed.Privileged, string.Join(",", allowed.Capabilities.Drop), allowed.ReadOnlyRootFilesystem, allowed.SeccompProfile.Type), Is.EqualTo(((bool?)null, "ALL", (bool?)true, "RuntimeDefault")));
        return
        [
            "run", "--rm", "--read-only", "--seccomp", "--with-ns", $"network:{netns}",
            .. Given.Except(allowed.Capabilities.Add).SelectMany(name => new[] { "--cap-drop", $"CAP_{name}" }),
            .. allowed.Capabilities.Add.Except(Given).SelectMany(name => new[] { "--cap-add", $"CAP_{name}" }),
            .. (container.Env ?? []).SelectMany(variable => new[] { "--env", $"{variable.Name}={(variable.ValueFrom?.FieldRef.FieldPath == "spec.nodeName" ? nodeName : variable.Value)}" }),
            .. container.VolumeMounts.SelectMany(mount => new[]
            {
                "--mount", $"type=bind,src={volumes(mount.Name)},dst={mount.MountPath},options=rbind:{(mount.MountPropagation == "HostToContainer" ? "rslave" : "rprivate")}:{(mount.ReadOnlyProperty == true ? "ro" : "rw")}",
            }),
            container.Image, container.Name, .. container.Command,
        ];
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _process.Kill();
        _process.WaitForExit();
        _rest.Wait();
        _process.Dispose();
    }

    private static bool IsInstalled(string program) => Environment.GetEnvironmentVariable("PATH")!.Split(':').Any(folder => File.Exists(Path.Combine(folder, program)));
}
