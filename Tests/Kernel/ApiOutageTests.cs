using Overlay.CniShim.Protocol;
using Overlay.Tests.Fakes;

namespace Overlay.Tests.Kernel;

/// <summary>What becomes of packets when the API server fails: it can be made to only where it is a fake one.</summary>
public class ApiOutageTests() : ApiClusterFixture("fake")
{
    [Test]
    public async Task A_policy_that_is_not_understood_isolates_and_is_told_as_an_Event()
    {
        Cluster.Start();
        var (web, db) = (await AddAsync(First, "shop/web", "web"), await AddAsync(Second, "shop/db", "db"));
        db.Serve(Port);
        AssertReaches(web, db);
        await Cluster.PutYamlAsync(DatabasePolicy.Replace("podSelector: { matchLabels: { app: web } }", "podSelector: { matchLabels: { app: web } }\n      onSundays: true", StringComparison.Ordinal));
        TestCluster.Eventually(() => !Reaches(web, db.IPv4), "the pod is isolated", () => Second.Log);
        await Cluster.Fake!.SeenAsync(request => request.Method == "POST" && request.Resource == "events" && request.Body.Contains("onSundays", StringComparison.Ordinal));
    }

    [Test]
    public async Task A_pod_that_the_watch_has_not_shown_yet_is_asked_for()
    {
        await StartWithSilentPodsAsync();
        var db = await AddAsync(First, "shop/db", "db");
        db.Serve(Port);
        var web = await AddAsync(First, "shop/web", "web");
        AssertReaches(web, db);
        Assert.That(Cluster.Fake!.Requests.Any(request => request is { Method: "GET", Path: "/api/v1/namespaces/shop/pods/web" }));
        var other = await AddAsync(First, "shop/other", "other");
        Assert.That(Reaches(other, db.IPv4), Is.False, "and its own labels count");
    }

    [Test]
    public async Task While_the_API_server_is_gone_the_network_stays_and_new_pods_are_isolated_until_they_are_known()
    {
        Cluster.Start();
        await Cluster.PutYamlAsync(DatabasePolicy);
        var (web, db, other) = (await AddAsync(First, "shop/web", "web"), await AddAsync(First, "shop/db", "db"), await AddAsync(First, "shop/other", "other"));
        db.Serve(Port);
        TestCluster.Eventually(() => !Reaches(other, db.IPv4), "the policy is in force", () => First.Log);
        await Cluster.Fake!.StopListeningAsync();
        Assert.That((Reaches(web, db.IPv4), Reaches(other, db.IPv4)), Is.EqualTo((true, false)));

        // Its object exists, but nobody here can know.
        var value = ApiCluster.Pod("shop/late", "node-1", "web");
        var late = First.AddPod("shop/late", uid: (string)(await Cluster.PutAsync(value))["metadata"]!["uid"]!);
        late.Serve(Port);
        Assert.That((Reaches(late, db.IPv4), Reaches(web, late.IPv4)), Is.EqualTo((false, false)));
        Assert.That(First.Log, Does.Contain("pod shop/late is isolated"));
        TestCluster.Eventually(() => First.Overlay("status").Output.Contains("the API server is not heard", StringComparison.Ordinal), "status says so", () => First.Overlay("status").Output);
        Assert.That(First.Overlay("status").ExitCode, Is.Zero);

        // A pod that is known is wired as ever, say when its sandbox is made anew.
        Assert.That(web.Remove().ExitCode, Is.Zero);
        var again = First.AddPod("shop/web", uid: web.Uid);
        Assert.That(Reaches(again, db.IPv4), "with the last known policies");

        await Cluster.Fake.ResumeListeningAsync();
        TestCluster.Eventually(() => Reaches(late, db.IPv4), "the late pod is known and has its rights", () => First.Log);
        TestCluster.Eventually(() => !First.Overlay("status").Output.Contains("the API server is not heard", StringComparison.Ordinal), "status says so", () => First.Overlay("status").Output);
    }

