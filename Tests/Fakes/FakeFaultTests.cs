using System.Text;
using System.Text.Json.Nodes;

namespace Overlay.Tests.Fakes;

/// <summary>Each fault of the fake API server does to a plain HttpClient what it says.</summary>
[TestFixture("1.1")]
[TestFixture("2.0")]
public class FakeFaultTests(string version)
{
    private const string Pods = "/api/v1/pods";

    private FakeApiServer _server = null!;
    private ApiClient _client = null!;

    [SetUp]
    public async Task Start()
    {
        _server = await FakeApiServer.StartAsync();
        _client = new(_server.Url, _server.CertificateAuthorityPem, _server.Token, new(version));
        _server.Put(FakeApiServerTests.Pod("a"));
    }

    [TearDown]
    public async Task Stop()
    {
        _client.Dispose();
        await _server.DisposeAsync();
    }

    [TestCase(401, null, "Unauthorized")]
    [TestCase(403, null, "Forbidden")]
    [TestCase(429, 7, "TooManyRequests")]
    [TestCase(500, null, "InternalError")]
    [TestCase(503, 1, "ServiceUnavailable")]
    public async Task Another_answer_as_often_as_asked(int code, int? retryAfter, string reason)
    {
        _server.Inject(request => request.IsList, new FakeFault.Answer(code, retryAfter), times: 2);
        for (var i = 0; i < 2; i++)
        {
            using var response = await _client.Http.GetAsync(Pods);
            Assert.That(((int)response.StatusCode, response.Headers.RetryAfter?.Delta?.TotalSeconds), Is.EqualTo((code, (double?)retryAfter)));
            Assert.That((string?)JsonNode.Parse(await response.Content.ReadAsStringAsync())!["reason"], Is.EqualTo(reason));
        }

        Assert.That((await _client.GetAsync(Pods)).Code, Is.EqualTo(200));
    }

    [Test]
    public async Task Another_body()
    {
        _server.Inject(request => request.IsList, new FakeFault.Answer(200, Body: "<html>"));
        Assert.That(await _client.TextAsync(Pods), Is.EqualTo("<html>"));
    }

    [Test]
    public async Task Faults_are_for_the_requests_that_they_were_made_for()
    {
        _server.Inject(request => request.Resource == "nodes", new FakeFault.Answer(500));
        Assert.That((await _client.GetAsync(Pods)).Code, Is.EqualTo(200));
        Assert.That((await _client.GetAsync("/api/v1/nodes")).Code, Is.EqualTo(500));
    }

    [Test]
    public void A_reset_before_the_answer()
    {
        _server.Inject(request => request.IsList, new FakeFault.Reset());
        Assert.That(() => _client.GetAsync(Pods), Throws.InstanceOf<HttpRequestException>());
    }

    [TestCase(0)]
    [TestCase(25)]
    public async Task A_reset_within_the_body(int bytes)
    {
        _server.Inject(request => request.IsList, new FakeFault.Reset(bytes));
        if (version == "2.0") // HttpClient forgets what it has received, when an HTTP/2 connection breaks.
        {
            Assert.That(() => _client.GetAsync(Pods), Throws.InstanceOf<HttpRequestException>());
            return;
        }

        using var response = await _client.Http.GetAsync(Pods, HttpCompletionOption.ResponseHeadersRead);
        await using var body = await response.Content.ReadAsStreamAsync();
        var received = new byte[bytes];
        await body.ReadExactlyAsync(received);
        Assert.That(Encoding.ASCII.GetString(received), Is.EqualTo("""{"kind":"PodList","apiVersion":"v1" """[..bytes]));
        Assert.That(async () => await body.ReadAsync(new byte[1]), Throws.InstanceOf<IOException>());
    }

    [Test]
    public async Task A_reset_of_a_stream_leaves_the_others_of_the_connection()
    {
        await using var watch = await _client.WatchAsync($"{Pods}?watch=1&resourceVersion={_server.ResourceVersion}");
        _server.Inject(request => request.IsList, new FakeFault.Reset(25, StreamOnly: true));
        Assert.That(() => _client.GetAsync(Pods), Throws.InstanceOf<HttpRequestException>());
        _server.Put(FakeApiServerTests.Pod("b"));
        Assert.That(await watch.NextAsync(), Is.EqualTo("ADDED b"));
    }

