using System.Text.Json.Nodes;

namespace Overlay.Tests.Kubernetes;

/// <content>Watches, single objects, and what clients write.</content>
public partial class ApiSemanticsTests
{
    private const string StrategicMerge = "application/strategic-merge-patch+json";

    [Test]
    public async Task A_watch_tells_what_happened_since_a_revision_and_goes_on()
    {
        var first = await PutPoliciesAsync("a");
        await PutPoliciesAsync("b");
        await _api.PutAsync(Policy("a", "db"));
        await _api.DeleteAsync(Policy("b"));
        await using var watch = await Agent.WatchAsync($"{Policies}?watch=1&resourceVersion={first}");
        var events = new[] { await watch.NextObjectAsync(), await watch.NextObjectAsync(), await watch.NextObjectAsync() };
        Assert.That(events.Select(Said), Is.EqualTo(new[] { "ADDED b web", "MODIFIED a db", "DELETED b web" }));
        Assert.That(events.Select(change => Revision(change!["object"]!)), Is.Ordered.Ascending.And.Unique);
        Assert.That(events.Select(change => (string?)change!["object"]!["kind"]), Is.All.EqualTo("NetworkPolicy"));
        await PutPoliciesAsync("c");
        Assert.That(await watch.NextAsync(), Is.EqualTo("ADDED c"));
    }

    [TestCase("")]
    [TestCase("&resourceVersion=")]
    [TestCase("&resourceVersion=0")]
    public async Task A_watch_from_nowhere_begins_with_everything(string query)
    {
        await PutPoliciesAsync("a", "b");
        await _api.PutAsync(Policy("a", "db"));
        await SeenInCacheAsync();
        await using var watch = await Agent.WatchAsync($"{Policies}?watch=true{query}");
        Assert.That(new[] { Said(await watch.NextObjectAsync()), Said(await watch.NextObjectAsync()) }, Is.EquivalentTo(new[] { "ADDED a web", "ADDED b web" }));
        await _api.DeleteAsync(Policy("a"));
        Assert.That(await watch.NextAsync(), Is.EqualTo("DELETED a"));
    }

    [Test]
    public async Task A_watch_ends_in_the_regular_way_after_its_time()
    {
        await PutPoliciesAsync("a");
        await using var watch = await Agent.WatchAsync($"{Policies}?watch=1&timeoutSeconds=1&allowWatchBookmarks=true");
        Assert.That(new[] { await watch.NextAsync(), await watch.NextAsync() }, Is.EqualTo(new[] { "ADDED a", null }));
    }

    // A real server knows nothing of a kind from before it served it.
    [Test]
    public async Task A_watch_from_a_forgotten_revision_has_expired()
    {
        await _api.AddClusterNetworkPolicyAsync();
        await _api.RemoveClusterNetworkPolicyAsync();
        await _api.AddClusterNetworkPolicyAsync();
        await _api.PutAsync(ClusterPolicy());
        await _api.CompactAsync();
        using var response = await Agent.Http.GetAsync($"{ClusterPolicies}?watch=1&resourceVersion=1");
        var answer = JsonNode.Parse(await response.Content.ReadAsStringAsync())!;
        var status = (int)response.StatusCode == 200 ? answer["object"]! : answer;
        if ((int)response.StatusCode == 200)
            Assert.That((string?)answer["type"], Is.EqualTo("ERROR"));
        AssertStatus((int)status["code"]!, status, 410, "Expired");
        Assert.That((string?)status["message"], Does.StartWith("too old resource version: 1 ("));
    }

    [Test]
    public async Task A_single_object_is_there_or_not()
    {
        await _api.PutAsync(Pod("web"));
        var (code, pod) = await Agent.GetAsync($"/api/v1/namespaces/{_namespace}/pods/web");
        Assert.That((code, (string?)pod["kind"], (string?)pod["metadata"]!["name"]), Is.EqualTo((200, "Pod", "web")));
        var (none, status) = await Agent.GetAsync($"/api/v1/namespaces/{_namespace}/pods/nobody");
        Assert.That(none, Is.EqualTo(404));
        Assert.That(JsonNode.DeepEquals(status, JsonNode.Parse("""
            {"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"pods \"nobody\" not found","reason":"NotFound","details":{"name":"nobody","kind":"pods"},"code":404}
            """)), Is.True, status.ToJsonString());
    }

