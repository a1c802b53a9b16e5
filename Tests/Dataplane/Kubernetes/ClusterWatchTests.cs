using System.Globalization;
using System.Text.Json.Nodes;
using Overlay.Dataplane.Datastore.Kubernetes;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;
using Overlay.Tests.Fakes;

namespace Overlay.Tests.Dataplane.Kubernetes;

/// <summary>Whatever goes wrong between us and the API server: afterwards the store has what the server has, and what went right was not undone.</summary>
public class ClusterWatchTests
{
    private WatchedCluster _cluster = null!;

    private FakeApiServer Server => _cluster.Server;

    private static IEnumerable<TestCaseData> Faults()
    {
        yield return Fault("Busy_with_Retry_After", new FakeFault.Answer(429, RetryAfterSeconds: 1));
        yield return Fault("Internal_error", new FakeFault.Answer(500));
        yield return Fault("Unavailable_behind_a_proxy", new FakeFault.Answer(503, Body: "<html>no healthy upstream</html>"));
        yield return Fault("Unauthorized", new FakeFault.Answer(401));
        yield return Fault("Forbidden", new FakeFault.Answer(403));
        yield return Fault("Reset_before_the_answer", new FakeFault.Reset());
        yield return Fault("Reset_within_the_answer", new FakeFault.Reset(AfterBytes: 700));
        yield return Fault("Answer_cut_off", new FakeFault.Truncate(AfterBytes: 700));
        yield return Fault("No_answer_and_no_end", new FakeFault.Silence());
        yield return Fault("Silence_within_the_answer", new FakeFault.Silence(AfterBytes: 700));
        yield return Fault("One_byte_at_a_time", new FakeFault.Slow(1));
        yield return Fault("No_JSON", new FakeFault.Answer(200, Body: "[1]"));

        static TestCaseData Fault(string name, FakeFault fault) => new TestCaseData(fault).SetArgDisplayNames(name);
    }

    [TearDown]
    public async Task Stop() => await _cluster.DisposeAsync();

    [Test]
    public async Task Everything_is_listed_in_pages_and_then_followed()
    {
        Watch(await WatchedCluster.CreateAsync());
        Server.ListsFromCache = false;
        await _cluster.AwaitTruthAsync();
        Assert.That(Server.Requests.Count(request => request.IsList && request.Resource == "pods"), Is.GreaterThan(1), "pods come in pages");
        var lists = Server.Requests.Count(request => request.IsList);
        Server.Put(Pod("new", "10.42.1.99"));
        await _cluster.AwaitTruthAsync();
        Server.Put(Pod("new", "10.42.1.100"));
        await _cluster.AwaitTruthAsync();
        Server.Delete("pods", "shop", "new");
        await _cluster.AwaitTruthAsync();
        Assert.That(Server.Requests.Count(request => request.IsList), Is.EqualTo(lists), "what a watch tells is not listed again");
    }

    [Test]
    public async Task Nothing_is_synced_before_every_kind_was_listed([Values("nodes", "pods", "networkpolicies", "clusternetworkpolicies")] string last)
    {
        var cluster = await WatchedCluster.CreateAsync();
        cluster.Server.Inject(request => request.IsList && request.Resource == last, new FakeFault.Silence());
        Watch(cluster, WatchedCluster.Impatient with { Answer = TimeSpan.FromMinutes(1) });
        foreach (var other in Resource.All.Where(resource => resource.Plural != last))
            await Server.SeenAsync(request => request.IsWatch && request.Resource == other.Plural);
        Assert.That(_cluster.Look(store => store.IsSynced), Is.False);
        Server.Release();
        await _cluster.AwaitTruthAsync();
        Assert.That(_cluster.Told.OfType<ClusterChange.Synced>().Count(), Is.EqualTo(1));
    }

    [TestCaseSource(nameof(Faults))]
    public async Task A_fault_of_every_list_is_survived(FakeFault fault)
    {
        var cluster = await WatchedCluster.CreateAsync();
        foreach (var resource in Resource.All)
            cluster.Server.Inject(request => request.IsList && request.Resource == resource.Plural, fault);
        Watch(cluster);
        await _cluster.AwaitTruthAsync();
        Assert.That(_cluster.Told.OfType<ClusterChange.SourceFailing>().GroupBy(failing => failing.Source).Select(source => source.Last().Reason), Has.All.Empty, "what failed is told to be well again");
    }

