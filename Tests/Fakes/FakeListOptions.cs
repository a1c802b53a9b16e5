using System.Globalization;
using System.Text.Json;

namespace Overlay.Tests.Fakes;

/// <summary>The parameters of a list or a watch, as kube-apiserver reads them.</summary>
internal sealed record FakeListOptions(bool Watch, int Limit, string? Continue, long? ResourceVersion, string? Match, int? TimeoutSeconds, bool AllowWatchBookmarks)
{
    private static readonly string[] Known =
        ["watch", "limit", "continue", "resourceVersion", "resourceVersionMatch", "timeoutSeconds", "allowWatchBookmarks", "pretty"];

    /// <summary>Reads and judges them.</summary>
    /// <exception cref="StatusException">What the server refuses, and what this fake one does not have.</exception>
    public static FakeListOptions Read(IReadOnlyDictionary<string, string> query)
    {
        if (query.ContainsKey("sendInitialEvents"))
            throw Forbidden("sendInitialEvents", "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled");
        if (query.Keys.FirstOrDefault(name => !Known.Contains(name)) is { } unknown)
            throw StatusException.BadRequest($"the fake API server does not have the parameter {unknown}; add it, or ask without");
        var options = new FakeListOptions(
            query.GetValueOrDefault("watch") is "1" or "true",
            (int)(Number(query, "limit") ?? 0),
            Text(query, "continue"),
            Revision(Text(query, "resourceVersion")),
            Text(query, "resourceVersionMatch"),
            (int?)Number(query, "timeoutSeconds"),
            query.GetValueOrDefault("allowWatchBookmarks") is "1" or "true");
        options.Judge();
        return options;
    }

    /// <summary>The place in a list where the next page begins: the revision (-1: the latest) and the last key of the page before.</summary>
    public static string Token(long revision, string after) => Convert.ToBase64String(JsonSerializer.SerializeToUtf8Bytes(new[] { $"{revision}", after }));

    /// <summary>What <see cref="Token"/> made of them.</summary>
    /// <exception cref="StatusException">It did not make that.</exception>
    public static (long Revision, string After) Place(string token)
    {
        try
        {
            var parts = JsonSerializer.Deserialize<string[]>(Convert.FromBase64String(token))!;
            return (long.Parse(parts[0], CultureInfo.InvariantCulture), parts[1]);
        }
        catch (Exception error) when (error is FormatException or JsonException or IndexOutOfRangeException)
        {
            throw StatusException.BadRequest($"invalid continue token: continue key is not valid: {error.Message}");
        }
    }

    private void Judge()
    {
        if (Match is not (null or "Exact" or "NotOlderThan"))
            throw Invalid("FieldValueNotSupported", "resourceVersionMatch", $"Unsupported value: \"{Match}\": supported values: \"Exact\", \"NotOlderThan\", \"\"");
        if (Match is not null && Watch)
            throw Forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden for watch");
        if (Match is not null && Continue is not null)
            throw Forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided");
        if (Match is not null && ResourceVersion is null)
            throw Forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided");
        if (Match == "Exact" && ResourceVersion == 0)
            throw Forbidden("resourceVersionMatch", "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
        if (!Watch && Continue is not null && ResourceVersion > 0)
            throw StatusException.BadRequest("specifying resource version is not allowed when using continue");
    }

    private static long? Revision(string? text) => text is null ? null
        : ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var revision) ? (long)revision
        : throw new StatusException(500, null, $"resourceVersion: Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": invalid syntax");

    private static long? Number(IReadOnlyDictionary<string, string> query, string name) => Text(query, name) is not { } text ? null
        : long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) ? number
        : throw StatusException.BadRequest($"strconv.ParseInt: parsing \"{text}\": invalid syntax");

    private static string? Text(IReadOnlyDictionary<string, string> query, string name) => query.GetValueOrDefault(name) is { Length: > 0 } text ? text : null;

    private static StatusException Forbidden(string field, string message) => Invalid("FieldValueForbidden", field, $"Forbidden: {message}");

    private static StatusException Invalid(string reason, string field, string message) => StatusException.Invalid("meta.k8s.io", "ListOptions", "", field, reason, message);
}
