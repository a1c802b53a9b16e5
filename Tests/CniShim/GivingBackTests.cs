extern alias shim;

using Overlay.CniShim.Protocol;
using Overlay.Dataplane.Cni;
using Overlay.Dataplane.Desired;
using shim::Overlay.CniShim.Ipam;

namespace Overlay.Tests.CniShim;

/// <summary>What the agent hears at ADD, to give the addresses back should no runtime ever DEL, and what the plugin hears when the agent does.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class GivingBackTests : IAsyncDisposable
{
    private readonly AgentFixture agent = new();

    private PluginCall Add => new() { Stdin = agent.Configuration() };

    public ValueTask DisposeAsync() => agent.DisposeAsync();

    [Test]
    public void ADD_tells_the_folder_of_the_addresses_unless_it_is_the_conflists()
    {
        agent.Start();
        Assert.That(Add.Run().Verdict, Is.EqualTo("0"));
        Assert.That((agent.Asked.Single().AddressFolder, agent.Asked.Single().Delegation), Is.EqualTo((agent.Addresses, (Delegation?)null)));
        Assert.That(Path.Combine(new OverlayConfiguration().CniIpamDir, Conflist.Network), Is.EqualTo(AllocationFolder.OfConflist));
    }

    [Test]
    public void ADD_tells_how_to_ask_a_delegated_plugin()
    {
        agent.Start();
        var plugin = Path.Combine(agent.Folder, "script");
        File.WriteAllText(plugin, """
            #!/bin/sh
            cat > /dev/null
            echo '{"ips":[{"address":"10.42.1.77/24"}]}'
            """);
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(plugin, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        var call = (Add with { Stdin = Delegated("") }).With("CNI_PATH", agent.Folder).With("CNI_ARGS", "IgnoreUnknown=1;A=B");
        Assert.That(call.Run().Verdict, Is.EqualTo("0"));
        Assert.That(agent.Asked.Single().Delegation, Is.EqualTo(new Delegation(call.Stdin, agent.Folder, "IgnoreUnknown=1;A=B")));
        Assert.That(agent.Asked.Single().AddressFolder, Is.Empty);
        Assert.That((call with { Stdin = Delegated($",\"comment\":\"{new string('x', Delegation.MaxLength)}\"") }).Run().Verdict, Is.EqualTo("0"));
        Assert.That(agent.Asked.Last().Delegation, Is.Null, "a request has an end");

        string Delegated(string more) => agent.Configuration(more: more).Replace("\"ipam\":{", "\"ipam\":{\"type\":\"script\",", StringComparison.Ordinal);
    }

    [Test]
    public void A_DEL_of_the_agents_began_when_the_agent_says_and_nothing_else_does()
    {
        agent.Start();
        foreach (var command in new[] { "ADD", "DEL" })
            Assert.That((Add with { Command = command }).With(Delegation.BeganVariable, "7").Run().Verdict, Is.EqualTo("0"));
        Assert.That(agent.Asked.Select(request => request.Began), Is.EqualTo(new[] { Add.Began, 7L }));
    }
}