    [TestCaseSource(nameof(Faults))]
    public async Task A_fault_of_every_watch_loses_nothing(FakeFault fault)
    {
        var cluster = await WatchedCluster.CreateAsync();
        foreach (var resource in Resource.All)
            cluster.Server.Inject(request => request.IsWatch && request.Resource == resource.Plural, fault, times: 2);
        Watch(cluster, WatchedCluster.Impatient with { WatchAtLeast = TimeSpan.FromSeconds(1) });
        await _cluster.AwaitTruthAsync();
        for (var i = 0; i < 8; i++)
        {
            Server.Put(Pod($"new-{i}", $"10.42.1.{100 + i}"));
            Server.Put(Policy($"policy-{i}"));
        }

        Server.Delete("pods", "shop", "new-3");
        await _cluster.AwaitTruthAsync();
    }

    [Test]
    public async Task Watches_that_end_go_on_where_they_were([Values] bool reset)
    {
        await StartAsync();
        var lists = Server.Requests.Count(request => request.IsList);
        for (var i = 0; i < 5; i++)
        {
            Server.DropWatches(reset);
            Server.Put(Pod("new", $"10.42.1.{100 + i}"));
            await _cluster.AwaitTruthAsync();
        }

        Assert.That(Server.Requests.Count(request => request.IsList), Is.EqualTo(lists));
        Assert.That(_cluster.Told.OfType<ClusterChange.SourceFailing>(), Is.Empty, "a connection may break");
    }

    [Test]
    public async Task A_forgotten_revision_is_listed_anew_and_only_the_difference_is_told([Values] bool byEvent)
    {
        await StartAsync();
        Server.Put(Pod("goes", "10.42.1.99"));
        await _cluster.AwaitTruthAsync();
        Server.ExpiresByEvent = byEvent;
        await Server.StopListeningAsync();
        Server.Delete("pods", "shop", "goes");
        Server.Put(Pod("comes", "10.42.1.98"));
        Server.Compact();
        var before = _cluster.Told.Count;
        await Server.ResumeListeningAsync();
        await _cluster.AwaitTruthAsync();
        Assert.That(_cluster.Told.Skip(before).OfType<ClusterChange.PodGone>(), Is.EqualTo(new[] { new ClusterChange.PodGone(new("shop", "goes")) }));
        Assert.That(_cluster.Told.Skip(before).Where(change => change is ClusterChange.NodeGone or ClusterChange.NamespaceGone or ClusterChange.PolicyGone), Is.Empty);
        Assert.That(Server.Requests.Last(request => request.IsList && request.Resource == "pods").Query, Does.Not.ContainKey("resourceVersion"), "not older than what is known");
    }

    [Test]
    public async Task Pages_that_expire_are_asked_for_in_one_piece()
    {
        var cluster = await WatchedCluster.CreateAsync();
        cluster.Server.ListsFromCache = false;
        cluster.Server.Inject(request => request.IsList && request.Query.ContainsKey("continue") && request.Resource == "pods", new FakeFault.Answer(410), times: 100);
        Watch(cluster);
        await _cluster.AwaitTruthAsync();
    }

    [Test]
    public async Task A_bookmark_saves_a_list()
    {
        await StartAsync();
        Server.Put(Pod("new", "10.42.1.99"));
        await _cluster.AwaitTruthAsync();
        Server.SendBookmarks();
        var revision = Server.ResourceVersion.ToString(CultureInfo.InvariantCulture);
        await Task.WhenAll(Resource.All.Select(async resource =>
        {
            // Only what goes on from the bookmark has not expired.
            while (!Server.Requests.Any(request => request.IsWatch && request.Resource == resource.Plural && request.Query["resourceVersion"] == revision))
            {
                Server.DropWatches();
                await Task.Delay(20);
            }
        }));
        var lists = Server.Requests.Count(request => request.IsList);
        Server.Compact();
        Server.DropWatches();
        Server.Put(Pod("new", "10.42.1.100"));
        await _cluster.AwaitTruthAsync();
        Assert.That(Server.Requests.Count(request => request.IsList), Is.EqualTo(lists));
    }

    [Test]
    public async Task While_the_server_is_gone_everything_stays_and_it_is_told_once()
    {
        await StartAsync();
        var before = _cluster.Look(store => store.PodCount);
        await Server.StopListeningAsync();
        await _cluster.UntilAsync(() => _cluster.Told.OfType<ClusterChange.SourceFailing>().Any(failing => failing.Reason.Length > 0), () => "the failure is told");
        Server.Put(Pod("new", "10.42.1.99"));
        Assert.That(_cluster.Look(store => store.PodCount), Is.EqualTo(before));
        Assert.That(await _cluster.Source!.FindPodAsync(new("shop", "new"), CancellationToken.None), Is.Null);
        await Server.ResumeListeningAsync();
        await _cluster.AwaitTruthAsync();
        await _cluster.UntilAsync(() => _cluster.Told.OfType<ClusterChange.SourceFailing>().Last(failing => failing.Source == Server.Url.ToString()).Reason.Length == 0, () => "the recovery is told");
        var told = _cluster.Told.OfType<ClusterChange.SourceFailing>().Where(failing => failing.Source == Server.Url.ToString()).ToList();
        Assert.That(told.Select(failing => failing.Reason.Length > 0), Is.EqualTo(new[] { true, false }));
        Assert.That(told[0].Reason, Does.Contain("What was last known of the cluster stays in force"));
    }

