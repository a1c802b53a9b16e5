using System.Text.Json.Nodes;
using Overlay.Tests.Fakes;

namespace Overlay.Tests.Kubernetes;

/// <summary>What a client can rely on. The fake server and a real one answer alike, so what is tested against the fake holds in a cluster. Every request has the agent's rights.</summary>
[TestFixture("fake")]
[TestFixture("real")]
public partial class ApiSemanticsTests(string which)
{
    private const string ClusterPolicies = "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies";

    private ApiUnderTest _api = null!;
    private string _namespace = null!;

    private ApiClient Agent => _api.Agent;

    private string Policies => $"/apis/networking.k8s.io/v1/namespaces/{_namespace}/networkpolicies";

    [OneTimeSetUp]
    public async Task Start() => _api = which == "fake" ? new ApiUnderTest.Fake(await FakeApiServer.StartAsync()) : new ApiUnderTest.Real(await ControlPlane.GetAsync());

    [OneTimeTearDown]
    public async Task Stop()
    {
        if (_api is not null)
            await _api.DisposeAsync();
    }

    [SetUp]
    public async Task MakeNamespace()
    {
        _namespace = $"test-{Guid.NewGuid():N}";
        await _api.PutAsync(Value("v1", "Namespace", _namespace, null, []));
    }

    [Test]
    public async Task A_list_reads_as_Kubernetes_writes_it()
    {
        var last = await PutPoliciesAsync("a", "b");
        var (code, list) = await Agent.GetAsync(Policies);
        Assert.That((code, (string?)list["kind"], (string?)list["apiVersion"]), Is.EqualTo((200, "NetworkPolicyList", "networking.k8s.io/v1")));
        Assert.That(list.AsObject().Select(member => member.Key), Is.EqualTo(new[] { "kind", "apiVersion", "metadata", "items" }));
        Assert.That(Names(list), Is.EqualTo(new[] { "a", "b" }));
        Assert.That(Revision(list), Is.GreaterThanOrEqualTo(last));
        Assert.That(list["items"]![0]!.AsObject().Select(member => member.Key), Has.None.EqualTo("kind").And.None.EqualTo("apiVersion"));
        Assert.That(list["metadata"]!["continue"], Is.Null);
    }

    [Test]
    public async Task Pages_are_of_one_revision_whatever_happens_between_them()
    {
        await PutPoliciesAsync("a", "b", "c", "d", "e");
        var (_, first) = await Agent.GetAsync($"{Policies}?limit=2");
        await _api.DeleteAsync(Policy("c"));
        await PutPoliciesAsync("f");
        var (_, second) = await Agent.GetAsync($"{Policies}?limit=2&continue={Continue(first)}");
        var (_, third) = await Agent.GetAsync($"{Policies}?limit=2&continue={Continue(second)}");
        Assert.That(new[] { first, second, third }.Select(Names), Is.EqualTo(new[] { new[] { "a", "b" }, ["c", "d"], ["e"] }));
        Assert.That(new[] { second, third }.Select(Revision), Is.All.EqualTo(Revision(first)));
        Assert.That(new[] { first, second, third }.Select(page => (int?)page["metadata"]!["remainingItemCount"]), Is.EqualTo(new int?[] { 3, 1, null }));
        Assert.That(third["metadata"]!["continue"], Is.Null);
    }

    [Test]
    public async Task Pages_of_a_forgotten_revision_have_expired_and_can_be_gone_on_with_as_things_are_now()
    {
        await PutPoliciesAsync("a", "b", "c");
        var (_, first) = await Agent.GetAsync($"{Policies}?limit=1");
        await PutPoliciesAsync("d");
        await _api.CompactAsync();
        var (code, status) = await Agent.GetAsync($"{Policies}?limit=1&continue={Continue(first)}");
        AssertStatus(code, status, 410, "Expired");
        var (_, rest) = await Agent.GetAsync($"{Policies}?continue={Continue(status)}");
        Assert.That(Names(rest), Is.EqualTo(new[] { "b", "c", "d" }));
        Assert.That(Revision(rest), Is.GreaterThan(Revision(first)));
    }

