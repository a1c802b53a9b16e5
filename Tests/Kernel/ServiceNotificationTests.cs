using System.Net.Sockets;
using System.Text;

namespace Overlay.Tests.Kernel;

/// <summary>What a service manager hears of a real agent (sd_notify(3)); the test listens in its place.</summary>
public class ServiceNotificationTests
{
    private readonly HashSet<string> _heard = [];
    private TestCluster _cluster = null!;
    private Socket _manager = null!;

    [SetUp]
    public void A_node_whose_agent_a_service_manager_starts()
    {
        _cluster = TestCluster.CreateEmpty();
        var node = _cluster.Join("node-1", "192.168.7.1");
        var path = Path.Combine(_cluster.Folder, "notify");
        _manager = new(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified) { ReceiveTimeout = 20_000 };
        _manager.Bind(new UnixDomainSocketEndPoint(path));
        node.Variables["NOTIFY_SOCKET"] = path;
        node.Variables["WATCHDOG_USEC"] = "600000";
    }

    [TearDown]
    public void End()
    {
        _cluster?.Dispose();
        _manager?.Dispose();
    }

    [Test]
    public void It_is_ready_once_it_serves_and_heard_of_as_long_as_its_loop_turns()
    {
        var node = _cluster.Nodes[0];
        node.BeginAgent(); // the datastore has no Node of that name yet, so it cannot serve
        Assert.That(Until("STATUS=", "EXTEND_TIMEOUT_USEC=60000000", "WATCHDOG=1"), Has.None.EqualTo("READY=1"));
        _heard.Clear();
        _cluster.ApplyNode("node-1", ["192.168.7.1"], ["10.42.1.0/24"]);
        Until("READY=1", "STATUS=Serves: 0 interfaces of pods here, 1 nodes, 0 policies");
        for (var i = 0; i < 3; i++)
        {
            _heard.Clear();
            Assert.That(Until("WATCHDOG=1"), Has.None.EqualTo("READY=1").And.None.StartsWith("EXTEND"));
        }

        node.StopAgent();
        Until("STOPPING=1");
    }

    // Hears lines until one begins with each of these; all that was heard.
    private HashSet<string> Until(params string[] beginnings)
    {
        var buffer = new byte[4096];
        while (beginnings.Any(beginning => !_heard.Any(line => line.StartsWith(beginning, StringComparison.Ordinal))))
            _heard.UnionWith(Encoding.UTF8.GetString(buffer, 0, _manager.Receive(buffer)).Split('\n', StringSplitOptions.RemoveEmptyEntries));
        return _heard;
    }
}