    [Test]
    public async Task Rights_that_are_missing_are_told_by_kind()
    {
        await StartAsync();
        Server.Inject(request => request.Resource == "networkpolicies", new FakeFault.Answer(403), times: int.MaxValue);
        Server.DropWatches();
        await _cluster.UntilAsync(() => _cluster.Told.OfType<ClusterChange.SourceFailing>().Any(failing => failing.Reason.Length > 0), () => "the refusal is told");
        var failing = _cluster.Told.OfType<ClusterChange.SourceFailing>().First(failing => failing.Reason.Length > 0);
        Assert.That((failing.Source, failing.Reason), Is.EqualTo(("/apis/networking.k8s.io/v1/networkpolicies", failing.Reason)));
        Assert.That(failing.Reason, Does.Contain("403").And.Contain("ClusterRole"));
    }

    [Test]
    public async Task A_CustomResourceDefinition_may_be_missing_come_and_go()
    {
        var cluster = await WatchedCluster.CreateAsync();
        cluster.Server.RemoveKind("clusternetworkpolicies");
        Watch(cluster);
        await _cluster.AwaitTruthAsync();
        Server.AddKind("clusternetworkpolicies");
        Server.PutYaml(ClusterPolicy);
        await _cluster.AwaitTruthAsync();
        Assert.That(_cluster.Look(store => store.CountOf(Tier.Admin)), Is.EqualTo(1));
        Server.RemoveKind("clusternetworkpolicies");
        await _cluster.AwaitTruthAsync();
        Assert.That(_cluster.Look(store => store.CountOf(Tier.Admin)), Is.Zero);
    }

    // Who believed a server that is only just starting would open what the missing policies close.
    [Test]
    public async Task A_server_that_is_not_ready_is_not_believed_that_a_kind_is_missing()
    {
        await StartAsync();
        Server.PutYaml(ClusterPolicy);
        await _cluster.AwaitTruthAsync();
        Server.Inject(request => request.Path == "/readyz", new FakeFault.Answer(500), times: 3);
        Server.Inject(request => request.Resource == "clusternetworkpolicies", new FakeFault.Answer(404), times: 8);
        Server.Compact();
        Server.DropWatches(reset: true);
        await Server.SeenAsync(request => request.Path == "/readyz", times: 3);
        Assert.That(_cluster.Told.OfType<ClusterChange.PolicyGone>(), Is.Empty);
    }

    [TestCase("networkpolicies")]
    [TestCase("pods")]
    public async Task A_kind_that_every_server_has_is_never_missing(string plural)
    {
        var cluster = await WatchedCluster.CreateAsync();
        cluster.Server.Inject(request => request.Resource == plural, new FakeFault.Answer(404), times: 3);
        Watch(cluster);
        await _cluster.AwaitTruthAsync();
        Assert.That(Server.Requests.Count(request => request.IsList && request.Resource == plural), Is.GreaterThan(3));
    }

    [Test]
    public async Task A_server_whose_store_was_put_back_is_listed_anew()
    {
        await StartAsync();
        var lists = Server.Requests.Count(request => request.IsList && request.Resource == "pods");
        Server.SendToWatches("pods", """{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"1"}}}""");
        await Server.SeenAsync(request => request.IsList && request.Resource == "pods", times: lists + 1);
        await _cluster.AwaitTruthAsync();
    }

    [TestCase("garbage")]
    [TestCase("""{"type":"ADDED","object":{"metadata":{}}}""")]
    [TestCase("""{"type":"ERROR","object":{"kind":"Status","status":"Failure","code":500,"reason":"InternalError"}}""")]
    [TestCase("""{"type":"PROMOTED","object":{}}""")]
    public async Task A_line_that_cannot_be_used_loses_nothing_that_follows(string line)
    {
        await StartAsync();
        Server.SendToWatches("pods", line);
        Server.Put(Pod("new", "10.42.1.99"));
        await _cluster.AwaitTruthAsync();
    }

