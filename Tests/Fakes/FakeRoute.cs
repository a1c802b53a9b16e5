namespace Overlay.Tests.Fakes;

/// <summary>What an address is of.</summary>
internal sealed record FakeRoute(FakeKind Kind, string? Namespace, string? Name, string? Subresource)
{
    /// <summary>The object's place in the storage.</summary>
    public string Key => $"{Namespace}/{Name}";

    /// <summary>Reads an address.</summary>
    /// <exception cref="StatusException">The group and version are served, the resource is not.</exception>
    /// <returns>Null: nothing is served below there.</returns>
    public static FakeRoute? Read(string path, IReadOnlyList<FakeKind> kinds)
    {
        var (apiVersion, rest) = Split(path);
        if (apiVersion is null || kinds.All(kind => kind.ApiVersion != apiVersion) || rest.Length == 0)
            return null;
        var ns = IsBelowNamespace(rest) ? rest[1] : null;
        var names = ns is null ? rest : rest[2..];
        var kind = kinds.FirstOrDefault(kind => kind.ApiVersion == apiVersion && kind.Plural == names[0]);
        var one = names.Length > 1;
        if (kind is null || names.Length > 3 || kind.IsNamespaced != (ns is not null) && (ns is not null || one))
            throw StatusException.UnknownResource();
        return new(kind, ns, one ? names[1] : null, names.Length > 2 ? names[2] : null);
    }

    /// <summary>The plural in the address, whether or not it is served.</summary>
    public static string? Resource(string path) => Split(path) is (not null, { Length: > 0 } rest) ? rest[IsBelowNamespace(rest) ? 2 : 0] : null;

    private static bool IsBelowNamespace(string[] rest) => rest.Length > 2 && rest[0] == "namespaces" && rest[2] != "status";

    private static (string? ApiVersion, string[] Names) Split(string path) => path.Split('/', StringSplitOptions.RemoveEmptyEntries) switch
    {
        ["api", var version, .. var rest] => (version, rest),
        ["apis", var group, var version, .. var rest] => ($"{group}/{version}", rest),
        _ => (null, []),
    };
}
