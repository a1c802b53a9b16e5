using Overlay.CniShim.Protocol;

namespace Overlay.CniShim.Spec;

/// <summary>The versions of the CNI specification, as the plugin knows them.</summary>
internal static class CniVersion
{
    /// <summary>What a configuration without cniVersion means; it is not supported.</summary>
    public const string Unstated = "0.1.0";

    /// <summary>Oldest first.</summary>
    public static readonly string[] Supported = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

    /// <summary>The highest.</summary>
    public static string Latest => Supported[^1];

    /// <summary>What the plugin says of itself when no runtime calls it.</summary>
    public static string About =>
        $"CNI plugin overlay-cni {BuildVersion.Text}\n"
        + $"CNI protocol versions supported: {string.Join(", ", Supported)}\n";

    /// <summary>Whether the plugin speaks it.</summary>
    public static bool IsSupported(string version) => Array.IndexOf(Supported, version) >= 0;

    /// <summary>Whether <paramref name="version"/> is supported and at least <paramref name="least"/>.</summary>
    public static bool IsAtLeast(string version, string least) => Array.IndexOf(Supported, version) >= Array.IndexOf(Supported, least);

    /// <summary>Refuses a version that is not supported, and a verb that the version does not have.</summary>
    /// <exception cref="CniException">With code 1.</exception>
    public static void Require(string version, string command)
    {
        if (!IsSupported(version))
        {
            throw new CniException(CniErrorCode.IncompatibleVersion, "incompatible CNI versions",
                $"config is \"{version}\", plugin supports [{string.Join(' ', Supported.Select(supported => $"\"{supported}\""))}]");
        }

        if (!Has(version, command))
            throw new CniException(CniErrorCode.IncompatibleVersion, $"config version does not allow {command}", $"cniVersion is \"{version}\", {command} came with {FirstWith(command)}");
    }

    /// <summary>Whether <paramref name="version"/> knows a verb.</summary>
    public static bool Has(string version, string command) => IsAtLeast(version, FirstWith(command));

    private static string FirstWith(string command) => command switch
    {
        "CHECK" => "0.4.0",
        "GC" or "STATUS" => "1.1.0",
        _ => Supported[0],
    };
}
