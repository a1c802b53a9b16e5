using Microsoft.AspNetCore.Http;

namespace Overlay.Tests.Fakes;

/// <content>What goes wrong, and what clients have asked for.</content>
public sealed partial class FakeApiServer
{
    private readonly List<Injection> _injections = [];
    private readonly List<SeenRequest> _seen = [];
    private TaskCompletionSource _seenMore = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private TaskCompletionSource _released = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Every request so far, in the order of arrival.</summary>
    public IReadOnlyList<SeenRequest> Requests
    {
        get
        {
            lock (_seen)
                return [.. _seen];
        }
    }

    /// <summary>
    /// A list at resourceVersion 0, or "NotOlderThan", has everything, whatever its limit is, as of servers that answer it from their watch cache. Else the limit holds.
    /// </summary>
    public bool ListsFromCache { get; set; } = true;

    /// <summary>A watch from a forgotten revision is answered by 200 and an event ERROR; else by 410. Servers do either.</summary>
    public bool ExpiresByEvent { get; set; } = true;

    /// <summary>Lets the next requests of a kind go wrong.</summary>
    /// <param name="predicate">Which.</param>
    /// <param name="fault">How.</param>
    /// <param name="times">How many of them.</param>
    public void Inject(Func<SeenRequest, bool> predicate, FakeFault fault, int times = 1)
    {
        lock (_injections)
            _injections.Add(new(predicate, fault) { Times = times });
    }

    /// <summary>Nothing goes wrong any more in requests to come.</summary>
    public void ClearFaults()
    {
        lock (_injections)
            _injections.Clear();
    }

    /// <summary>Ends every <see cref="FakeFault.Silence"/>: the server goes on where it stopped.</summary>
    public void Release() => Interlocked.Exchange(ref _released, new(TaskCreationOptions.RunContinuationsAsynchronously)).SetResult();

    /// <summary>Ends every watch: in the regular way, or with its connection reset.</summary>
    public void DropWatches(bool reset = false) => _storage.ForEachWatch(watch =>
    {
        if (reset)
            watch.Reset();
        watch.End();
    });

    /// <summary>How many watches are running.</summary>
    public int Watches
    {
        get
        {
            var count = 0;
            _storage.ForEachWatch(_ => count++);
            return count;
        }
    }

    /// <summary>Sends a bookmark to every watch that asked for them.</summary>
    public void SendBookmarks() => _storage.ForEachWatch(watch => watch.SendBookmark(_storage.Revision));

    /// <summary>Writes any line to every running watch of a kind: garbage, events of unknown types, an ERROR.</summary>
    public void SendToWatches(string plural, string line) => _storage.ForEachWatch(watch =>
    {
        if (watch.Kind.Plural == plural)
            watch.Send(line);
    });

    /// <summary>Waits for a request, be it past or future.</summary>
    /// <param name="predicate">Which.</param>
    /// <param name="timeout">How long at most; 30 s if null.</param>
    /// <param name="times">Which of them: 1 for the first.</param>
    /// <exception cref="TimeoutException">It did not come; says what did.</exception>
    public async Task<SeenRequest> SeenAsync(Func<SeenRequest, bool> predicate, TimeSpan? timeout = null, int times = 1)
    {
        using var deadline = new CancellationTokenSource(timeout ?? TimeSpan.FromSeconds(30));
        while (true)
        {
            Task more;
            lock (_seen)
            {
                if (_seen.Where(predicate).ElementAtOrDefault(times - 1) is { } found)
                    return found;
                more = _seenMore.Task;
            }

            try
            {
                await more.WaitAsync(deadline.Token);
            }
            catch (OperationCanceledException)
            {
                throw new TimeoutException($"No such request came. These did:\n{string.Join('\n', Requests)}");
            }
        }
    }

    private void Record(SeenRequest request)
    {
        lock (_seen)
        {
            _seen.Add(request);
            _seenMore.SetResult();
            _seenMore = new(TaskCreationOptions.RunContinuationsAsynchronously);
        }
    }

    private FakeFault? Take(SeenRequest request)
    {
        lock (_injections)
        {
            var injection = _injections.FirstOrDefault(injection => injection.Times > 0 && injection.Predicate(request));
            if (injection is not null)
                injection.Times--;
            return injection?.Fault;
        }
    }

    /// <summary>Does what is wrong before the answer, or lets it happen within.</summary>
    /// <returns>There is nothing more to answer.</returns>
    private async Task<bool> FailAsync(HttpContext context, FakeFault fault)
    {
        switch (fault)
        {
            case FakeFault.Answer answer:
                if (answer.RetryAfterSeconds is { } seconds)
                    context.Response.Headers.RetryAfter = $"{seconds}";
                await WriteAsync(context, answer.Code, answer.Body is { } text ? System.Text.Encoding.UTF8.GetBytes(text) : StoredVersion.Bytes(StatusException.Of(answer.Code).ToJson()));
                return true;
            case FakeFault.Reset { AfterBytes: null } reset:
                Reset(context, reset.StreamOnly);
                return true;
            case FakeFault.Silence { AfterBytes: null }:
                await _released.Task.WaitAsync(context.RequestAborted);
                return false;
            default:
                context.Response.Body = new FaultyBody(context.Response.Body, fault, () => Reset(context, fault is FakeFault.Reset { StreamOnly: true }), _released.Task);
                return false;
        }
    }

    private void Reset(HttpContext context, bool streamOnly = false)
    {
        if (streamOnly)
            context.Abort();
        else if (_connections.TryGetValue(context.Connection.Id, out var connection))
            connection.Abort();
    }

    private sealed record Injection(Func<SeenRequest, bool> Predicate, FakeFault Fault)
    {
        public int Times { get; set; }
    }
}