    [TestCase("garbage")]
    [TestCase("""{"type":"ERROR","object":{"kind":"Status","status":"Failure","code":500,"reason":"InternalError"}}""")]
    public async Task A_watch_that_always_breaks_after_it_began_well_is_told(string line)
    {
        await StartAsync();
        Server.Inject(request => request.IsWatch && request.Resource == "pods", new FakeFault.Answer(200, Body: line), times: int.MaxValue);
        Server.DropWatches();
        await _cluster.UntilAsync(() => _cluster.Told.OfType<ClusterChange.SourceFailing>().Any(failing => failing.Reason.Length > 0), () => "the failure is told");
        Server.ClearFaults();
        Server.Put(Pod("new", "10.42.1.99"));
        await _cluster.AwaitTruthAsync();
        await _cluster.UntilAsync(() => _cluster.Told.OfType<ClusterChange.SourceFailing>().GroupBy(failing => failing.Source).All(source => source.Last().Reason.Length == 0), () => "the recovery is told");
    }

    // A server that starts authorizes before it has read all bindings.
    [Test]
    public async Task A_refusal_that_passes_is_not_told()
    {
        await StartAsync();
        Server.Inject(request => request.IsWatch, new FakeFault.Answer(403), times: 5);
        Server.DropWatches();
        Server.Put(Pod("new", "10.42.1.99"));
        await _cluster.AwaitTruthAsync();
        Assert.That(_cluster.Told.OfType<ClusterChange.SourceFailing>(), Is.Empty);
    }

    [Test]
    public async Task Events_that_come_twice_change_nothing()
    {
        var cluster = await WatchedCluster.CreateAsync();
        cluster.Server.Inject(request => request.IsWatch, new FakeFault.Twice(), times: 5);
        Watch(cluster);
        await _cluster.AwaitTruthAsync();
        Server.Put(Pod("new", "10.42.1.99"));
        Server.Delete("pods", "shop", "new");
        Server.Put(Pod("new", "10.42.1.98"));
        await _cluster.AwaitTruthAsync();
    }

    [Test]
    public async Task A_pod_is_found_before_the_watch_shows_it()
    {
        await StartAsync();
        var pod = Server.Put(Pod("new", "10.42.1.99"));
        var found = await _cluster.Source!.FindPodAsync(new("shop", "new"), CancellationToken.None);
        Assert.That((found!.Uid, found.Pod.Name), Is.EqualTo(((string?)pod["metadata"]!["uid"], new NamespacedName("shop", "new"))));
        Assert.That(await _cluster.Source.FindPodAsync(new("shop", "none"), CancellationToken.None), Is.Null);
    }

    [Test]
    public async Task Only_pods_of_this_node_keep_their_UID()
    {
        await StartAsync();
        Server.Put(Pod("there", "10.42.2.99", "worker-2"));
        var here = Server.Put(Pod("here", "10.42.1.99"));
        await _cluster.AwaitTruthAsync();
        Assert.That(
            _cluster.Told.OfType<ClusterChange.PodSet>().Where(pod => pod.Pod.Name.Name is "here" or "there").Select(pod => (pod.Pod.Name.Name, pod.Uid)),
            Is.EquivalentTo(new[] { ("there", ClusterChange.PodSet.Elsewhere), ("here", (string?)here["metadata"]!["uid"]) }));
    }

    private async Task StartAsync() => _cluster = await WatchedCluster.WatchAsync();

    private void Watch(WatchedCluster cluster, ListWatchTiming? timing = null)
    {
        _cluster = cluster;
        cluster.Watch(timing);
    }

    internal const string ClusterPolicy = """
        apiVersion: policy.networking.k8s.io/v1alpha2
        kind: ClusterNetworkPolicy
        metadata: { name: admin }
        spec:
          tier: Admin
          priority: 10
          subject: { namespaces: {} }
          ingress: [{ action: Deny, from: [{ namespaces: {} }] }]
        """;

    internal static JsonObject Pod(string name, string address, string node = "worker-1") => JsonNode.Parse($$$"""
        {"apiVersion":"v1","kind":"Pod","metadata":{"name":"{{{name}}}","namespace":"shop","labels":{"app":"web"}},"spec":{"nodeName":"{{{node}}}"},"status":{"phase":"Running","podIPs":[{"ip":"{{{address}}}"}]}}
        """)!.AsObject();

    internal static JsonObject Policy(string name, string spec = """{"podSelector":{"matchLabels":{"app":"db"}}}""") => JsonNode.Parse($$"""
        {"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"{{name}}","namespace":"shop"},"spec":{{spec}}}
        """)!.AsObject();
}
