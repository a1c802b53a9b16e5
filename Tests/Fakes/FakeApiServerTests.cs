using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Overlay.Tests.Oracles;

namespace Overlay.Tests.Fakes;

/// <summary>The fake API server, seen by a plain HttpClient. What it has in common with a real one is in <c>ApiSemanticsTests</c>; here is what tests ask of it beyond that.</summary>
public class FakeApiServerTests
{
    private const string Pods = "/api/v1/pods";

    private FakeApiServer _server = null!;
    private ApiClient _client = null!;

    [SetUp]
    public async Task Start()
    {
        _server = await FakeApiServer.StartAsync();
        _client = new(_server.Url, _server.CertificateAuthorityPem, _server.Token);
    }

    [TearDown]
    public async Task Stop()
    {
        _client.Dispose();
        await _server.DisposeAsync();
    }

    [Test]
    public async Task It_listens_on_IPv6_too()
    {
        await using var server = await FakeApiServer.StartAsync(IPAddress.IPv6Loopback);
        using var client = new ApiClient(server.Url, server.CertificateAuthorityPem, server.Token);
        Assert.That(await client.TextAsync("/readyz"), Is.EqualTo("ok"));
    }

    [Test]
    public async Task Only_accepted_tokens_get_an_answer()
    {
        _server.RejectToken(_server.Token);
        var (code, status) = await _client.GetAsync(Pods);
        Assert.That((code, (string?)status["reason"]), Is.EqualTo((401, "Unauthorized")));
        _server.AcceptToken(_server.Token);
        Assert.That((await _client.GetAsync(Pods)).Code, Is.EqualTo(200));
    }