    [Test]
    public async Task A_name_that_is_used_again_has_nothing_of_the_pod_before([Values] bool canAsk)
    {
        await StartWithSilentPodsAsync();
        var (web, db) = (await AddAsync(First, "shop/web", "web"), await AddAsync(First, "shop/db", "db"));
        db.Serve(Port);
        AssertReaches(web, db);
        await Cluster.DeleteAsync(ApiCluster.Pod("shop/web", "node-1", "web"));
        if (!canAsk)
            Cluster.Fake!.Inject(request => request.Path == "/api/v1/namespaces/shop/pods/web", new FakeFault.Answer(500), times: 100);
        var second = await AddAsync(First, "shop/web", "other");
        Assert.That(second.Uid, Is.Not.EqualTo(web.Uid));
        Assert.That(Reaches(second, db.IPv4), Is.False, "the second pod is no web");
    }

    [Test]
    public async Task An_agent_that_starts_without_an_API_server_changes_nothing_and_keeps_pods_waiting()
    {
        Cluster.Start();
        await Cluster.PutYamlAsync(DatabasePolicy);
        var (web, db, other) = (await AddAsync(First, "shop/web", "web"), await AddAsync(First, "shop/db", "db"), await AddAsync(First, "shop/other", "other"));
        db.Serve(Port);
        TestCluster.Eventually(() => !Reaches(other, db.IPv4), "the policy is in force", () => First.Log);
        await Cluster.Fake!.StopListeningAsync();
        First.StopAgent();
        var before = First.State;
        First.BeginAgent();
        TestCluster.Eventually(() => First.Log.Contains("the API server is not heard", StringComparison.Ordinal), "the agent says what it waits for", () => First.Log);
        Assert.That(First.State, Is.EqualTo(before));
        Assert.That((Reaches(web, db.IPv4), Reaches(other, db.IPv4)), Is.EqualTo((true, false)));

        // An ADD waits; one whose plugin has waited for long is told why.
        var waiting = Task.Run(() => First.AddPod("shop/waiting"));
        var refused = First.Ask(new AgentRequest { Command = "ADD", ContainerId = "c1", IfName = "eth0", Began = 0 }).Error;
        Assert.That(refused?.Code, Is.EqualTo(CniErrorCode.TryAgainLater));
        Assert.That(refused!.Msg, Does.StartWith("the agent of this node cannot wire pods yet: it waits for the API server https://").And.Contain("the API server is not heard"));
        Assert.That(waiting.IsCompleted, Is.False);
        await Cluster.Fake.ResumeListeningAsync();
        await waiting;
        First.AwaitAgent();
        Assert.That((Reaches(web, db.IPv4), Reaches(other, db.IPv4)), Is.EqualTo((true, false)));
        AssertReaches(await AddAsync(First, "shop/second", "web"), db);
    }

    [Test]
    public async Task An_agent_that_waits_for_an_API_server_keeps_the_node_forwarding()
    {
        Cluster.Start();
        var (web, db) = (await AddAsync(First, "shop/web", "web"), await AddAsync(Second, "shop/db", "db"));
        db.Serve(Port);
        AssertReaches(web, db);
        await Cluster.Fake!.StopListeningAsync();
        First.StopAgent();
        First.BeginAgent();
        TestCluster.Eventually(() => First.Log.Contains("the API server is not heard", StringComparison.Ordinal), "the agent says what it waits for", () => First.Log);
        First.Net.Run("sysctl -q -w net/ipv4/ip_forward=0");
        TestCluster.Eventually(() => Reaches(web, db.IPv4), "packets pass again", () => First.Log);
    }

    // The agents have listed pods, and then hear no more of them.
    private async Task StartWithSilentPodsAsync()
    {
        await Cluster.PutYamlAsync(DatabasePolicy);
        Cluster.Fake!.Inject(request => request.IsWatch && request.Resource == "pods", new FakeFault.Silence(), times: 1000);
        Cluster.Start();
    }
}
