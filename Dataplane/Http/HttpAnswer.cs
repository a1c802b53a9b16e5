namespace Overlay.Dataplane.Http;

/// <summary>What a path answers.</summary>
/// <param name="Status">Code and reason, such as <c>200 OK</c>.</param>
/// <param name="MediaType">For Content-Type.</param>
/// <param name="Body">The text.</param>
internal sealed record HttpAnswer(string Status, string MediaType, string Body)
{
    /// <summary>For Content-Type of text for people.</summary>
    public const string PlainText = "text/plain; charset=utf-8";
}