    // Servers may answer from their watch cache and then ignore the limit, and the order.
    [Test]
    public async Task A_list_at_zero_is_complete_with_its_pages()
    {
        await PutPoliciesAsync("a", "b", "c");
        await SeenInCacheAsync();
        var (names, page) = (new List<string>(), $"{Policies}?limit=2&resourceVersion=0");
        while (page.Length > 0)
        {
            var (code, list) = await Agent.GetAsync(page);
            Assert.That(code, Is.EqualTo(200));
            names.AddRange(Names(list));
            page = list["metadata"]!["continue"] is { } next ? $"{Policies}?limit=2&continue={next}" : "";
        }

        Assert.That(names, Is.EquivalentTo(new[] { "a", "b", "c" }));
    }

    [Test]
    public async Task A_list_is_not_older_than_it_is_asked_to_be()
    {
        var first = await PutPoliciesAsync("a");
        var last = await PutPoliciesAsync("b");
        foreach (var query in new[] { $"resourceVersion={first}", $"resourceVersion={first}&resourceVersionMatch=NotOlderThan" })
            Assert.That(Revision((await Agent.GetAsync($"{Policies}?{query}")).Body), Is.GreaterThanOrEqualTo(first), query);
        Assert.That(Names((await Agent.GetAsync($"{Policies}?resourceVersion={last}")).Body), Is.EquivalentTo(new[] { "a", "b" }));
    }

    [TestCase("limit=5")]
    [TestCase("resourceVersionMatch=Exact")]
    public async Task A_list_with_a_limit_or_exact_is_of_the_revision_that_it_names(string query)
    {
        var first = await PutPoliciesAsync("a");
        await PutPoliciesAsync("b");
        var (_, list) = await Agent.GetAsync($"{Policies}?resourceVersion={first}&{query}");
        Assert.That((Revision(list), string.Join(' ', Names(list))), Is.EqualTo((first, "a")));
        await _api.CompactAsync();
        var (code, status) = await Agent.GetAsync($"{Policies}?resourceVersion={first}&{query}");
        AssertStatus(code, status, 410, "Expired");
    }

    [Test]
    public async Task A_list_of_the_future_is_refused_until_then()
    {
        using var response = await Agent.Http.GetAsync($"{Policies}?resourceVersion={int.MaxValue}");
        var status = JsonNode.Parse(await response.Content.ReadAsStringAsync())!;
        AssertStatus((int)response.StatusCode, status, 504, "Timeout");
        Assert.That((string?)status["message"], Does.Contain("Too large resource version"));
        Assert.That((string?)status["details"]!["causes"]![0]!["reason"], Is.EqualTo("ResourceVersionTooLarge"));
        Assert.That(response.Headers.RetryAfter?.Delta, Is.EqualTo(TimeSpan.FromSeconds((int)status["details"]!["retryAfterSeconds"]!)));
    }

    [TestCase("continue=x", 400, "BadRequest")]
    [TestCase("limit=x", 400, "BadRequest")]
    [TestCase("watch=1&timeoutSeconds=x", 400, "BadRequest")]
    [TestCase("resourceVersionMatch=Exact", 422, "Invalid")]
    [TestCase("resourceVersionMatch=Newest&resourceVersion=5", 422, "Invalid")]
    [TestCase("resourceVersionMatch=Exact&resourceVersion=0", 422, "Invalid")]
    [TestCase("watch=1&resourceVersionMatch=Exact&resourceVersion=5", 422, "Invalid")]
    public async Task What_cannot_be_meant_is_refused(string query, int expected, string reason)
    {
        var (code, status) = await Agent.GetAsync($"{Policies}?{query}");
        AssertStatus(code, status, expected, reason);
    }

    [Test]
    public async Task A_page_cannot_be_asked_for_at_another_revision()
    {
        await PutPoliciesAsync("a", "b");
        var (_, first) = await Agent.GetAsync($"{Policies}?limit=1");
        var (code, status) = await Agent.GetAsync($"{Policies}?limit=1&continue={Continue(first)}&resourceVersion=5");
        AssertStatus(code, status, 400, "BadRequest");
    }

    // Clients that read a list as a stream meet its metadata last.
    [Test]
    public async Task A_list_of_custom_resources_has_its_metadata_last()
    {
        await _api.AddClusterNetworkPolicyAsync();
        await _api.PutAsync(ClusterPolicy());
        var (_, list) = await Agent.GetAsync(ClusterPolicies);
        Assert.That(list.AsObject().Select(member => member.Key), Is.EqualTo(new[] { "apiVersion", "items", "kind", "metadata" }));
        Assert.That(list["items"]!.AsArray().Select(item => (string?)item!["kind"]), Is.Not.Empty.And.All.EqualTo("ClusterNetworkPolicy"));
    }

