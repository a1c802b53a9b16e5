using System.Text;
using Overlay.CniShim.Protocol;

namespace Overlay.CniShim;

/// <summary>All that the plugin sees of the world around it, so that a test can be that world (as in skel's dispatcher of containernetworking/cni).</summary>
internal sealed record CniEnvironment
{
    /// <summary>An environment variable; null or empty when not there.</summary>
    public required Func<string, string?> Variable { get; init; }

    /// <summary>The network configuration comes from here.</summary>
    public required Stream Stdin { get; init; }

    /// <summary>One JSON document goes here, or nothing.</summary>
    public required Stream Stdout { get; init; }

    /// <summary>What is meant for people.</summary>
    public required Stream Stderr { get; init; }

    /// <summary>Limits of waiting.</summary>
    public Deadlines Deadlines { get; init; } = new();

    /// <summary>The network namespace that the plugin itself is in: the host's.</summary>
    public string OwnNetns { get; init; } = "/proc/self/ns/net";

    /// <summary>When the plugin began: <see cref="BootClock"/>'s nanoseconds.</summary>
    public long Began { get; init; } = BootClock.Now;

    /// <summary>How old an address must be before GC may free it: another runtime on this host may just be adding it.</summary>
    public TimeSpan GcGrace { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>Tells people something, in a line; nobody to tell is fine.</summary>
    public void Say(string text)
    {
        try
        {
            Stderr.Write(Encoding.UTF8.GetBytes(text + "\n"));
        }
        catch (Exception error) when (error is IOException or TimeoutException)
        {
            // there is no other place for it
        }
    }

    /// <summary>The real one.</summary>
    public static CniEnvironment OfProcess()
    {
        if (!OperatingSystem.IsWindows())
            DescriptorStream.KeepStandardNumbers();
        return new()
        {
            Variable = Environment.GetEnvironmentVariable,
            Stdin = OperatingSystem.IsWindows() ? Console.OpenStandardInput() : DescriptorStream.Standard(0),
            Stdout = OperatingSystem.IsWindows() ? Console.OpenStandardOutput() : DescriptorStream.Standard(1),
            Stderr = OperatingSystem.IsWindows() ? Console.OpenStandardError() : DescriptorStream.Standard(2),
        };
    }
}