    [Test]
    public async Task What_is_not_served_is_not_found()
    {
        var (code, status) = await Agent.GetAsync($"/api/v1/namespaces/{_namespace}/nodes");
        AssertStatus(code, status, 404, "NotFound");
        Assert.That((string?)status["message"], Is.EqualTo("the server could not find the requested resource"));
    }

    [Test]
    public async Task Who_is_not_known_is_told_so()
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, Policies);
        request.Headers.Authorization = new("Bearer", "nobody");
        using var response = await Agent.Http.SendAsync(request);
        Assert.That((int)response.StatusCode, Is.EqualTo(401));
        var status = JsonNode.Parse(await response.Content.ReadAsStringAsync())!;
        Assert.That(JsonNode.DeepEquals(status, JsonNode.Parse("""{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}""")), Is.True, status.ToJsonString());
    }

    [Test]
    public async Task Conditions_of_a_status_are_joined_by_type()
    {
        var node = await _api.PutAsync(Node());
        await using var watch = await Agent.WatchAsync($"/api/v1/nodes?watch=1&resourceVersion={Revision(node)}");
        var (code, patched) = await PatchAsync(Condition("NetworkUnavailable", "False"));
        Assert.That((code, (string?)patched["kind"]), Is.EqualTo((200, "Node")));
        Assert.That(Conditions(patched), Is.EquivalentTo(new[] { "Ready=True", "NetworkUnavailable=False" }));
        Assert.That(await watch.NextAsync(), Is.EqualTo($"MODIFIED {_namespace}"));
        Assert.That(Conditions((await PatchAsync(Condition("NetworkUnavailable", "True"))).Body), Is.EquivalentTo(new[] { "Ready=True", "NetworkUnavailable=True" }));
    }

    [Test]
    public async Task A_patch_that_changes_nothing_makes_no_revision()
    {
        await _api.PutAsync(Node());
        var (_, first) = await PatchAsync(Condition("NetworkUnavailable", "False"));
        var (_, second) = await PatchAsync(Condition("NetworkUnavailable", "False"));
        Assert.That(Revision(second), Is.EqualTo(Revision(first)));
    }

    [Test]
    public async Task A_patch_of_status_leaves_the_rest()
    {
        await _api.PutAsync(Node());
        var patch = JsonNode.Parse(Condition("NetworkUnavailable", "False"))!;
        patch["spec"] = new JsonObject { ["unschedulable"] = true };
        var (_, patched) = await PatchAsync(patch.ToJsonString());
        Assert.That(patched["spec"]?["unschedulable"], Is.Null);
        Assert.That(Conditions(patched), Has.One.EqualTo("NetworkUnavailable=False"));
    }

    [Test]
    public async Task A_merge_patch_replaces_the_list()
    {
        await _api.PutAsync(Node());
        Assert.That(Conditions((await PatchAsync(Condition("NetworkUnavailable", "False"), "application/merge-patch+json")).Body), Is.EqualTo(new[] { "NetworkUnavailable=False" }));
    }

    [TestCase("application/json", "{}", 415, "UnsupportedMediaType")]
    [TestCase(StrategicMerge, "{", 400, "BadRequest")]
    [TestCase(StrategicMerge, "[]", 400, "BadRequest")]
    [TestCase(StrategicMerge, """{"metadata":{"resourceVersion":"1"},"status":{"phase":"Running"}}""", 409, "Conflict")]
    public async Task A_patch_that_cannot_be_meant_is_refused(string contentType, string body, int expected, string reason)
    {
        await _api.PutAsync(Node());
        var (code, status) = await PatchAsync(body, contentType);
        AssertStatus(code, status, expected, reason);
    }

    [Test]
    public async Task The_status_of_no_node_cannot_be_patched()
    {
        var (code, status) = await PatchAsync(Condition("NetworkUnavailable", "False"));
        AssertStatus(code, status, 404, "NotFound");
    }

    [Test]
    public async Task An_event_is_created_once()
    {
        var (code, created) = await PostEventAsync(_namespace, "e", _namespace);
        Assert.That((code, (string?)created["kind"], (string?)created["metadata"]!["name"]), Is.EqualTo((201, "Event", "e")));
        Assert.That(Revision(created), Is.Positive);
        var (again, status) = await PostEventAsync(_namespace, "e", _namespace);
        AssertStatus(again, status, 409, "AlreadyExists");
        Assert.That((string?)status["message"], Is.EqualTo("events \"e\" already exists"));
    }

    // Events of objects without a namespace, of nodes and of ClusterNetworkPolicies, belong into "default".
    [Test]
    public async Task An_event_is_where_its_object_is()
    {
        Assert.That((await PostEventAsync("default", _namespace, null)).Code, Is.EqualTo(201));
        foreach (var about in new[] { null, "default" })
        {
            var (code, status) = await PostEventAsync(_namespace, "e", about);
            AssertStatus(code, status, 422, "Invalid");
            Assert.That((string?)status["details"]!["causes"]![0]!["field"], Is.EqualTo("involvedObject.namespace"));
        }
    }

    [Test]
    public async Task An_event_needs_its_namespace()
    {
        var nowhere = $"{_namespace}-not";
        var (code, status) = await PostEventAsync(nowhere, "e", nowhere);
        AssertStatus(code, status, 404, "NotFound");
        Assert.That((string?)status["message"], Is.EqualTo($"namespaces \"{nowhere}\" not found"));
    }

    [TestCase("""{"apiVersion":"v1","kind":"Pod","metadata":{"name":"e"}}""", 400, "BadRequest")]
    [TestCase("""{"apiVersion":"v1","kind":"Event","metadata":{"name":"e","namespace":"elsewhere"}}""", 400, "BadRequest")]
    [TestCase("{", 400, "BadRequest")]
    public async Task What_is_no_event_of_the_namespace_is_refused(string body, int expected, string reason)
    {
        var (code, status) = await Agent.SendAsync(HttpMethod.Post, $"/api/v1/namespaces/{_namespace}/events", body);
        AssertStatus(code, status, expected, reason);
    }

    private static string? Said(JsonNode? change) =>
        change is null ? null : $"{change["type"]} {change["object"]!["metadata"]!["name"]} {change["object"]!["spec"]!["podSelector"]!["matchLabels"]!["app"]}";

    private static string Condition(string type, string status) =>
        $$$"""{"status":{"conditions":[{"type":"{{{type}}}","status":"{{{status}}}","reason":"Tested","message":"of a test","lastTransitionTime":"2030-01-01T00:00:00Z","lastHeartbeatTime":"2030-01-01T00:00:00Z"}]}}""";

    private static IEnumerable<string> Conditions(JsonNode node) => node["status"]!["conditions"]!.AsArray().Select(condition => $"{condition!["type"]}={condition["status"]}");

    private JsonObject Node()
    {
        var node = Value("v1", "Node", _namespace, null, []);
        node["status"] = new JsonObject { ["conditions"] = new JsonArray(new JsonObject { ["type"] = "Ready", ["status"] = "True" }) };
        return node;
    }

    private JsonObject Pod(string name) =>
        Value("v1", "Pod", name, _namespace, new() { ["containers"] = new JsonArray(new JsonObject { ["name"] = "c", ["image"] = "i" }) });

    private Task<(int Code, JsonNode Body)> PatchAsync(string body, string contentType = StrategicMerge) => Agent.SendAsync(HttpMethod.Patch, $"/api/v1/nodes/{_namespace}/status", body, contentType);

    private Task<(int Code, JsonNode Body)> PostEventAsync(string ns, string name, string? about)
    {
        var involved = new JsonObject { ["kind"] = "NetworkPolicy", ["name"] = "p" };
        if (about is not null)
            involved["namespace"] = about;
        var value = new JsonObject
        {
            ["apiVersion"] = "v1",
            ["kind"] = "Event",
            ["metadata"] = new JsonObject { ["name"] = name },
            ["involvedObject"] = involved,
            ["reason"] = "Rejected",
            ["message"] = "of a test",
            ["type"] = "Warning",
            ["firstTimestamp"] = "2030-01-01T00:00:00Z",
            ["lastTimestamp"] = "2030-01-01T00:00:00Z",
            ["count"] = 1,
        };
        return Agent.SendAsync(HttpMethod.Post, $"/api/v1/namespaces/{ns}/events", value.ToJsonString());
    }
}