    [Test]
    public async Task A_kind_comes_and_goes()
    {
        await _api.AddClusterNetworkPolicyAsync();
        Assert.That((await Agent.GetAsync("/apis/policy.networking.k8s.io")).Code, Is.EqualTo(200));
        var created = await _api.PutAsync(ClusterPolicy());
        await using var watch = await Agent.WatchAsync($"{ClusterPolicies}?watch=1&resourceVersion={Revision(created)}");
        await _api.RemoveClusterNetworkPolicyAsync();
        string? next;
        var events = new List<string>();
        while ((next = await watch.NextAsync()) is not null)
            events.Add(next);
        Assert.That(events, Has.One.EqualTo($"DELETED {_namespace}").And.All.StartsWith("DELETED "));
        Assert.That(await Agent.TextAsync(ClusterPolicies, 404), Is.EqualTo("404 page not found\n"));
        Assert.That(await Agent.TextAsync("/apis/policy.networking.k8s.io", 404), Is.EqualTo("404 page not found\n"));
    }

    [Test]
    public async Task It_says_what_it_serves()
    {
        Assert.That(await Agent.TextAsync("/readyz"), Is.EqualTo("ok"));
        Assert.That((string?)(await Agent.GetAsync("/version")).Body["gitVersion"], Does.StartWith("v1."));
        Assert.That((await Agent.GetAsync("/apis")).Body["groups"]!.AsArray().Select(group => (string?)group!["name"]), Has.One.EqualTo("networking.k8s.io"));
        Assert.That((string?)(await Agent.GetAsync("/apis/networking.k8s.io")).Body["preferredVersion"]!["version"], Is.EqualTo("v1"));
        var (_, resources) = await Agent.GetAsync("/apis/networking.k8s.io/v1");
        Assert.That((string?)resources["groupVersion"], Is.EqualTo("networking.k8s.io/v1"));
        var policies = resources["resources"]!.AsArray().Single(resource => (string?)resource!["name"] == "networkpolicies")!;
        Assert.That(((bool?)policies["namespaced"], (string?)policies["kind"]), Is.EqualTo(((bool?)true, "NetworkPolicy")));
    }

    private static void AssertStatus(int code, JsonNode status, int expected, string reason) => Assert.That(
        (code, (string?)status["kind"], (string?)status["status"], (string?)status["reason"], (int?)status["code"]),
        Is.EqualTo((expected, "Status", "Failure", reason, (int?)expected)),
        status.ToJsonString());

    private static JsonObject Value(string apiVersion, string kind, string name, string? ns, JsonObject spec)
    {
        var metadata = new JsonObject { ["name"] = name };
        if (ns is not null)
            metadata["namespace"] = ns;
        return new() { ["apiVersion"] = apiVersion, ["kind"] = kind, ["metadata"] = metadata, ["spec"] = spec };
    }

    private static IEnumerable<string> Names(JsonNode list) => list["items"]!.AsArray().Select(item => (string)item!["metadata"]!["name"]!);

    private static long Revision(JsonNode value) => long.Parse((string)value["metadata"]!["resourceVersion"]!);

    private static string Continue(JsonNode list) => Uri.EscapeDataString((string)list["metadata"]!["continue"]!);

    private JsonObject Policy(string name, string app = "web") =>
        Value("networking.k8s.io/v1", "NetworkPolicy", name, _namespace, new() { ["podSelector"] = new JsonObject { ["matchLabels"] = new JsonObject { ["app"] = app } } });

    private JsonObject ClusterPolicy() => Value("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", _namespace, null, new() { ["tier"] = "Admin" });

    private async Task<long> PutPoliciesAsync(params string[] names)
    {
        var last = 0L;
        foreach (var name in names)
            last = Revision(await _api.PutAsync(Policy(name)));
        return last;
    }

    // The cache of a real server is a moment behind; a list that must not be older waits for it.
    private async Task SeenInCacheAsync() => await Agent.GetAsync($"{Policies}?resourceVersion={await PutPoliciesAsync("a")}");
}