    [Test]
    public async Task A_body_that_ends_too_early()
    {
        _server.Inject(request => request.IsList, new FakeFault.Truncate(25));
        Assert.That(await _client.TextAsync(Pods), Is.EqualTo("""{"kind":"PodList","apiVer"""));
    }

    [Test]
    public async Task Silence_before_the_answer_until_it_is_released()
    {
        _server.Inject(request => request.IsList, new FakeFault.Silence());
        var list = _client.GetAsync(Pods);
        await _server.SeenAsync(request => request.IsList);
        Assert.That((await _client.GetAsync("/api/v1/nodes")).Code, Is.EqualTo(200)); // meanwhile
        Assert.That(list.IsCompleted, Is.False);
        _server.Release();
        Assert.That((await list).Code, Is.EqualTo(200));
    }

    [Test]
    public async Task Silence_within_the_body_until_it_is_released()
    {
        _server.Inject(request => request.IsList, new FakeFault.Silence(6));
        using var response = await _client.Http.GetAsync(Pods, HttpCompletionOption.ResponseHeadersRead);
        await using var body = await response.Content.ReadAsStreamAsync();
        await body.ReadExactlyAsync(new byte[6]);
        var next = body.ReadAsync(new byte[1]).AsTask();
        await _client.GetAsync("/api/v1/nodes");
        Assert.That(next.IsCompleted, Is.False);
        _server.Release();
        Assert.That(await next, Is.EqualTo(1));
    }

    [Test]
    public async Task A_silent_watch_holds_its_events_back()
    {
        _server.Inject(request => request.IsWatch, new FakeFault.Silence(0));
        await using var watch = await _client.WatchAsync($"{Pods}?watch=1&resourceVersion={_server.ResourceVersion}");
        _server.Put(FakeApiServerTests.Pod("b"));
        var next = watch.NextAsync();
        await _client.GetAsync("/api/v1/nodes");
        Assert.That(next.IsCompleted, Is.False);
        _server.Release();
        Assert.That(await next, Is.EqualTo("ADDED b"));
    }

    [Test]
    public async Task A_slow_body_comes_a_byte_at_a_time()
    {
        var pod = FakeApiServerTests.Pod("b");
        pod["metadata"]!["annotations"] = new JsonObject { ["text"] = "naïve €𝄞" };
        _server.Put(pod);
        _server.Inject(request => request.IsList, new FakeFault.Slow(1, TimeSpan.FromMilliseconds(1)));
        using var response = await _client.Http.GetAsync(Pods, HttpCompletionOption.ResponseHeadersRead);
        await using var body = await response.Content.ReadAsStreamAsync();
        var (reads, text, buffer) = (0, new MemoryStream(), new byte[4096]);
        for (int length; (length = await body.ReadAsync(buffer)) > 0; reads++)
            text.Write(buffer, 0, length);
        Assert.That(Encoding.UTF8.GetString(text.ToArray()), Does.Contain("naïve €𝄞").And.EndsWith("]}\n"));
        Assert.That(reads, Is.GreaterThan(text.Length / 2)); // some may have been under way together
    }

    [Test]
    public async Task Every_event_twice()
    {
        _server.Inject(request => request.IsWatch, new FakeFault.Twice());
        await using var watch = await _client.WatchAsync($"{Pods}?watch=1");
        Assert.That(new[] { await watch.NextAsync(), await watch.NextAsync() }, Is.EqualTo(new[] { "ADDED a", "ADDED a" }));
    }

    [Test]
    public async Task Any_line_in_a_running_watch()
    {
        await using var watch = await _client.WatchAsync($"{Pods}?watch=1");
        Assert.That(await watch.NextAsync(), Is.EqualTo("ADDED a"));
        _server.SendToWatches("pods", "garbage");
        _server.SendToWatches("pods", """{"type":"RENAMED","object":{"metadata":{"name":"x"}}}""");
        Assert.That(await watch.NextLineAsync(), Is.EqualTo("garbage"));
        Assert.That(await watch.NextAsync(), Is.EqualTo("RENAMED x"));
    }

    [TestCase(false)]
    [TestCase(true)]
    public async Task Watches_are_dropped(bool reset)
    {
        await using var watch = await _client.WatchAsync($"{Pods}?watch=1&resourceVersion={_server.ResourceVersion}");
        _server.DropWatches(reset);
        if (reset)
            Assert.That(watch.NextAsync, Throws.InstanceOf<IOException>());
        else
            Assert.That(await watch.NextAsync(), Is.Null);
    }
}