    [Test]
    public void Its_kubeconfig_names_the_token_as_a_file()
    {
        var folder = Directory.CreateTempSubdirectory("overlay-kubeconfig-");
        try
        {
            var config = ManifestYaml.Objects(File.ReadAllText(_server.WriteKubeconfig(folder.FullName))).Single();
            var cluster = config["clusters"]![0]!["cluster"]!;
            Assert.That((string?)cluster["server"], Is.EqualTo(_server.Url.GetLeftPart(UriPartial.Authority)));
            Assert.That(Encoding.ASCII.GetString(Convert.FromBase64String((string)cluster["certificate-authority-data"]!)), Is.EqualTo(_server.CertificateAuthorityPem));
            Assert.That((string?)config["users"]![0]!["user"]!["tokenFile"], Is.EqualTo(Path.Combine(folder.FullName, "token")));
            Assert.That(File.ReadAllText(Path.Combine(folder.FullName, "token")), Is.EqualTo(_server.Token));
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Test]
    public void An_object_that_did_not_change_makes_no_revision()
    {
        var pod = _server.Put(Pod("a"));
        Assert.That((string?)_server.Put(Pod("a"))["metadata"]!["resourceVersion"], Is.EqualTo((string?)pod["metadata"]!["resourceVersion"]));
        var changed = _server.Put(Pod("a", "node-2"));
        Assert.That((string?)changed["metadata"]!["uid"], Is.EqualTo((string?)pod["metadata"]!["uid"]));
        Assert.That((string?)changed["metadata"]!["resourceVersion"], Is.Not.EqualTo((string?)pod["metadata"]!["resourceVersion"]));
    }

    [Test]
    public void Manifests_can_be_put()
    {
        _server.PutYaml("""
            apiVersion: v1
            kind: Namespace
            metadata: {name: shop}
            ---
            apiVersion: v1
            kind: Pod
            metadata: {name: web, namespace: shop}
            """);
        Assert.That(_server.Objects("pods").Single()["metadata"]!["name"]!.ToString(), Is.EqualTo("web"));
        Assert.That(_server.Delete("pods", "shop", "web"), Is.True);
        Assert.That(_server.Delete("pods", "shop", "web"), Is.False);
    }

    [Test]
    public async Task A_list_at_zero_can_have_pages()
    {
        PutPods("a", "b", "c");
        _server.ListsFromCache = false;
        var (_, list) = await _client.GetAsync($"{Pods}?limit=2&resourceVersion=0");
        Assert.That(list["items"]!.AsArray(), Has.Count.EqualTo(2));
        Assert.That(list["metadata"]!["continue"], Is.Not.Null);
    }

    [TestCase(true, 200)]
    [TestCase(false, 410)]
    public async Task A_watch_from_a_forgotten_revision_has_expired(bool byEvent, int expected)
    {
        PutPods("a", "b");
        _server.Compact();
        _server.ExpiresByEvent = byEvent;
        var (code, answer) = await _client.GetAsync($"{Pods}?watch=1&resourceVersion=2");
        Assert.That(code, Is.EqualTo(expected));
        var status = byEvent ? answer["object"]! : answer;
        Assert.That(((string?)answer["type"], (int?)status["code"], (string?)status["reason"]), Is.EqualTo((byEvent ? "ERROR" : null, 410, "Expired")));
    }

    [Test]
    public async Task A_watch_goes_on_from_the_revision_of_the_compaction()
    {
        PutPods("a", "b");
        _server.Compact();
        await using var watch = await _client.WatchAsync($"{Pods}?watch=1&resourceVersion={_server.ResourceVersion}");
        PutPods("c");
        Assert.That(await watch.NextAsync(), Is.EqualTo("ADDED c"));
    }

    [Test]
    public async Task Bookmarks_come_when_they_are_sent_to_those_who_asked()
    {
        PutPods("a");
        await using var with = await _client.WatchAsync($"{Pods}?watch=1&allowWatchBookmarks=true&resourceVersion={_server.ResourceVersion}");
        await using var without = await _client.WatchAsync($"{Pods}?watch=1&resourceVersion={_server.ResourceVersion}");
        _server.SendBookmarks();
        var bookmark = await with.NextObjectAsync();
        Assert.That(((string?)bookmark!["type"], (string?)bookmark["object"]!["kind"], (string?)bookmark["object"]!["metadata"]!["resourceVersion"]), Is.EqualTo(("BOOKMARK", "Pod", $"{_server.ResourceVersion}")));
        PutPods("b");
        Assert.That(await without.NextAsync(), Is.EqualTo("ADDED b"));
    }

    [Test]
    public async Task Bookmarks_of_every_kind_are_JSON([ValueSource(typeof(FakeKind), nameof(FakeKind.All))] FakeKind kind)
    {
        var prefix = kind.Group.Length == 0 ? "/api/v1" : $"/apis/{kind.ApiVersion}";
        await using var watch = await _client.WatchAsync($"{prefix}/{kind.Plural}?watch=1&allowWatchBookmarks=1&resourceVersion={_server.ResourceVersion}");
        _server.SendBookmarks();
        Assert.That((string?)(await watch.NextObjectAsync())!["object"]!["kind"], Is.EqualTo(kind.Kind));
    }

    [Test]
    public async Task A_kind_that_is_removed_ends_its_watches_and_can_come_back()
    {
        const string Policies = "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies";
        _server.Put(Policy("p"));
        await using var watch = await _client.WatchAsync($"{Policies}?watch=1&resourceVersion={_server.ResourceVersion}");
        _server.RemoveKind("clusternetworkpolicies");
        Assert.That(new[] { await watch.NextAsync(), await watch.NextAsync() }, Is.EqualTo(new[] { "DELETED p", null }));
        Assert.That(await _client.TextAsync(Policies, 404), Is.EqualTo("404 page not found\n"));
        Assert.That(await _client.TextAsync("/apis/policy.networking.k8s.io", 404), Is.EqualTo("404 page not found\n"));
        _server.AddKind("clusternetworkpolicies");
        Assert.That((await _client.GetAsync(Policies)).Body["items"]!.AsArray(), Is.Empty);
    }

    // Clients that read a list as a stream meet its metadata last.
    [Test]
    public async Task A_list_of_custom_resources_reads_as_Kubernetes_writes_them()
    {
        _server.Put(Policy("p"));
        var list = (await _client.GetAsync("/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies")).Body;
        Assert.That(list.AsObject().Select(member => member.Key), Is.EqualTo(new[] { "apiVersion", "items", "kind", "metadata" }));
        Assert.That((string?)list["items"]![0]!["kind"], Is.EqualTo("ClusterNetworkPolicy"));
    }

    [Test]
    public async Task Big_answers_are_compressed_for_those_who_take_it()
    {
        var pod = Pod("big");
        pod["metadata"]!["annotations"] = new JsonObject { ["text"] = new string('x', 1_000_000) };
        _server.Put(pod);
        using var request = new HttpRequestMessage(HttpMethod.Get, Pods);
        request.Headers.AcceptEncoding.ParseAdd("gzip");
        using var response = await _client.Http.SendAsync(request);
        Assert.That(response.Content.Headers.ContentEncoding, Is.EqualTo(new[] { "gzip" }));
        Assert.That((await response.Content.ReadAsByteArrayAsync()), Has.Length.LessThan(100_000));
        Assert.That((await _client.GetAsync(Pods)).Body["items"]!.AsArray(), Has.Count.EqualTo(1));
    }

    [Test]
    public async Task A_server_that_dies_resets_connections_and_comes_back_on_its_port()
    {
        PutPods("a");
        await using var watch = await _client.WatchAsync($"{Pods}?watch=1&resourceVersion={_server.ResourceVersion}");
        await _server.StopListeningAsync();
        Assert.That(watch.NextAsync, Throws.InstanceOf<IOException>());
        Assert.That(() => _client.GetAsync(Pods), Throws.InstanceOf<HttpRequestException>());
        var url = _server.Url;
        await _server.ResumeListeningAsync();
        Assert.That(_server.Url, Is.EqualTo(url));
        Assert.That((await _client.GetAsync(Pods)).Body["items"]!.AsArray(), Has.Count.EqualTo(1));
    }

    [Test]
    public async Task A_request_is_seen_whether_it_came_before_or_comes_after()
    {
        await _client.GetAsync($"{Pods}?limit=5");
        var list = await _server.SeenAsync(request => request.IsList && request.Resource == "pods");
        Assert.That(list.ToString(), Is.EqualTo("GET /api/v1/pods?limit=5"));
        await list.Ended;
        var second = _server.SeenAsync(request => request.IsList, times: 2);
        Assert.That(second.IsCompleted, Is.False);
        await _client.GetAsync("/api/v1/nodes");
        Assert.That((await second).Resource, Is.EqualTo("nodes"));
        Assert.That(() => _server.SeenAsync(request => request.IsWatch, TimeSpan.FromMilliseconds(1)), Throws.TypeOf<TimeoutException>().With.Message.Contains("GET /api/v1/nodes"));
    }

    [Test]
    public async Task A_watch_that_the_client_gave_up_has_ended()
    {
        var watch = await _client.WatchAsync($"{Pods}?watch=1");
        var seen = await _server.SeenAsync(request => request.IsWatch);
        Assert.That(seen.Ended.IsCompleted, Is.False);
        await watch.DisposeAsync();
        await seen.Ended.WaitAsync(TimeSpan.FromSeconds(30));
    }

    internal static JsonObject Pod(string name, string node = "node-1") => new()
    {
        ["apiVersion"] = "v1",
        ["kind"] = "Pod",
        ["metadata"] = new JsonObject { ["name"] = name, ["namespace"] = "default" },
        ["spec"] = new JsonObject { ["nodeName"] = node },
    };

    private static JsonObject Policy(string name) => new()
    {
        ["apiVersion"] = "policy.networking.k8s.io/v1alpha2",
        ["kind"] = "ClusterNetworkPolicy",
        ["metadata"] = new JsonObject { ["name"] = name },
    };

    private void PutPods(params string[] names)
    {
        foreach (var name in names)
            _server.Put(Pod(name));
    }
}
