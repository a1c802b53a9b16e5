extern alias shim;

using System.Text;
using System.Text.Json;
using shim::Overlay.CniShim;

namespace Overlay.Tests.CniShim;

/// <summary>One call of the plugin inside the test's own process, through injected variables and streams. Starts as a correct ADD of container c1.</summary>
internal sealed record PluginCall
{
    /// <summary>A network namespace that is not <see cref="NotOwn"/>: no root needed to have one.</summary>
    public const string SomeNetns = "/proc/self/ns/net";

    /// <summary>Stands for the plugin's own namespace, so that <see cref="SomeNetns"/> counts as a pod's.</summary>
    public const string NotOwn = "/proc/self/ns/mnt";

    public string Command { get; init; } = "ADD";

    public Dictionary<string, string?> Variables { get; init; } = new()
    {
        ["CNI_CONTAINERID"] = "c1",
        ["CNI_NETNS"] = SomeNetns,
        ["CNI_IFNAME"] = "eth0",
        ["CNI_PATH"] = "/opt/cni/bin",
        ["CNI_ARGS"] = "",
    };

    public required string Stdin { get; init; }

    /// <summary>Takes the place of <see cref="Stdin"/>; null: does not.</summary>
    public Stream? Input { get; init; }

    public string OwnNetns { get; init; } = NotOwn;

    public Deadlines Deadlines { get; init; } = new() { AgentStart = TimeSpan.Zero };

    public long Began { get; init; } = 12345;

    public TimeSpan GcGrace { get; init; } = TimeSpan.Zero;

    /// <summary>The same call with one variable changed; null takes it away.</summary>
    public PluginCall With(string name, string? value) => this with { Variables = new(Variables) { [name] = value } };

    /// <summary>Makes the call.</summary>
    public PluginOutcome Run()
    {
        using var stdin = new MemoryStream(Encoding.UTF8.GetBytes(Stdin));
        using var stdout = new MemoryStream();
        using var stderr = new MemoryStream();
        var plugin = new Plugin(new CniEnvironment
        {
            Variable = name => name == "CNI_COMMAND" ? Command : Variables.GetValueOrDefault(name),
            Stdin = Input ?? stdin,
            Stdout = stdout,
            Stderr = stderr,
            Deadlines = Deadlines,
            OwnNetns = OwnNetns,
            Began = Began,
            GcGrace = GcGrace,
        });
        var exitCode = plugin.Run();
        return new(exitCode, Encoding.UTF8.GetString(stdout.ToArray()), Encoding.UTF8.GetString(stderr.ToArray()));
    }
}

/// <summary>What came of a <see cref="PluginCall"/>.</summary>
internal sealed record PluginOutcome(int ExitCode, string Stdout, string Stderr)
{
    /// <summary>The one document on stdout; throws when there is none or more than one.</summary>
    public JsonElement Json => JsonElement.Parse(Stdout);

    public int Code => Json.GetProperty("code").GetInt32();

    public string Msg => Json.GetProperty("msg").GetString()!;

    /// <summary>code and msg, for a comparison in one look; "0" for success.</summary>
    public string Verdict => ExitCode == 0 ? "0" : $"{Code} {Msg}";

    public string[] Addresses => [.. Json.GetProperty("ips").EnumerateArray().Select(ip => ip.GetProperty("address").GetString()!)];
}
