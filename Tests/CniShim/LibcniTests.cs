using System.Text.Json;
using Overlay.CniShim.Protocol;

namespace Overlay.Tests.CniShim;

/// <summary>The plugin called as libcni calls it (containernetworking/cni, libcni/api.go): every variable is always set, the final result of ADD is cached and comes back as prevResult
/// with CHECK and DEL, and garbage collection begins with a DEL for each cached attachment that is not in the list.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class LibcniTests : IAsyncDisposable
{
    private readonly AgentFixture agent = new();
    private readonly Dictionary<string, string> cache = [];

    public ValueTask DisposeAsync() => agent.DisposeAsync();

    [TestCase("0.3.0")]
    [TestCase("0.3.1")]
    [TestCase("0.4.0")]
    [TestCase("1.0.0")]
    [TestCase("1.1.0")]
    public void ADD_CHECK_DEL(string version)
    {
        agent.Start();
        Add(version, "c1");
        if (string.CompareOrdinal(version, "0.4.0") >= 0)
            Check(version, "c1");
        Del(version, "c1", "/proc/self/ns/net");
        Del(version, "c1", "");
        Assert.That(agent.Reserved, Is.Empty);
        Assert.That(agent.Claims, Is.Empty);
        Assert.That(agent.Asked.Where(request => request.Command != "CHECK").Select(request => (request.Command, request.ContainerId, request.IfName, request.Netns)), Is.EqualTo(new[]
        {
            ("ADD", "c1", "eth0", "/proc/self/ns/net"),
            ("DEL", "c1", "eth0", "/proc/self/ns/net"),
            ("DEL", "c1", "eth0", ""),
        }));
    }

    [Test]
    public void STATUS_and_a_garbage_collection()
    {
        agent.Start();
        foreach (var id in new[] { "c1", "c2", "c3" })
            Add("1.1.0", id);
        Succeed("STATUS", "1.1.0", "", "", "");
        Collect("1.1.0", "c2");
        Assert.That(agent.Reserved, Is.EqualTo(new[] { "10.42.1.3", "fd00:42:1::3" }));
        Assert.That(agent.Asked.Skip(3).Select(request => (request.Command, request.ContainerId, request.IfName)), Is.EqualTo(new[]
        {
            ("STATUS", "", ""),
            ("DEL", "c1", "eth0"),
            ("DEL", "c3", "eth0"),
            ("GC", "", ""),
        }));
        Assert.That(agent.Asked.Last().ValidAttachments, Is.EqualTo(new[] { new Attachment("c2", "eth0") }));
        Check("1.1.0", "c2");
    }

    [Test]
    public void A_garbage_collection_without_arguments_frees_nothing()
    {
        agent.Start();
        Add("1.1.0", "c1");
        Succeed("GC", "1.1.0", "", "", "");
        Assert.That(agent.Reserved, Has.Length.EqualTo(2));
    }

    [Test]
    public void After_a_reboot_without_a_cache_DEL_frees_what_is_there()
    {
        agent.Start();
        Add("1.0.0", "c1");
        cache.Clear();
        Del("1.0.0", "c1", "");
        Assert.That(agent.Reserved, Is.Empty);
    }

    private void Add(string version, string id) =>
        cache[id] = Succeed("ADD", version, id, "/proc/self/ns/net", ",\"runtimeConfig\":{\"portMappings\":[],\"dns\":{}}").Trim();

    private void Check(string version, string id) => Assert.That(Succeed("CHECK", version, id, "/proc/self/ns/net", Previous(version, id)), Is.Empty);

    private void Del(string version, string id, string netns)
    {
        Assert.That(Succeed("DEL", version, id, netns, Previous(version, id)), Is.Empty);
        cache.Remove(id);
    }

    private void Collect(string version, params string[] valid)
    {
        foreach (var id in cache.Keys.Except(valid).Order().ToArray())
            Del(version, id, "");
        var list = JsonSerializer.Serialize(valid.Select(id => new { containerID = id, ifname = "eth0" }));
        Assert.That(Succeed("GC", version, "", "", $",\"cni.dev/valid-attachments\":{list},\"cni.dev/attachments\":{list}"), Is.Empty);
    }

    // None before 0.4.0, nor when the cache file is gone.
    private string Previous(string version, string id) =>
        cache.TryGetValue(id, out var result) && string.CompareOrdinal(version, "0.4.0") >= 0 ? $",\"prevResult\":{result}" : "";

    private string Succeed(string command, string version, string id, string netns, string more)
    {
        var call = new PluginCall
        {
            Command = command,
            Variables = new()
            {
                ["CNI_CONTAINERID"] = id,
                ["CNI_NETNS"] = netns,
                ["CNI_ARGS"] = id.Length > 0 ? $"K8S_POD_NAME={id};IgnoreUnknown=1;K8S_POD_UID=u;K8S_POD_INFRA_CONTAINER_ID={id};K8S_POD_NAMESPACE=shop" : "",
                ["CNI_IFNAME"] = id.Length > 0 ? "eth0" : "",
                ["CNI_PATH"] = "/opt/cni/bin",
                ["CNI_NETNS_OVERRIDE"] = "",
            },
            Stdin = agent.Configuration(version, $",\"capabilities\":{{\"portMappings\":true}}{more}"),
        };
        var outcome = call.Run();
        Assert.That(outcome.ExitCode, Is.Zero, $"{command}: {outcome.Stdout}{outcome.Stderr}");
        Assert.That(outcome.Stderr, Is.Empty);
        return outcome.Stdout;
    }
}
