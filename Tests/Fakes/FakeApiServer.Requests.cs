using System.Collections.Concurrent;
using System.IO.Compression;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;

namespace Overlay.Tests.Fakes;

/// <content>Answers.</content>
public sealed partial class FakeApiServer
{
    // kube-apiserver compresses from here on, for clients that take it.
    private const int CompressedFrom = 128 * 1024;

    private readonly ConcurrentDictionary<string, bool> _tokens = [];
    private readonly ConcurrentDictionary<string, bool> _thumbprints = [];

    /// <summary>A token that it takes, at first.</summary>
    public string Token { get; } = $"{Guid.NewGuid():N}";

    /// <summary>Takes a bearer token from now on.</summary>
    public void AcceptToken(string token) => _tokens[token] = true;

    /// <summary>Answers requests with this token with 401 from now on.</summary>
    public void RejectToken(string token) => _tokens.TryRemove(token, out _);

    /// <summary>Takes a client's certificate from now on, or not any more, by its thumbprint.</summary>
    public void AcceptCertificate(string thumbprint, bool accept = true)
    {
        if (accept)
            _thumbprints[thumbprint] = true;
        else
            _thumbprints.TryRemove(thumbprint, out _);
    }

    private async Task AnswerAsync(HttpContext context)
    {
        var request = await SeenRequest.ReadAsync(context.Request);
        Record(request);
        try
        {
            if (Take(request) is not { } fault || !await FailAsync(context, fault))
                await AnswerAsync(context, request);
        }
        catch (StatusException status)
        {
            if (status.RetryAfter is { } seconds)
                context.Response.Headers.RetryAfter = seconds;
            await WriteAsync(context, status.Code, StoredVersion.Bytes(status.ToJson()));
        }
        catch (EndOfStreamException)
        {
            // a fault ends the body here
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            // the client has gone, or was thrown out
        }
        finally
        {
            request.End();
        }
    }

    private async Task AnswerAsync(HttpContext context, SeenRequest request)
    {
        var authorization = request.Headers.GetValueOrDefault("Authorization") ?? "";
        var isKnown = context.Connection.ClientCertificate is { } certificate && _thumbprints.ContainsKey(certificate.Thumbprint);
        if (!isKnown && (!authorization.StartsWith("Bearer ", StringComparison.Ordinal) || !_tokens.ContainsKey(authorization["Bearer ".Length..])))
            throw StatusException.Of(401);
        var kinds = _storage.Kinds;
        if (request.Path is "/readyz" or "/livez" or "/healthz")
            await WriteAsync(context, 200, "ok"u8.ToArray(), "text/plain; charset=utf-8");
        else if (request.Method == "GET" && FakeDiscovery.Answer(request.Path, kinds) is { } discovery)
            await WriteAsync(context, 200, StoredVersion.Bytes(discovery));
        else if (FakeRoute.Read(request.Path, kinds) is { } route)
            await AnswerAsync(context, request, route);
        else
            await WriteAsync(context, 404, "404 page not found\n"u8.ToArray(), "text/plain; charset=utf-8"); // no Status: nothing is served there
    }

    private async Task AnswerAsync(HttpContext context, SeenRequest request, FakeRoute route)
    {
        switch (request.Method, route.Name, route.Subresource)
        {
            case ("GET", null, null) when FakeListOptions.Read(request.Query) is { Watch: true } options:
                await WatchAsync(context, route, options);
                break;
            case ("GET", null, null):
                var list = FakeList.Answer(_storage, route.Kind, route.Namespace, FakeListOptions.Read(request.Query), ListsFromCache, out var refusal);
                await WriteAsync(context, refusal is null ? 200 : 410, refusal is null ? list : StoredVersion.Bytes(refusal));
                break;
            case ("GET", not null, null or "status"):
                var present = _storage.Change(route.Kind, route.Key, before => before);
                await WriteAsync(context, 200, StoredVersion.Bytes(present ?? throw StatusException.NotFound(route.Kind, route.Name)));
                break;
            case ("PATCH", not null, "status"):
                await WriteAsync(context, 200, StoredVersion.Bytes(FakeWrites.PatchStatus(_storage, route, request)));
                break;
            case ("POST", null, null):
                await WriteAsync(context, 201, StoredVersion.Bytes(FakeWrites.Create(_storage, route, request, Identified)));
                break;
            default:
                throw new StatusException(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", []);
        }
    }

    private async Task WatchAsync(HttpContext context, FakeRoute route, FakeListOptions options)
    {
        var watch = new FakeWatch(route.Kind, route.Namespace, options.AllowWatchBookmarks, () => Reset(context));
        context.Response.ContentType = "application/json";
        if (!_storage.Begin(watch, options.ResourceVersion is 0 ? null : options.ResourceVersion))
        {
            var expired = new StatusException(410, "Expired", $"too old resource version: {options.ResourceVersion} ({_storage.Revision})");
            if (!ExpiresByEvent)
                throw expired;
            watch.Send(new JsonObject { ["type"] = "ERROR", ["object"] = expired.ToJson() }.ToJsonString());
            watch.End();
        }

        try
        {
            using var timer = options.TimeoutSeconds is { } seconds ? new Timer(_ => watch.End(), null, TimeSpan.FromSeconds(seconds), Timeout.InfiniteTimeSpan) : null;
            await context.Response.Body.FlushAsync(context.RequestAborted);
            await foreach (var line in watch.Lines.ReadAllAsync(context.RequestAborted))
            {
                await context.Response.Body.WriteAsync(line, context.RequestAborted);
                await context.Response.Body.FlushAsync(context.RequestAborted);
            }
        }
        finally
        {
            _storage.End(watch);
        }
    }

    private static async Task WriteAsync(HttpContext context, int code, byte[] body, string contentType = "application/json")
    {
        context.Response.StatusCode = code;
        context.Response.ContentType = contentType;
        if (body.Length >= CompressedFrom && context.Request.Headers.AcceptEncoding.ToString().Contains("gzip", StringComparison.Ordinal))
        {
            context.Response.Headers.ContentEncoding = "gzip";
            using var compressed = new MemoryStream();
            using (var gzip = new GZipStream(compressed, CompressionLevel.Fastest))
                gzip.Write(body);
            body = compressed.ToArray();
        }

        await context.Response.Body.WriteAsync(body, context.RequestAborted);
        await context.Response.Body.FlushAsync(context.RequestAborted);
    }
}
