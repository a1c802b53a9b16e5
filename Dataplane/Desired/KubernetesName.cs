namespace Overlay.Dataplane.Desired;

/// <summary>Which texts the API server takes for names (apimachinery, pkg/util/validation). Also what makes names safe in file and chain names.</summary>
public static class KubernetesName
{
    /// <summary>DNS-1123 label: up to 63 of a-z, 0-9 and -, a letter or digit at both ends. Namespaces.</summary>
    public static bool IsLabel(string text) => text.Length is > 0 and <= 63 && IsLabelShaped(text);

    /// <summary>DNS-1123 subdomain: up to 253, labels joined by dots. Nodes, pods, policies.</summary>
    public static bool IsSubdomain(string text) => text.Length is > 0 and <= 253 && text.Split('.').All(IsLabelShaped);

    /// <summary>Label key: an optional subdomain and a slash, then up to 63 of letters, digits, -, _ and ., a letter or digit at both ends.</summary>
    public static bool IsQualified(string text) => text.Split('/') switch
    {
        [var name] => name.Length > 0 && IsLabelValue(name),
        [var prefix, var name] => IsSubdomain(prefix) && name.Length > 0 && IsLabelValue(name),
        _ => false,
    };

    /// <summary>Label value: empty, or up to 63 of letters, digits, -, _ and ., a letter or digit at both ends.</summary>
    public static bool IsLabelValue(string text) =>
        text.Length == 0 || (text.Length <= 63 && char.IsAsciiLetterOrDigit(text[0]) && char.IsAsciiLetterOrDigit(text[^1]) && text.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.'));

    /// <summary>IANA_SVC_NAME: up to 15 of a-z, 0-9 and -, at least one letter, no - at an end or twice in a row.</summary>
    public static bool IsPort(string text) =>
        text.Length is > 0 and <= 15 && IsLabelShaped(text) && text.Any(char.IsAsciiLetterLower) && !text.Contains("--", StringComparison.Ordinal);

    private static bool IsLabelShaped(string text) =>
        text.Length > 0 && IsLowerOrDigit(text[0]) && IsLowerOrDigit(text[^1]) && text.All(c => IsLowerOrDigit(c) || c == '-');

    private static bool IsLowerOrDigit(char c) => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c);
}
