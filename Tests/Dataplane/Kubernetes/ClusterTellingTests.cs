using System.Text.Json.Nodes;
using Overlay.Dataplane.Datastore.Kubernetes;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;
using Overlay.Tests.Fakes;

namespace Overlay.Tests.Dataplane.Kubernetes;

/// <summary>What a node tells the cluster: Events of policies that it rejects, and its Node's condition.</summary>
public class ClusterTellingTests
{
    private WatchedCluster _cluster = null!;

    private FakeApiServer Server => _cluster.Server;

    [TearDown]
    public async Task Stop() => await _cluster.DisposeAsync();

    [Test]
    public async Task A_rejected_policy_isolates_is_reported_by_path_and_told_as_an_Event_until_it_is_right()
    {
        _cluster = await WatchedCluster.WatchAsync();
        var policy = Server.Put(ClusterWatchTests.Policy("bad", """{"podSelector":{"matchLabels":{"app":"web"}},"ingress":[{"from":[{"podSelector":{},"onSundays":true}]}]}"""));
        await _cluster.AwaitTruthAsync();
        Assert.That(_cluster.Look(store => store.Rejections.Single().Source), Is.EqualTo("/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/bad"));
        var posted = await Server.SeenAsync(request => request.Method == "POST");
        var told = JsonNode.Parse(posted.Body)!;
        Assert.That(posted.Path, Is.EqualTo("/api/v1/namespaces/shop/events"));
        Assert.That(((string?)told["reason"], (string?)told["type"], (string?)told["involvedObject"]!["uid"]), Is.EqualTo(("Rejected", "Warning", (string?)policy["metadata"]!["uid"])));
        Assert.That((string?)told["message"], Does.Contain("spec.ingress[0].from[0].onSundays: there is no such field."));
        Server.Put(ClusterWatchTests.Policy("bad"));
        await _cluster.AwaitTruthAsync();
        Assert.That(_cluster.Look(store => store.Rejections), Is.Empty);
    }

    [Test]
    public async Task Events_are_rate_limited_and_never_told_twice()
    {
        _cluster = await WatchedCluster.WatchAsync();
        for (var round = 0; round < 2; round++)
        {
            for (var i = 0; i < EventWriter.Burst + 5; i++)
                Server.Put(ClusterWatchTests.Policy($"bad-{i}", $$"""{"podSelector":{},"round":{{round}}}"""));
        }

        await _cluster.AwaitTruthAsync();
        await Server.SeenAsync(request => request.Method == "POST", times: EventWriter.Burst);
        Assert.That(Server.Requests.Count(request => request.Method == "POST"), Is.EqualTo(EventWriter.Burst), "the next one is due in ten seconds");
        Assert.That(Server.Requests.Where(request => request.Method == "POST").Select(request => request.Body), Is.Unique);
    }

    [Test]
    public async Task An_Event_is_told_again_as_long_as_the_policy_is_wrong()
    {
        _cluster = await WatchedCluster.WatchAsync(WatchedCluster.Impatient with { EventLasts = TimeSpan.FromMilliseconds(200), BetweenEvents = TimeSpan.FromMilliseconds(1) });
        Server.Put(ClusterWatchTests.Policy("bad", """{"podSelector":{},"round":1}"""));
        await Server.SeenAsync(request => request.Method == "POST", times: 3);
        Server.Delete("networkpolicies", "shop", "bad");
        await _cluster.AwaitTruthAsync();
        Server.Put(ClusterWatchTests.Policy("other", """{"podSelector":{},"round":1}"""));
        await Server.SeenAsync(request => request.Method == "POST" && request.Body.Contains("\"other\"", StringComparison.Ordinal), times: 2);
        var last = Server.Requests.Last(request => request.Method == "POST" && request.Body.Contains("\"bad\"", StringComparison.Ordinal));
        await Server.SeenAsync(request => request.Method == "POST" && request.Body.Contains("\"other\"", StringComparison.Ordinal), times: 4);
        Assert.That(Server.Requests.Last(request => request.Method == "POST" && request.Body.Contains("\"bad\"", StringComparison.Ordinal)), Is.SameAs(last), "what is gone is not told of");
    }

