using System.Net;

namespace Overlay.Tests.Kernel;

/// <summary>A cluster at an API server for each test.</summary>
/// <param name="which"><c>fake</c> or <c>real</c>.</param>
public abstract class ApiClusterFixture(string which)
{
    /// <summary>Where databases listen.</summary>
    protected const int Port = 5432;

    /// <summary>Milliseconds to wait for an answer to what is asked again and again.</summary>
    protected const int Short = 30;

    /// <summary>Isolates databases: web of their namespace, and namespaces of team ops, may ask them.</summary>
    protected const string DatabasePolicy = """
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata: { name: db, namespace: shop }
        spec:
          podSelector: { matchLabels: { app: db } }
          ingress:
          - from:
            - podSelector: { matchLabels: { app: web } }
            - namespaceSelector: { matchLabels: { team: ops } }
        """;

    private protected ApiCluster Cluster { get; private set; } = null!;

    private protected TestNode First => Cluster.Nodes.Nodes[0];

    private protected TestNode Second => Cluster.Nodes.Nodes[1];

    [SetUp]
    public async Task Create() => Cluster = await ApiCluster.CreateAsync(which);

    [TearDown]
    public async Task End()
    {
        if (Cluster is not null)
            await Cluster.DisposeAsync();
    }

    private protected Task<TestPod> AddAsync(TestNode node, string name, string app) => Cluster.AddPodAsync(node, name, app);

    private protected static void AssertReaches(TestPod from, TestPod to)
    {
        TestCluster.Eventually(() => Reaches(from, to.IPv4), $"{from.Name} reaches {to.Name}", () => from.Node.Log);
        Assert.That(Reaches(from, to.IPv6), $"{from.Name} reaches {to.Name} by IPv6");
    }

    // A fifth of a second is long between two namespaces; a packet that is dropped is dropped however long one waits.
    private protected static bool Reaches(TestPod from, IPAddress address, int milliseconds = 200)
    {
        using var probe = Probe.Open(new(from.Address(address.AddressFamily), address, "TCP", Port), from.Net.Netns);
        probe.Send();
        return probe.IsAnsweredWithin(TimeSpan.FromMilliseconds(milliseconds));
    }
}
