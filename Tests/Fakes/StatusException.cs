using System.Text.Json.Nodes;

namespace Overlay.Tests.Fakes;

/// <summary>An answer that is no success: a <c>Status</c> object with the words of kube-apiserver.</summary>
internal sealed class StatusException(int code, string? reason, string message, JsonObject? details = null) : Exception(message)
{
    /// <summary>HTTP status code.</summary>
    public int Code => code;

    /// <summary>When to ask again, if the answer says so.</summary>
    public string? RetryAfter => details?["retryAfterSeconds"]?.ToString();

    /// <summary>The Status object.</summary>
    public JsonObject ToJson(string? continuation = null)
    {
        var status = new JsonObject
        {
            ["kind"] = "Status",
            ["apiVersion"] = "v1",
            ["metadata"] = continuation is null ? new JsonObject() : new JsonObject { ["continue"] = continuation },
            ["status"] = "Failure",
            ["message"] = Message,
        };
        if (reason is not null)
            status["reason"] = reason;
        if (details is not null)
            status["details"] = details.DeepClone();
        status["code"] = code;
        return status;
    }

    public static StatusException BadRequest(string message) => new(400, "BadRequest", message);

    public static StatusException UnknownResource() => new(404, "NotFound", "the server could not find the requested resource", []);

    public static StatusException NotFound(FakeKind kind, string name) => new(404, "NotFound", $"{Resource(kind)} \"{name}\" not found", About(kind, name));

    public static StatusException AlreadyExists(FakeKind kind, string name) => new(409, "AlreadyExists", $"{Resource(kind)} \"{name}\" already exists", About(kind, name));

    public static StatusException Conflict(FakeKind kind, string name) => new(
        409,
        "Conflict",
        $"Operation cannot be fulfilled on {Resource(kind)} \"{name}\": the object has been modified; please apply your changes to the latest version and try again",
        About(kind, name));

    public static StatusException Invalid(string group, string kind, string name, string field, string reason, string message) => new(
        422,
        "Invalid",
        $"{(group.Length == 0 ? kind : $"{kind}.{group}")} \"{name}\" is invalid: {field}: {message}",
        new(new[] { ("name", name), ("group", group), ("kind", kind) }.Where(member => member.Item2.Length > 0).Select(member => KeyValuePair.Create(member.Item1, (JsonNode?)member.Item2)))
        {
            ["causes"] = new JsonArray(new JsonObject { ["reason"] = reason, ["message"] = message, ["field"] = field }),
        });

    public static StatusException TooLargeResourceVersion(long asked, long current) => new(504, "Timeout", $"Timeout: Too large resource version: {asked}, current: {current}", new()
    {
        ["causes"] = new JsonArray(new JsonObject { ["reason"] = "ResourceVersionTooLarge", ["message"] = "Too large resource version" }),
        ["retryAfterSeconds"] = 1,
    });

    /// <summary>What a code means when nothing better is known: of an injected answer, for example.</summary>
    public static StatusException Of(int code) => code switch
    {
        401 => new(401, "Unauthorized", "Unauthorized"),
        403 => new(403, "Forbidden", "forbidden: User \"overlay\" cannot do this"),
        404 => UnknownResource(),
        410 => new(410, "Expired", "The resourceVersion for the provided list is too old."),
        415 => new(415, "UnsupportedMediaType", "415: Unsupported Media Type", []),
        429 => new(429, "TooManyRequests", "the server has received too many requests and has asked us to try again later"),
        500 => new(500, "InternalError", "Internal error occurred: injected"),
        503 => new(503, "ServiceUnavailable", "the server is currently unable to handle the request"),
        504 => new(504, "Timeout", "Timeout: request did not complete within the allotted timeout"),
        _ => new(code, null, $"code {code}"),
    };

    private static string Resource(FakeKind kind) => kind.Group.Length == 0 ? kind.Plural : $"{kind.Plural}.{kind.Group}";

    private static JsonObject About(FakeKind kind, string name)
    {
        var details = new JsonObject { ["name"] = name };
        if (kind.Group.Length > 0)
            details["group"] = kind.Group;
        details["kind"] = kind.Plural;
        return details;
    }
}