    [Test]
    public async Task An_Event_that_could_not_be_sent_is_sent_later()
    {
        _cluster = await WatchedCluster.WatchAsync();
        Server.Inject(request => request.Method == "POST", new FakeFault.Answer(500), times: 2);
        Server.Put(ClusterWatchTests.Policy("bad", """{"podSelector":{},"round":1}"""));
        await _cluster.UntilAsync(() => Server.Objects("events").Any(), () => "the Event is there");
    }

    [Test]
    public async Task The_nodes_condition_is_kept_as_it_is()
    {
        _cluster = await WatchedCluster.WatchAsync();
        _cluster.Source!.Observe(new("n1", [], []) { NetworkUnavailable = null }, [], "");
        await _cluster.UntilAsync(() => _cluster.Look(store => store.Nodes.Single(node => node.Name == "worker-1").NetworkUnavailable) == false, () => "NetworkUnavailable is False");
        _cluster.Source.Observe(new("n1", [], []) { NetworkUnavailable = false }, [], "the device is gone.");
        await _cluster.UntilAsync(() => _cluster.Look(store => store.Nodes.Single(node => node.Name == "worker-1").NetworkUnavailable) == true, () => "NetworkUnavailable is True");
        var condition = Server.Objects("nodes").Single(node => (string?)node["metadata"]!["name"] == "worker-1")["status"]!["conditions"]!.AsArray().Single(condition => (string?)condition!["type"] == "NetworkUnavailable")!;
        Assert.That(((string?)condition["reason"], (string?)condition["message"]), Is.EqualTo(("OverlayDoesNotForward", "the device is gone.")));
        Assert.That(Server.Objects("nodes").Single(node => (string?)node["metadata"]!["name"] == "worker-1")["status"]!["addresses"], Is.Not.Null, "the rest of the status stays");
        var patches = Server.Requests.Count(request => request.Method == "PATCH");
        _cluster.Source.Observe(new("n1", [], []) { NetworkUnavailable = true }, [], "the device is gone.");
        Server.Put(ClusterWatchTests.Pod("new", "10.42.1.99"));
        await _cluster.AwaitTruthAsync();
        Assert.That(Server.Requests.Count(request => request.Method == "PATCH"), Is.EqualTo(patches), "what is as it should be is not written");
    }

    [Test]
    public async Task Addresses_that_a_node_chose_are_written_and_taken_away()
    {
        _cluster = await WatchedCluster.WatchAsync();
        EquatableArray<InetAddress> chosen = [InetAddress.Parse("192.0.2.77"), InetAddress.Parse("2001:db8::77")];
        _cluster.Source!.Observe(new("worker-1", [], []) { NetworkUnavailable = false }, chosen, "");
        await _cluster.UntilAsync(() => _cluster.Look(store => store.Nodes.Single(node => node.Name == "worker-1").Underlay) == chosen, () => "the addresses are known");
        _cluster.Source.Observe(new("worker-1", [], []) { NetworkUnavailable = false, ChosenAddresses = chosen }, [], "");
        await _cluster.UntilAsync(() => _cluster.Look(store => store.Nodes.Single(node => node.Name == "worker-1")) is var node && node.ChosenAddresses.Count == 0 && node.Underlay == node.InternalIPs, () => "they are gone");
    }

    [Test]
    public async Task A_condition_that_cannot_be_written_is_tried_again_and_told()
    {
        _cluster = await WatchedCluster.WatchAsync();
        Server.Inject(request => request.Method == "PATCH", new FakeFault.Answer(500), times: 3);
        _cluster.Source!.Observe(new("n1", [], []) { NetworkUnavailable = null }, [], "");
        await _cluster.UntilAsync(() => _cluster.Look(store => store.Nodes.Single(node => node.Name == "worker-1").NetworkUnavailable) == false, () => "NetworkUnavailable is False");
        await _cluster.UntilAsync(() => _cluster.Told.OfType<ClusterChange.SourceFailing>().LastOrDefault() is { Reason.Length: 0 }, () => "it is told to be well");
        Assert.That(_cluster.Told.OfType<ClusterChange.SourceFailing>().Select(failing => failing.Source).Distinct(), Is.EqualTo(new[] { "/api/v1/nodes/worker-1/status" }));
    }
}
