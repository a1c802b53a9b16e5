using System.Text;
using System.Text.Json.Nodes;

namespace Overlay.Tests.Fakes;

/// <summary>The answer to a list: which objects, at which revision, and how it reads.</summary>
internal static class FakeList
{
    private const string TooOld = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, "
        + "or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - "
        + "objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

    /// <summary>The body of the answer.</summary>
    /// <param name="storage">Where the objects are.</param>
    /// <param name="kind">Their kind.</param>
    /// <param name="ns">Their namespace; null for all.</param>
    /// <param name="options">What is asked for.</param>
    /// <param name="fromCache">The server answers from its watch cache where it may, and that knows no limit.</param>
    /// <param name="refusal">Or the body of a refusal, with code 410.</param>
    public static byte[] Answer(FakeStorage storage, FakeKind kind, string? ns, FakeListOptions options, bool fromCache, out JsonObject? refusal)
    {
        refusal = null;
        if (options.ResourceVersion > storage.Revision)
            throw StatusException.TooLargeResourceVersion(options.ResourceVersion.Value, storage.Revision);
        var (revision, after) = Start(options);
        if (storage.List(kind, ref revision) is not { } objects)
        {
            if (options.Continue is null)
                throw StatusException.Of(410);
            refusal = new StatusException(410, "Expired", TooOld).ToJson(FakeListOptions.Token(-1, after!));
            return [];
        }

        var rest = objects.Values.Where(version => version.IsIn(ns) && (after is null || string.CompareOrdinal(version.Key, after) > 0)).ToList();
        var limit = options.Limit <= 0 || (fromCache && IsOfCache(options)) ? int.MaxValue : options.Limit;
        var metadata = new JsonObject { ["resourceVersion"] = $"{revision}" };
        if (rest.Count > limit)
            (metadata["continue"], metadata["remainingItemCount"]) = (FakeListOptions.Token(revision!.Value, rest[limit - 1].Key), rest.Count - limit);
        return Write(kind, metadata, rest.Take(limit));
    }

    // A page that goes on, a list with a limit, and one with "Exact" are at the revision that is asked for; others are not older than that, which the latest never is.
    private static (long? Revision, string? After) Start(FakeListOptions options)
    {
        if (options.Continue is not null)
        {
            var (revision, after) = FakeListOptions.Place(options.Continue);
            return (revision < 0 ? null : revision, after);
        }

        return options.ResourceVersion > 0 && (options.Match == "Exact" || (options.Limit > 0 && options.Match is null)) ? (options.ResourceVersion, null) : (null, null);
    }

    private static bool IsOfCache(FakeListOptions options) =>
        options.Continue is null && (options.ResourceVersion == 0 || (options.ResourceVersion > 0 && options.Match == "NotOlderThan"));

    private static byte[] Write(FakeKind kind, JsonObject metadata, IEnumerable<StoredVersion> versions)
    {
        using var body = new MemoryStream();
        void Text(string text) => body.Write(Encoding.UTF8.GetBytes(text));
        Text(kind.IsCustom ? $$"""{"apiVersion":"{{kind.ApiVersion}}","items":[""" : $$"""{"kind":"{{kind.Kind}}List","apiVersion":"{{kind.ApiVersion}}","metadata":{{metadata.ToJsonString()}},"items":[""");
        var separator = "";
        foreach (var version in versions)
        {
            Text(separator);
            body.Write(version.Item);
            separator = ",";
        }

        Text(kind.IsCustom ? $$"""],"kind":"{{kind.Kind}}List","metadata":{{metadata.ToJsonString()}}}""" : "]}");
        Text("\n");
        return body.ToArray();
    }
}
