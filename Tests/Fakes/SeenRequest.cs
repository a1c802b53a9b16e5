using System.Text;
using Microsoft.AspNetCore.Http;

namespace Overlay.Tests.Fakes;

/// <summary>A request that reached the fake server.</summary>
public sealed class SeenRequest
{
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private SeenRequest(HttpRequest request, string body)
    {
        (Method, Path, Body) = (request.Method, request.Path.Value!, body);
        Query = request.Query.ToDictionary(pair => pair.Key, pair => pair.Value.ToString());
        Headers = request.Headers.ToDictionary(pair => pair.Key, pair => pair.Value.ToString(), StringComparer.OrdinalIgnoreCase);
        Resource = FakeRoute.Resource(Path);
    }

    /// <summary>GET, PATCH, POST.</summary>
    public string Method { get; }

    /// <summary><c>/api/v1/pods</c>.</summary>
    public string Path { get; }

    /// <summary>What follows the question mark.</summary>
    public IReadOnlyDictionary<string, string> Query { get; }

    /// <summary>The header fields; their names in any case.</summary>
    public IReadOnlyDictionary<string, string> Headers { get; }

    /// <summary>What it brought.</summary>
    public string Body { get; }

    /// <summary>The plural of the kind that the address is of: <c>pods</c>; null for <c>/readyz</c> and the like.</summary>
    public string? Resource { get; }

    /// <summary>It begins a watch.</summary>
    public bool IsWatch => Method == "GET" && Query.GetValueOrDefault("watch") is "1" or "true";

    /// <summary>It asks for a page of a list.</summary>
    public bool IsList => Method == "GET" && !IsWatch && Resource is not null && Path.EndsWith($"/{Resource}", StringComparison.Ordinal);

    /// <summary>Done when the answer is complete, or the client or the server has given it up.</summary>
    public Task Ended => _ended.Task;

    /// <inheritdoc/>
    public override string ToString() => $"{Method} {Path}{(Query.Count == 0 ? "" : "?")}{string.Join('&', Query.Select(pair => $"{pair.Key}={pair.Value}"))}";

    internal static async Task<SeenRequest> ReadAsync(HttpRequest request)
    {
        using var reader = new StreamReader(request.Body, Encoding.UTF8);
        return new(request, await reader.ReadToEndAsync(request.HttpContext.RequestAborted));
    }

    internal void End() => _ended.TrySetResult();
}
