using System.Reflection;

namespace Overlay.Dataplane.Cli;

/// <summary>The version, set once for all programs in Directory.Build.props.</summary>
internal static class Version
{
    /// <summary>Such as <c>0.1.0</c>.</summary>
    public static string Text { get; } =
        typeof(Version).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";
}
