using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Desired;

/// <summary>A configuration, or why there is none.</summary>
/// <param name="Configuration">Null when there are errors.</param>
/// <param name="Errors">Clear sentences, each with its place; empty when there is a configuration.</param>
public sealed record ConfigurationReading(OverlayConfiguration? Configuration, EquatableArray<string> Errors);

/// <summary>Reads the configuration: flags over environment over file over defaults.</summary>
public static class ConfigurationReader
{
    /// <summary>Where the file is looked for when no path is given.</summary>
    public const string DefaultPath = "/etc/overlay/overlay.yaml";

    /// <summary>Reads.</summary>
    /// <param name="path">The file; it must exist when given. Null: <see cref="DefaultPath"/>, which may be absent.</param>
    /// <param name="environment">Environment variables; those that are no key's are ignored.</param>
    /// <param name="flags">Values by key (<c>vxlan.port</c>).</param>
    public static ConfigurationReading Read(string? path, IReadOnlyDictionary<string, string> environment, IReadOnlyDictionary<string, string> flags) =>
        throw new NotImplementedException();
}
