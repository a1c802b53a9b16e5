using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text.Json;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Datastore.Kubernetes;

/// <summary>What a <see cref="ListWatch"/> tells. A closed family.</summary>
internal abstract record ResourceEvent
{
    private ResourceEvent()
    {
    }

    /// <summary>An object is there, as it is now; told again when nothing of it may have changed.</summary>
    public sealed record Set(ApiObject Object) : ResourceEvent;

    /// <summary>An object is gone.</summary>
    public sealed record Gone(NamespacedName Name) : ResourceEvent;

    /// <summary>Everything that was there at some moment has been told, and what is not there any more as gone.</summary>
    public sealed record Listed : ResourceEvent;

    /// <summary>The server does not answer as it should; it is asked on and on, and what was told stays true as far as is known.</summary>
    /// <param name="Reason">Why; null: it answers again.</param>
    /// <param name="Since">When it first did not (UTC).</param>
    public sealed record Failing(Exception? Reason, DateTime Since) : ResourceEvent;
}

/// <summary>
/// All objects of one kind, kept up to date: listed once, then watched from the revision of the list, from event to event and over every broken connection. Only when the server has forgotten
/// that revision everything is listed anew, and what differs is told.
/// </summary>
/// <param name="server">Whom to ask.</param>
/// <param name="resource">For what.</param>
/// <param name="timing">When to give up and when to try again.</param>
/// <param name="tell">Takes what is to be told; it is waited for, so a slow taker slows the server's stream down.</param>
internal sealed class ListWatch(ApiServer server, Resource resource, ListWatchTiming timing, Func<ResourceEvent, CancellationToken, ValueTask> tell)
{
    private readonly Pool _pool = new();
    private readonly Backoff _backoff = timing.Retry();
    private HashSet<NamespacedName> _known = [];
    private string _revision = "";
    private bool _hasListed;
    private (DateTime Since, Stopwatch Clock, bool IsRefused)? _failing;
    private bool _isToldFailing;
    private bool _hasExpired;

