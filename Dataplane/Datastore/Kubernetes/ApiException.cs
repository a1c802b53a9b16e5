using System.Net;

namespace Overlay.Dataplane.Datastore.Kubernetes;

/// <summary>The API server refused: what its Status object says (apimachinery, pkg/apis/meta/v1/types.go).</summary>
/// <param name="code">HTTP status, or the code of a Status within a watch.</param>
/// <param name="reason">Status.reason, such as <c>Expired</c>; empty when it gave none.</param>
/// <param name="message">One sentence: what was asked, and Status.message.</param>
/// <param name="retryAfter">How long it asks to be left alone, or null.</param>
internal sealed class ApiException(HttpStatusCode code, string reason, string message, TimeSpan? retryAfter = null) : Exception(message)
{
    /// <summary>HTTP status.</summary>
    public HttpStatusCode Code { get; } = code;

    /// <summary>Status.reason.</summary>
    public string Reason { get; } = reason;

    /// <summary>How long it asks to be left alone, or null.</summary>
    public TimeSpan? RetryAfter { get; } = retryAfter;

    /// <summary>The revision asked for is not kept any more: list again.</summary>
    public bool IsExpired => Code == HttpStatusCode.Gone || Reason is "Expired" or "Gone";
}
