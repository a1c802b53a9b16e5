namespace Overlay.Dataplane.Desired;

/// <summary>One key of the configuration; file, flag and environment variable all derive from it.</summary>
/// <param name="Name">As in the file, such as <c>vxlan.port</c>.</param>
/// <param name="Default">Text of the default.</param>
/// <param name="Accepted">The accepted values, for people.</param>
/// <param name="Description">One line.</param>
/// <param name="With">The configuration with this key set from text; null when the text is not accepted.</param>
public sealed record ConfigurationKey(
    string Name,
    string Default,
    string Accepted,
    string Description,
    Func<OverlayConfiguration, string, OverlayConfiguration?> With)
{
    /// <summary>The keys, in the order of the documentation.</summary>
    public static IReadOnlyList<ConfigurationKey> All { get; } = [];
}