    /// <summary>Lists and watches until cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        while (true)
        {
            TimeSpan wait;
            try
            {
                wait = _revision.Length == 0 && !await ListAsync(cancellation).ConfigureAwait(false) ? timing.Absent() : await WatchAsync(cancellation).ConfigureAwait(false);
            }
            catch (ApiException e) when (_revision.Length > 0 && (e.IsExpired || (resource.IsOptional && e.Code == HttpStatusCode.NotFound)))
            {
                // The list has the last word, also on whether there is such a kind. At once, unless the list before was for the same reason.
                _revision = "";
                wait = _hasExpired ? _backoff.Next() : TimeSpan.Zero;
                _hasExpired = true;
            }
            catch (Exception e) when (e is ApiException or HttpRequestException or IOException or JsonException)
            {
                // What a watch says that cannot be read would be said again: a list goes past it.
                if (e is JsonException)
                    _revision = "";
                wait = await FailAsync(e, cancellation).ConfigureAwait(false);
            }

            await Task.Delay(wait, cancellation).ConfigureAwait(false);
        }
    }

    // The first list may be a little old, out of the server's memory. Those that follow have to be newer than what was told, so they are the newest there is.
    private async Task<bool> ListAsync(CancellationToken cancellation)
    {
        var seen = new HashSet<NamespacedName>();
        var (next, limit) = ("", timing.PageSize);
        var (isFirst, isReady) = (true, false);
        while (isFirst || next.Length > 0)
        {
            var query = $"?limit={limit}{(next.Length > 0 ? $"&continue={Uri.EscapeDataString(next)}" : _hasListed ? "" : "&resourceVersion=0")}";
            try
            {
                next = await ListPageAsync(resource.Path + query, seen, cancellation).ConfigureAwait(false);
                isFirst = false;
            }
            catch (ApiException e) when (e.IsExpired && next.Length > 0)
            {
                // Pages took longer than the server keeps their revision: once more, in one piece.
                (next, limit, isFirst) = ("", 0, true);
                seen.Clear();
            }
            catch (ApiException e) when (e.Code == HttpStatusCode.NotFound && resource.IsOptional && isFirst)
            {
                if (isReady)
                {
                    await EndListAsync([], cancellation).ConfigureAwait(false);
                    return false;
                }

                await AwaitReadyAsync(cancellation).ConfigureAwait(false);
                isReady = true; // and asked once more, now that it knows
            }
        }

        await EndListAsync(seen, cancellation).ConfigureAwait(false);
        return true;
    }

    private async Task<string> ListPageAsync(string path, HashSet<NamespacedName> seen, CancellationToken cancellation)
    {
        using var response = await server.GetAsync(path, cancellation).ConfigureAwait(false);
        using var stream = await response.Content.ReadAsStreamAsync(cancellation).ConfigureAwait(false);
        using var buffer = new BodyBuffer(stream, timing.Silence);
        var body = new ListBody(buffer);
        await foreach (var item in body.ItemsAsync(cancellation).ConfigureAwait(false))
        {
            var read = ApiObject.Read(resource, item.Span, _pool);
            seen.Add(read.Name);
            _known.Add(read.Name);
            await tell(new ResourceEvent.Set(read), cancellation).ConfigureAwait(false);
        }

        if (body.ResourceVersion.Length == 0)
            throw new JsonException("the list has no resourceVersion");
        _revision = body.Continue.Length == 0 ? body.ResourceVersion : "";
        return body.Continue;
    }

    private async Task EndListAsync(HashSet<NamespacedName> seen, CancellationToken cancellation)
    {
        foreach (var gone in _known.Where(name => !seen.Contains(name)).ToList())
            await tell(new ResourceEvent.Gone(gone), cancellation).ConfigureAwait(false);
        _known = seen;
        _hasListed = true;
        await RecoverAsync(cancellation).ConfigureAwait(false);
        await tell(new ResourceEvent.Listed(), cancellation).ConfigureAwait(false);
    }

    // A server that is just starting does not know of CustomResourceDefinitions yet, and must not be believed that there are none.
    private async Task AwaitReadyAsync(CancellationToken cancellation)
    {
        try
        {
            (await server.GetAsync("/readyz", cancellation).ConfigureAwait(false)).Dispose();
        }
        catch (ApiException e) when (e.Code is HttpStatusCode.NotFound or HttpStatusCode.Forbidden)
        {
            // Before Kubernetes 1.16, or not for us to know: then its word has to do.
        }
    }

    // Returns how long to wait before the next watch.
    private async Task<TimeSpan> WatchAsync(CancellationToken cancellation)
    {
        var lasting = timing.Watch();
        var seconds = ((int)lasting.TotalSeconds).ToString(CultureInfo.InvariantCulture);
        var path = $"{resource.Path}?watch=1&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={Uri.EscapeDataString(_revision)}";
        var clock = Stopwatch.StartNew();
        using var response = await server.GetAsync(path, cancellation).ConfigureAwait(false);
        using var stream = await response.Content.ReadAsStreamAsync(cancellation).ConfigureAwait(false);
        using var buffer = new BodyBuffer(stream, lasting + timing.Silence);
        var events = 0;
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var proven = ProveAsync(ended.Token);
        try
        {
            await foreach (var change in new WatchBody(buffer).EventsAsync(cancellation).ConfigureAwait(false))
            {
                await TakeAsync(change, cancellation).ConfigureAwait(false);
                events++;
                _backoff.Reset();
                _hasExpired = false;
                await RecoverAsync(cancellation).ConfigureAwait(false);
            }
        }
        finally
        {
            await ended.CancelAsync().ConfigureAwait(false);
            await proven.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        if (events == 0 && clock.Elapsed < timing.Shortest)
            throw new IOException("the watch ended as soon as it had begun");
        _backoff.Reset();
        return TimeSpan.Zero;
    }

    // That a watch begins well proves nothing yet; that it says something that can be read, or lasts for a while, does.
    private async Task ProveAsync(CancellationToken cancellation)
    {
        await Task.Delay(timing.Bearable, cancellation).ConfigureAwait(false);
        _hasExpired = false;
        await RecoverAsync(cancellation).ConfigureAwait(false);
    }

    private async ValueTask TakeAsync(WatchEvent change, CancellationToken cancellation)
    {
        switch (change.Type)
        {
            case WatchEventType.Added or WatchEventType.Modified:
                var read = ApiObject.Read(resource, change.Object.Span, _pool);
                Advance(read.ResourceVersion);
                _known.Add(read.Name);
                await tell(new ResourceEvent.Set(read), cancellation).ConfigureAwait(false);
                break;
            case WatchEventType.Deleted:
                var (gone, last) = ApiObject.ReadName(change.Object.Span, _pool);
                Advance(last);
                _known.Remove(gone);
                await tell(new ResourceEvent.Gone(gone), cancellation).ConfigureAwait(false);
                break;
            case WatchEventType.Bookmark:
                Advance(ApiObject.ReadName(change.Object.Span, _pool).ResourceVersion);
                break;
            case WatchEventType.Error:
                throw ApiServer.Refusal($"watch of {resource.Path}", (int)HttpStatusCode.InternalServerError, change.Object);
        }
    }

    // Revisions only grow, unless somebody has put an older copy of the cluster's store in place: then nothing that was told can be relied on.
    private void Advance(string revision)
    {
        if (revision.Length == 0)
            throw new JsonException("an object of the watch has no resourceVersion");
        if (ulong.TryParse(revision, out var now) && ulong.TryParse(_revision, out var before) && now < before)
            throw new ApiException(HttpStatusCode.Gone, "Expired", $"{resource.Path}: the server has gone back from revision {before} to {now}");
        _revision = revision;
    }

    private async ValueTask<TimeSpan> FailAsync(Exception reason, CancellationToken cancellation)
    {
        // A connection may break; that none comes about for a while is worth telling. Who has nothing yet is told at once.
        // A server that has just come back refuses for a moment what it has not read up on yet.
        var isRefused = reason is ApiException;
        if (_failing is null || _failing.Value.IsRefused != isRefused)
            _failing = (_failing?.Since ?? DateTime.UtcNow, Stopwatch.StartNew(), isRefused);
        if (!_hasListed || _failing.Value.Clock.Elapsed >= timing.Bearable)
        {
            _isToldFailing = true;
            await tell(new ResourceEvent.Failing(reason, _failing.Value.Since), cancellation).ConfigureAwait(false);
        }

        var wait = _backoff.Next();
        return reason is ApiException { RetryAfter: { } asked } && asked > wait ? asked : wait;
    }

    private async ValueTask RecoverAsync(CancellationToken cancellation)
    {
        _failing = null;
        if (!_isToldFailing)
            return;
        _isToldFailing = false;
        await tell(new ResourceEvent.Failing(null, default), cancellation).ConfigureAwait(false);
    }
}
